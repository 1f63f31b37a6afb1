# SPDX-License-Identifier: Apache-2.0
"""Pooling over windows, and adaptive pooling to a given output size."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Op, Shape, Tensor, present
from ..graph.trace import emit, shape_error
from .build import Single, cast, with_layout
from .check import float_tensor, integer, integers, require_rank
from .pool_places import input_places
from .pooling import (
    AdaptiveAttributes,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    AvgPoolAttributes,
    MaxPool,
    MaxPoolAttributes,
    pool_axis,
)
from .window import Window


def _windows(
    x: Tensor, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, op: str
) -> tuple[Window, Shape]:
    """Return the window, and output extents; its padding at the end is what the last windows reach into."""
    require_rank(x, rank + 2, op)
    kernel = integers(kernel_size, rank, "kernel_size", op)
    strides = kernel if stride is None or stride == () else integers(stride, rank, "stride", op)
    pads = integers(padding, rank, "padding", op, least=0)
    spread = integers(dilation, rank, "dilation", op)
    for pad, extent in zip(pads, kernel, strict=True):
        if 2 * pad > extent:
            raise shape_error(op, f"expected padding of at most half the kernel, got {pads} and {kernel}")
    output, ends = [], []
    reaches = Window.of(kernel, dilation=spread).reach()
    for n, reach, s, p in zip(x.shape[2:], reaches, strides, pads, strict=True):
        room = n + 2 * p - reach
        if room < 0:
            raise shape_error(
                op,
                f"expected an input at least as large as the window: it covers {reach} (kernel {kernel}, "
                f"dilation {spread}), the padded input is {n + 2 * p} (input is {x.shape})",
            )
        count, end = pool_axis(n, reach, s, p, ceil_mode)
        output.append(count)
        ends.append(end)
    return Window(kernel, strides, pads, tuple(ends), spread), tuple(output)


def _max_pool(
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    op = f"max_pool{rank}d"
    x = float_tensor(input, op)
    window, output = _windows(x, rank, kernel_size, stride, padding, dilation, ceil_mode, op)
    inputs = Single(with_layout(x, Layout.CHANNELS_LAST))
    node = emit(
        MaxPool, inputs, MaxPoolAttributes(window, with_index=bool(return_indices), ceil_mode=bool(ceil_mode))
    )
    if not return_indices:
        return node.output
    return node.output, input_places(present(node.outputs[1]), window, x.shape[2:], output)


@operator("input")
def max_pool1d(
    input: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, length).
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int, at most half the kernel; padding never wins.
        dilation: int.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64),
            which `max_unpool1d` takes.

    Returns:
        Values, or with `return_indices` the pair (values, indices) of one shape.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> from cnncore import ops
    >>> ops.max_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[5.0, 4.0]]]
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@operator("input")
def max_pool2d(
    input: Any,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, height, width).
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel; padding never wins.
        dilation: int or pair.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64),
            which `max_unpool2d` takes.

    Returns:
        Values, or with `return_indices` the pair (values, indices) of one shape.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@operator("input")
def max_pool3d(
    input: Any,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, depth, height, width).
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        padding: int or triple, at most half the kernel; padding never wins.
        dilation: int or triple.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64),
            which `max_unpool3d` takes.

    Returns:
        Values, or with `return_indices` the pair (values, indices) of one shape.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.max_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 2).tolist()
    [[[[[7.0]]]]]
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    op = f"avg_pool{rank}d"
    divisor = 0 if divisor_override is None else integer(divisor_override, "divisor_override", op)
    if divisor == 0 and divisor_override is not None:
        raise shape_error(op, "expected a divisor_override other than 0")
    x = float_tensor(input, op)
    window, output = _windows(x, rank, kernel_size, stride, padding, 1, ceil_mode, op)
    # Windows are clipped at the real padding: what ceil_mode adds beyond it never counts.
    clipped = window._replace(end=window.begin)
    attrs = AvgPoolAttributes(clipped, output, bool(count_include_pad), divisor, bool(ceil_mode))
    return emit(AvgPool, Single(with_layout(x, Layout.CHANNELS_LAST)), attrs).output


@operator("input")
def avg_pool1d(
    input: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, length).
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> from cnncore import ops
    >>> ops.avg_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[3.0, 3.0]]]
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@operator("input")
def avg_pool2d(
    input: Any,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, height, width).
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        padding: int or pair of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.
        divisor_override: divide by this number instead.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.avg_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@operator("input")
def avg_pool3d(
    input: Any,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, depth, height, width).
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        padding: int or triple of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.
        divisor_override: divide by this number instead.

    Raises:
        ValueError: an input of other axes, a window larger than the padded input, or padding of more than
            half a window.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.avg_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 2).tolist()
    [[[[[3.5]]]]]
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive(pool: type[Op], rank: int, input: Any, output_size: Any, return_indices: bool = False) -> Any:
    op = f"{pool.name}{rank}d"
    x = float_tensor(input, op)
    require_rank(x, rank + 2, op)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if len(wanted) != rank:
        raise shape_error(op, f"expected output_size as an int or {rank} of them, got {output_size!r}")
    output = tuple(
        n if size is None else integers(size, 1, "output_size", op)[0]
        for n, size in zip(x.shape[2:], wanted, strict=True)
    )
    inputs = Single(with_layout(x, Layout.CHANNELS_LAST))
    node = emit(pool, inputs, AdaptiveAttributes(output, bool(return_indices)))
    return (node.output, cast(present(node.outputs[1]), "int64")) if return_indices else node.output


@operator("input")
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, length).
        output_size: int; None keeps the input's extent.

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[3.0, 3.0]]]
    """
    pooled: Tensor = _adaptive(AdaptiveAvgPool, 1, input, output_size)
    return pooled


@operator("input")
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, height, width).
        output_size: int or pair; None keeps the input's extent.

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool2d(np.arange(4).reshape(1, 1, 2, 2), 1).tolist()
    [[[[1.5]]]]
    """
    pooled: Tensor = _adaptive(AdaptiveAvgPool, 2, input, output_size)
    return pooled


@operator("input")
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, depth, height, width).
        output_size: int or triple; None keeps the input's extent.

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 1).tolist()
    [[[[[3.5]]]]]
    """
    pooled: Tensor = _adaptive(AdaptiveAvgPool, 3, input, output_size)
    return pooled


@operator("input")
def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, length).
        output_size: int; None keeps the input's extent.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64).

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> from cnncore import ops
    >>> ops.adaptive_max_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[5.0, 4.0]]]
    """
    return _adaptive(AdaptiveMaxPool, 1, input, output_size, return_indices)


@operator("input")
def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, height, width).
        output_size: int or pair; None keeps the input's extent.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64).

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_max_pool2d(np.arange(4).reshape(1, 1, 2, 2), 1).tolist()
    [[[[3.0]]]]
    """
    return _adaptive(AdaptiveMaxPool, 2, input, output_size, return_indices)


@operator("input")
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, depth, height, width).
        output_size: int or triple; None keeps the input's extent.
        return_indices: also return where in the channel's elements, in C order, each value was found (int64).

    Raises:
        ValueError: an input of other axes, or an output extent below 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_max_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 1).tolist()
    [[[[[7.0]]]]]
    """
    return _adaptive(AdaptiveMaxPool, 3, input, output_size, return_indices)
