# SPDX-License-Identifier: Apache-2.0
"""Layers that put maxima back, and max pooling at random distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import ops
from .arguments import finite, ntuple
from .module import Module

__all__ = ["FractionalMaxPool2d", "FractionalMaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


class _MaxUnpool(Module):
    rank: int
    function: ClassVar[Callable[..., Any]]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = ntuple("kernel_size", kernel_size, 1, self.rank)
        self.stride = self.kernel_size if stride is None else ntuple("stride", stride, 1, self.rank)
        self.padding = ntuple("padding", padding, 0, self.rank)

    def forward(self, input: Any, indices: Any, output_size: Sequence[int] | None = None) -> Any:
        return self.function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros with the values at the places where `MaxPool1d` found them (Zeiler et al., 2011).

    Called with values and indices, and the output's size where several are pooled to the values'.

    Args:
        kernel_size: int, the pooling's.
        stride: int; None means kernel_size.
        padding: int.

    >>> MaxUnpool1d(2)([[[5.0, 4.0]]], [[[1, 3]]]).tolist()
    [[[0.0, 5.0, 0.0, 4.0]]]
    """

    rank = 1
    function = staticmethod(ops.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Zeros with the values at the places where `MaxPool2d` found them (Zeiler et al., 2011).

    Called with values and indices, and the output's size where several are pooled to the values'.

    Args:
        kernel_size: int or pair, the pooling's.
        stride: int or pair; None means kernel_size.
        padding: int or pair.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x)).tolist()
    [[[[0.0, 0.0], [0.0, 3.0]]]]
    """

    rank = 2
    function = staticmethod(ops.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Zeros with the values at the places where `MaxPool3d` found them (Zeiler et al., 2011).

    Called with values and indices, and the output's size where several are pooled to the values'.

    Args:
        kernel_size: int or triple, the pooling's.
        stride: int or triple; None means kernel_size.
        padding: int or triple.

    >>> import numpy as np
    >>> MaxUnpool3d(2)(np.ones((1, 2, 2, 3, 4)), np.zeros((1, 2, 2, 3, 4), int)).shape
    (1, 2, 4, 6, 8)
    """

    rank = 3
    function = staticmethod(ops.max_unpool3d)


class _FractionalMaxPool(Module):
    rank: int
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError("expected either output_size or output_ratio")
        self.kernel_size = ntuple("kernel_size", kernel_size, 1, self.rank)
        self.output_size = None if output_size is None else ntuple("output_size", output_size, 1, self.rank)
        self.output_ratio: tuple[float, ...] | None = None
        if output_ratio is not None:
            ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * self.rank
            self.output_ratio = tuple(finite("output_ratio", ratio, 0) for ratio in ratios)
        self.return_indices = bool(return_indices)
        self.register_buffer(
            "_random_samples", None if _random_samples is None else np.asarray(_random_samples)
        )

    def forward(self, input: Any) -> Any:
        return self.function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )

    def extra_repr(self) -> str:
        size = f"output_size={self.output_size}" if self.output_size else f"output_ratio={self.output_ratio}"
        return f"kernel_size={self.kernel_size}, {size}"


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows of one size, at distances drawn so that the output has a given size (Graham, 2014).

    Args:
        kernel_size: int or pair.
        output_size: int or pair, or
        output_ratio: number or pair from 0 to 1, the output's share of the input's extents.
        return_indices: return the pair (values, indices).
        _random_samples: (batch, channels, 2), used instead of drawn numbers.

    >>> import numpy as np
    >>> FractionalMaxPool2d(3, output_size=(7, 5))(np.ones((1, 2, 16, 16))).shape
    (1, 2, 7, 5)
    """

    rank = 2
    function = staticmethod(ops.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima over windows of one size, at distances drawn so that the output has a given size (Graham, 2014).

    Args:
        kernel_size: int or triple.
        output_size: int or triple, or
        output_ratio: number or triple from 0 to 1, the output's share of the input's extents.
        return_indices: return the pair (values, indices).
        _random_samples: (batch, channels, 3), used instead of drawn numbers.

    >>> import numpy as np
    >>> FractionalMaxPool3d(2, output_ratio=0.5)(np.ones((1, 2, 8, 8, 8))).shape
    (1, 2, 4, 4, 4)
    """

    rank = 3
    function = staticmethod(ops.fractional_max_pool3d)
