# SPDX-License-Identifier: Apache-2.0
"""The partial inverse of max pooling: maxima back at the places they were found at."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, shape_error
from .build import reshape_to, with_layout
from .check import float_tensor, integers, require_rank
from .gather import scatter_axis
from .indices import indices_within

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


def _output(
    x: Tensor, rank: int, kernel_size: Any, stride: Any, padding: Any, output_size: Any, op: str
) -> Shape:
    """Return the spatial extents: those that pooling with such windows makes the input's from."""
    kernel = integers(kernel_size, rank, "kernel_size", op)
    strides = kernel if stride is None else integers(stride, rank, "stride", op)
    pads = integers(padding, rank, "padding", op, least=0)
    usual = tuple(
        (n - 1) * s - 2 * p + k for n, k, s, p in zip(x.shape[2:], kernel, strides, pads, strict=True)
    )
    if output_size is None:
        return usual
    given = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    wanted = integers(given[-rank:], rank, "output_size", op)
    if len(given) not in (rank, rank + 2):
        raise shape_error(op, f"expected output_size of {rank} or {rank + 2} numbers, got {output_size!r}")
    if any(not u - s < w < u + s for u, s, w in zip(usual, strides, wanted, strict=True)):
        raise shape_error(
            op, f"expected output_size less than the stride {strides} away from {usual}, got {wanted}"
        )
    return wanted


def _max_unpool(
    rank: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    op = f"max_unpool{rank}d"
    x, places = float_tensor(input, op), as_tensor(indices, op)
    require_rank(x, rank + 2, op)
    if places.shape != x.shape:
        raise shape_error(op, f"expected indices of shape {x.shape}, got {places.shape}")
    output = _output(x, rank, kernel_size, stride, padding, output_size, op)
    count = prod(output)
    flat = (*x.shape[:2], prod(x.shape[2:]))
    layout = Layout.CHANNELS_LAST
    values = reshape_to(with_layout(x, layout), flat)
    at = reshape_to(with_layout(indices_within(places, count, op), layout), flat)
    made = scatter_axis(values, at, Tensor((*x.shape[:2], count), "float32", layout), 2, last=True)
    return reshape_to(made, (*x.shape[:2], *output))


@operator("input", "indices")
def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    output_size: Any = None,
) -> Tensor:
    """Return zeros with the values at the places where `max_pool1d` found them (Zeiler et al., 2011).

    Args:
        input: (batch, channels, length).
        indices: places in the result's channels, of the input's shape, from ``return_indices=True``. Of
            several values for one place the last counts.
        kernel_size: int, the pooling's.
        stride: int; None means kernel_size.
        padding: int.
        output_size: length of the result, where several are pooled to the input's.

    Raises:
        ValueError: an index outside the result, or an output_size that such a pooling does not have.

    >>> from cnncore import ops
    >>> ops.max_unpool1d([[[5.0, 4.0]]], [[[1, 3]]], 2).tolist()
    [[[0.0, 5.0, 0.0, 4.0]]]
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@operator("input", "indices")
def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    output_size: Any = None,
) -> Tensor:
    """Return zeros with the values at the places where `max_pool2d` found them (Zeiler et al., 2011).

    Args:
        input: (batch, channels, height, width).
        indices: places in the result's channels in C order, of the input's shape, from
            ``return_indices=True``. Of several values for one place the last counts.
        kernel_size: int or pair, the pooling's.
        stride: int or pair; None means kernel_size.
        padding: int or pair.
        output_size: (height, width) of the result, where several are pooled to the input's.

    Raises:
        ValueError: an index outside the result, or an output_size that such a pooling does not have.

    >>> from cnncore import ops
    >>> ops.max_unpool2d([[[[9.0]]]], [[[[2]]]], 2).tolist()
    [[[[0.0, 0.0], [9.0, 0.0]]]]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@operator("input", "indices")
def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    output_size: Any = None,
) -> Tensor:
    """Return zeros with the values at the places where `max_pool3d` found them (Zeiler et al., 2011).

    Args:
        input: (batch, channels, depth, height, width).
        indices: places in the result's channels in C order, of the input's shape, from
            ``return_indices=True``. Of several values for one place the last counts.
        kernel_size: int or triple, the pooling's.
        stride: int or triple; None means kernel_size.
        padding: int or triple.
        output_size: (depth, height, width) of the result, where several are pooled to the input's.

    Raises:
        ValueError: an index outside the result, or an output_size that such a pooling does not have.

    >>> from cnncore import ops
    >>> ops.max_unpool3d([[[[[9.0]]]]], [[[[[5]]]]], 2).reshape(-1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0]
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
