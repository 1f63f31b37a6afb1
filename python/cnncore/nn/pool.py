# SPDX-License-Identifier: Apache-2.0
"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import pair, positive
from .module import Module


class MaxPool2d(Module):
    """Largest value of each window.

    Args:
        kernel_size: int or pair (height, width).
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel; padded places never win.
        dilation: int or pair.
        return_indices: False, the only choice there is.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if return_indices:
            raise ValueError("return_indices=True is not supported")
        self.kernel_size, self.stride, self.padding = _window(kernel_size, stride, padding)
        self.dilation = pair("dilation", dilation, 1)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, input: Any) -> Any:
        return ops.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """Mean of each window.

    Args:
        kernel_size: int or pair (height, width).
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel.
        ceil_mode: round the output size up.
        count_include_pad: whether padded places count in the mean.
        divisor_override: divide by this instead of the window's size.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window(kernel_size, stride, padding)
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        if divisor_override is not None:
            positive("divisor_override", divisor_override)
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        return ops.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Mean over windows chosen so that the output has a given size.

    Args:
        output_size: int or pair (height, width); None keeps the input's size on that axis.

    >>> import numpy as np
    >>> AdaptiveAvgPool2d(1)(np.ones((2, 3, 7, 7))).shape
    (2, 3, 1, 1)
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = _output_size(output_size)

    def forward(self, input: Any) -> Any:
        return ops.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """Largest values over windows chosen so that the output has a given size.

    Args:
        output_size: int or pair (height, width); None keeps the input's size on that axis.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = _output_size(output_size)

    def forward(self, input: Any) -> Any:
        return ops.adaptive_max_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


def _window(kernel_size: Any, stride: Any, padding: Any) -> tuple[tuple[int, int], ...]:
    kernel = pair("kernel_size", kernel_size, 1)
    sides = pair("padding", padding, 0)
    if any(2 * side > extent for side, extent in zip(sides, kernel, strict=True)):
        raise ValueError(f"expected padding of at most half the kernel {kernel}, got {sides}")
    return kernel, kernel if stride is None else pair("stride", stride, 1), sides


def _output_size(value: Any) -> tuple[int | None, int | None]:
    height, width = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    return (
        None if height is None else positive("output_size", height),
        None if width is None else positive("output_size", width),
    )
