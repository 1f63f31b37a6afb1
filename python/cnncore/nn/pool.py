# SPDX-License-Identifier: Apache-2.0
"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from .arguments import ntuple, positive
from .module import Module


class _Pool(Module):
    """A window over `rank` spatial axes."""

    rank: int
    function: ClassVar[Callable[..., Any]]

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size = ntuple("kernel_size", kernel_size, 1, self.rank)
        self.stride = self.kernel_size if stride is None else ntuple("stride", stride, 1, self.rank)
        self.padding = ntuple("padding", padding, 0, self.rank)
        if any(2 * side > extent for side, extent in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"expected padding of at most half the kernel {self.kernel_size}, got {self.padding}"
            )
        self.ceil_mode = bool(ceil_mode)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.return_indices = bool(return_indices)
        self.dilation = ntuple("dilation", dilation, 1, self.rank)

    def forward(self, input: Any) -> Any:
        return self.function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """Largest value of each window of sequences.

    Args:
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int, at most half the kernel; padded places never win.
        dilation: int.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> MaxPool1d(2)(np.array([[[1.0, 5.0, 2.0, 4.0]]])).tolist()
    [[[5.0, 4.0]]]
    """

    rank = 1
    function = staticmethod(ops.max_pool1d)


class MaxPool2d(_MaxPool):
    """Largest value of each window.

    Args:
        kernel_size: int or pair (height, width).
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel; padded places never win.
        dilation: int or pair.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    rank = 2
    function = staticmethod(ops.max_pool2d)


class MaxPool3d(_MaxPool):
    """Largest value of each window of volumes.

    Args:
        kernel_size: int or triple (depth, height, width).
        stride: int or triple; None means kernel_size.
        padding: int or triple, at most half the kernel; padded places never win.
        dilation: int or triple.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.
        ceil_mode: round the output size up, so that the last window may reach beyond the input.

    >>> import numpy as np
    >>> MaxPool3d(2)(np.zeros((1, 3, 4, 6, 8))).shape
    (1, 3, 2, 3, 4)
    """

    rank = 3
    function = staticmethod(ops.max_pool3d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        if divisor_override is not None:
            positive("divisor_override", divisor_override)
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        more = {} if self.divisor_override is None else {"divisor_override": self.divisor_override}
        return self.function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            **more,
        )


class AvgPool1d(_AvgPool):
    """Mean of each window of sequences.

    Args:
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int, at most half the kernel.
        ceil_mode: round the output size up.
        count_include_pad: whether padded places count in the mean.

    >>> import numpy as np
    >>> AvgPool1d(2)(np.array([[[1.0, 5.0, 2.0, 4.0]]])).tolist()
    [[[3.0, 3.0]]]
    """

    rank = 1
    function = staticmethod(ops.avg_pool1d)

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """Mean of each window.

    Args:
        kernel_size: int or pair (height, width).
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel.
        ceil_mode: round the output size up.
        count_include_pad: whether padded places count in the mean.
        divisor_override: divide by this instead of the window's size.

    >>> import numpy as np
    >>> AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    rank = 2
    function = staticmethod(ops.avg_pool2d)


class AvgPool3d(_AvgPool):
    """Mean of each window of volumes.

    Args:
        kernel_size: int or triple (depth, height, width).
        stride: int or triple; None means kernel_size.
        padding: int or triple, at most half the kernel.
        ceil_mode: round the output size up.
        count_include_pad: whether padded places count in the mean.
        divisor_override: divide by this instead of the window's size.

    >>> import numpy as np
    >>> AvgPool3d(2)(np.zeros((1, 3, 4, 6, 8))).shape
    (1, 3, 2, 3, 4)
    """

    rank = 3
    function = staticmethod(ops.avg_pool3d)


class _AdaptivePool(Module):
    rank: int
    function: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.rank
        if len(sizes) != self.rank:
            raise ValueError(f"expected output_size as a number or {self.rank} of them, got {output_size!r}")
        self.output_size = tuple(None if size is None else positive("output_size", size) for size in sizes)

    def forward(self, input: Any) -> Any:
        return self.function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Mean over windows chosen so that the output has a given size.

    Args:
        output_size: int; None keeps the input's size on that axis.

    >>> import numpy as np
    >>> AdaptiveAvgPool1d(1)(np.ones((2, 3, 7))).shape
    (2, 3, 1)
    """

    rank = 1
    function = staticmethod(ops.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Mean over windows chosen so that the output has a given size.

    Args:
        output_size: int or pair (height, width); None keeps the input's size on that axis.

    >>> import numpy as np
    >>> AdaptiveAvgPool2d(1)(np.ones((2, 3, 7, 7))).shape
    (2, 3, 1, 1)
    """

    rank = 2
    function = staticmethod(ops.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Mean over windows chosen so that the output has a given size.

    Args:
        output_size: int or triple (depth, height, width); None keeps the input's size on that axis.

    >>> import numpy as np
    >>> AdaptiveAvgPool3d(1)(np.ones((2, 3, 4, 7, 7))).shape
    (2, 3, 1, 1, 1)
    """

    rank = 3
    function = staticmethod(ops.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = bool(return_indices)

    def forward(self, input: Any) -> Any:
        return self.function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest values over windows chosen so that the output has a given size.

    Args:
        output_size: int; None keeps the input's size on that axis.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.

    >>> import numpy as np
    >>> AdaptiveMaxPool1d(1)(np.ones((2, 3, 7))).shape
    (2, 3, 1)
    """

    rank = 1
    function = staticmethod(ops.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest values over windows chosen so that the output has a given size.

    Args:
        output_size: int or pair (height, width); None keeps the input's size on that axis.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.

    >>> import numpy as np
    >>> AdaptiveMaxPool2d(1)(np.ones((2, 3, 7, 7))).shape
    (2, 3, 1, 1)
    """

    rank = 2
    function = staticmethod(ops.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Largest values over windows chosen so that the output has a given size.

    Args:
        output_size: int or triple (depth, height, width); None keeps the input's size on that axis.
        return_indices: return the pair (values, indices), as `MaxUnpool` takes them.

    >>> import numpy as np
    >>> AdaptiveMaxPool3d(1)(np.ones((2, 3, 4, 7, 7))).shape
    (2, 3, 1, 1, 1)
    """

    rank = 3
    function = staticmethod(ops.adaptive_max_pool3d)
