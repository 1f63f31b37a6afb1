# SPDX-License-Identifier: Apache-2.0
"""Layers that pool by a norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from .arguments import extents, finite
from .module import Module

__all__ = ["LPPool1d", "LPPool2d", "LPPool3d"]


class _LPPool(Module):
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        finite("norm_type", norm_type)
        self.norm_type, self.kernel_size = norm_type, extents("kernel_size", kernel_size, 1)
        self.stride = None if stride is None else extents("stride", stride, 1)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, input: Any) -> Any:
        return self.function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p)^(1 / p) over each window.

    Args:
        norm_type: p, not 0.
        kernel_size: int.
        stride: int; None means kernel_size.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> LPPool1d(2, 2)(np.ones((1, 2, 6))).shape
    (1, 2, 3)
    """

    function = staticmethod(ops.lp_pool1d)


class LPPool2d(_LPPool):
    """(sum of x^p)^(1 / p) over each window.

    Args:
        norm_type: p, not 0.
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> LPPool2d(2, 2)(np.ones((1, 2, 6, 4))).shape
    (1, 2, 3, 2)
    """

    function = staticmethod(ops.lp_pool2d)


class LPPool3d(_LPPool):
    """(sum of x^p)^(1 / p) over each window.

    Args:
        norm_type: p, not 0.
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> LPPool3d(2, 2)(np.ones((1, 2, 6, 4, 2))).shape
    (1, 2, 3, 2, 1)
    """

    function = staticmethod(ops.lp_pool3d)
