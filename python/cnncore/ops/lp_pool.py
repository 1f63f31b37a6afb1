# SPDX-License-Identifier: Apache-2.0
"""Pooling by a norm."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import shape_error
from .build import elementwise
from .check import float_tensor, integers, real, require_rank
from .distance import power
from .pool import avg_pool1d, avg_pool2d, avg_pool3d

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]

_MEANS: dict[int, Any] = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


def _lp_pool(rank: int, input: Any, p: Any, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    """Return (sum of x^p)^(1 / p) over windows; for even p the gradient is 0 where the sum is 0."""
    op = f"lp_pool{rank}d"
    x, p = float_tensor(input, op), real(p, "norm_type", op)
    require_rank(x, rank + 2, op)
    if p == 0:
        raise shape_error(op, "expected norm_type other than 0")
    kernel = integers(kernel_size, rank, "kernel_size", op)
    taps = 1
    for extent in kernel:
        taps *= extent
    powers = x if p == 1 else elementwise("square", x) if p == 2 else elementwise("pow_scalar", x, alpha=p)
    y: Tensor = _MEANS[rank](powers, kernel, stride, 0, ceil_mode)
    sums = elementwise("mul_scalar", y, alpha=float(taps))
    if p % 2 == 0 and p > 0:
        return power(sums, 1 / p)
    return sums if p == 1 else elementwise("pow_scalar", sums, alpha=1 / p)


@operator("input")
def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum of x^p)^(1 / p) over each window.

    Args:
        input: (batch, channels, length).
        norm_type: p, not 0.
        kernel_size: int.
        stride: int; None means kernel_size.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    Raises:
        ValueError: an input of other axes, a window or stride below 1, or a window larger than the input.

    >>> from cnncore import ops
    >>> ops.lp_pool1d([[[3.0, 4.0]]], 2, 2).tolist()
    [[[5.0]]]
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@operator("input")
def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum of x^p)^(1 / p) over each window.

    Args:
        input: (batch, channels, height, width).
        norm_type: p, not 0.
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    Raises:
        ValueError: an input of other axes, a window or stride below 1, or a window larger than the input.

    >>> from cnncore import ops
    >>> ops.lp_pool2d([[[[3.0, 4.0], [0.0, 0.0]]]], 2, 2).tolist()
    [[[[5.0]]]]
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@operator("input")
def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum of x^p)^(1 / p) over each window.

    Args:
        input: (batch, channels, depth, height, width).
        norm_type: p, not 0.
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    Raises:
        ValueError: an input of other axes, a window or stride below 1, or a window larger than the input.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.lp_pool3d(np.full((1, 1, 2, 2, 2), 2.0), 3, 2).round(5).tolist()
    [[[[[4.0]]]]]
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)
