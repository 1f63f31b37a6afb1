# SPDX-License-Identifier: Apache-2.0
"""Layers that only change the shape."""

from __future__ import annotations

from typing import Any

from .. import ops
from .module import Module


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one.

    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Any:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
