# SPDX-License-Identifier: Apache-2.0
"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from .arguments import at_least, axis
from .module import Module


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one.

    Raises:
        TypeError: an axis that is no integer.
        ValueError: in a call, axes out of range.

    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = axis("start_dim", start_dim)
        self.end_dim = axis("end_dim", end_dim)

    def forward(self, input: Any) -> Any:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split axis `dim` into axes of extents `unflattened_size`, of which one may be -1.

    Raises:
        TypeError: `unflattened_size` is no tuple of extents.

    >>> import numpy as np
    >>> Unflatten(1, (3, 4, -1))(np.zeros((2, 60))).shape
    (2, 3, 4, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)) or not unflattened_size:
            raise TypeError(f"expected unflattened_size as a tuple of extents, got {unflattened_size!r}")
        for extent in unflattened_size:
            at_least("extent in unflattened_size", extent, -1)
        self.dim = axis("dim", dim)
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        return ops.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
