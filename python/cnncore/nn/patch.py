# SPDX-License-Identifier: Apache-2.0
"""Layers that take images apart and put them together."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import extents
from .module import Module

__all__ = ["Fold", "Unfold"]


def _take_windows(layer: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
    """Give a layer its windows."""
    layer.kernel_size = extents("kernel_size", kernel_size, 1)
    layer.dilation = extents("dilation", dilation, 1)
    layer.padding = extents("padding", padding, 0)
    layer.stride = extents("stride", stride, 1)


class Unfold(Module):
    """The patches under a window that slides over images, each as a column.

    Args:
        kernel_size, dilation, padding, stride: int or pair, as for Conv2d; padding is zeros.

    Raises:
        ValueError: a kernel, stride, dilation or size below 1, or padding below 0.

    >>> import numpy as np
    >>> Unfold(3)(np.zeros((1, 2, 5, 6))).shape
    (1, 18, 12)
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        _take_windows(self, kernel_size, dilation, padding, stride)

    def forward(self, input: Any) -> Any:
        return ops.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Images as the sums of patches that overlap: the transpose of Unfold.

    Args:
        output_size: int or pair: height and width of the images.
        kernel_size, dilation, padding, stride: int or pair, as for Unfold.

    Raises:
        ValueError: a kernel, stride, dilation or size below 1, or padding below 0.

    >>> import numpy as np
    >>> Fold((5, 6), 3)(np.zeros((1, 18, 12))).shape
    (1, 2, 5, 6)
    """

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.output_size = extents("output_size", output_size, 1)
        _take_windows(self, kernel_size, dilation, padding, stride)

    def forward(self, input: Any) -> Any:
        return ops.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
