# SPDX-License-Identifier: Apache-2.0
"""Max pooling over windows at random distances (Graham, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, shape_error
from .build import cast, elementwise, integral, reshape_to, window, with_layout
from .check import float_tensor, integers, real, require_rank
from .gather import gather_axis, take_axis
from .noise import uniform
from .parts import concat
from .sort import max as largest

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]


def _extents(x: Tensor, rank: int, kernel: Shape, output_size: Any, output_ratio: Any, op: str) -> Shape:
    if (output_size is None) == (output_ratio is None):
        raise shape_error(op, "expected either output_size or output_ratio")
    if output_size is not None:
        output = integers(output_size, rank, "output_size", op)
    else:
        ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * rank
        if len(ratios) != rank:
            raise shape_error(op, f"expected {rank} numbers for output_ratio, got {output_ratio!r}")
        shares = [real(ratio, "output_ratio", op, 0, 1) for ratio in ratios]
        output = tuple(int(n * ratio) for n, ratio in zip(x.shape[2:], shares, strict=True))
    for n, k, m in zip(x.shape[2:], kernel, output, strict=True):
        if not 1 <= m <= n - k + 1:
            raise shape_error(
                op, f"expected output extents from 1 to {n - k + 1} for an extent of {n}, got {output}"
            )
    return output


def _starts(sample: Tensor, n: int, kernel: int, output: int, op: str) -> Tensor:
    """Return where windows start (rows, output): int((i + u) a) - int(u a), the last at the end.

    a = (n - kernel) / (output - 1) is the mean distance, u the sample (rows, 1).
    """
    last = as_tensor(np.full((sample.shape[0], 1), n - kernel))
    if output == 1:
        return last
    mean = float(np.float32(n - kernel) / np.float32(output - 1))
    numbers = as_tensor(np.arange(output - 1, dtype=np.float32)[None], op)
    ends = elementwise("mul_scalar", elementwise("add", sample, numbers), alpha=mean)
    begin = elementwise("mul_scalar", sample, alpha=mean)
    starts = integral("sub", "int64", cast(ends, "int64"), cast(begin, "int64"))
    joined: Tensor = concat([starts, last], 1)
    return joined


def _places(samples: Tensor, extents: Shape, kernel: Shape, output: Shape, op: str) -> Tensor:
    """Return the places in a channel, in C order, of the taps of all windows: (rows, windows, taps)."""
    rows, count, taps = samples.shape[0], prod(output), prod(kernel)
    total: Tensor | None = None
    windows = np.indices(output).reshape(len(output), count)
    steps = np.indices(kernel).reshape(len(kernel), taps)
    for axis, (n, k, m) in enumerate(zip(extents, kernel, output, strict=True)):
        sample = window(samples, (0, axis), (1, 1), (rows, 1))
        starts = take_axis(_starts(sample, n, k, m, op), as_tensor(windows[axis], op), 1)
        along = integral(
            "add", "int64", reshape_to(starts, (rows, count, 1), Layout.C), as_tensor(steps[axis], op)
        )
        scaled = integral("mul", "int64", along, as_tensor(np.array(prod(extents[axis + 1 :]))))
        total = scaled if total is None else integral("add", "int64", total, scaled)
    assert total is not None
    return total


def _fractional(
    rank: int,
    input: Any,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Any,
) -> Any:
    op = f"fractional_max_pool{rank}d"
    x = float_tensor(input, op)
    require_rank(x, rank + 2, op)
    kernel = integers(kernel_size, rank, "kernel_size", op)
    output = _extents(x, rank, kernel, output_size, output_ratio, op)
    rows, extents = prod(x.shape[:2]), x.shape[2:]
    drawn = uniform((*x.shape[:2], rank)) if samples is None else float_tensor(samples, op)
    if drawn.shape != (*x.shape[:2], rank):
        raise shape_error(op, f"expected samples of shape {(*x.shape[:2], rank)}, got {drawn.shape}")
    by_axis = reshape_to(with_layout(drawn, Layout.C), (rows, rank))
    if rank == 2:  # torch's samples are for width and height, but for depth, height and width
        by_axis = take_axis(by_axis, as_tensor(np.array([1, 0])), 1)
    places = _places(by_axis, extents, kernel, output, op)
    count, taps = prod(output), prod(kernel)
    channels = reshape_to(with_layout(x, Layout.C), (rows, prod(extents)))
    seen = gather_axis(channels, reshape_to(places, (rows, count * taps)), 1)
    found = largest(reshape_to(seen, (rows, count, taps), Layout.C), 2, keepdim=True)
    values = reshape_to(found.values, (*x.shape[:2], *output))
    if not return_indices:
        return values
    chosen = gather_axis(with_layout(places, Layout.C), with_layout(found.indices, Layout.C), 2)
    return values, reshape_to(chosen, (*x.shape[:2], *output))


@operator("input", "_random_samples")
def fractional_max_pool2d(
    input: Any,
    kernel_size: int | tuple[int, int],
    output_size: int | tuple[int, int] | None = None,
    output_ratio: float | tuple[float, float] | None = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Return maxima over windows of one size, at distances drawn so that the output has a given size.

    Args:
        input: (batch, channels, height, width).
        kernel_size: int or pair.
        output_size: int or pair, or
        output_ratio: number or pair, the output's share of the input's extents.
        return_indices: also return where in the channel, in C order, each value was found (int64).
        _random_samples: (batch, channels, 2), what the places of columns and rows of windows follow from,
            instead of numbers drawn evenly from (0, 1).

    Returns:
        Values, or with `return_indices` the pair (values, indices) of one shape.

    Raises:
        ValueError: an input of other axes, a window larger than the input, or neither or both of
            `output_size` and `output_ratio`.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.fractional_max_pool2d(np.ones((1, 2, 9, 9)), 2, output_ratio=0.6).shape
    (1, 2, 5, 5)
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@operator("input", "_random_samples")
def fractional_max_pool3d(
    input: Any,
    kernel_size: int | tuple[int, int, int],
    output_size: int | tuple[int, int, int] | None = None,
    output_ratio: float | tuple[float, float, float] | None = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Return maxima over windows of one size, at distances drawn so that the output has a given size.

    Args:
        input: (batch, channels, depth, height, width).
        kernel_size: int or triple.
        output_size: int or triple, or
        output_ratio: number or triple, the output's share of the input's extents.
        return_indices: also return where in the channel, in C order, each value was found (int64).
        _random_samples: (batch, channels, 3), what the places of planes, rows and columns of windows follow
            from, instead of numbers drawn evenly from (0, 1).

    Returns:
        Values, or with `return_indices` the pair (values, indices) of one shape.

    Raises:
        ValueError: an input of other axes, a window larger than the input, or neither or both of
            `output_size` and `output_ratio`.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.fractional_max_pool3d(np.ones((1, 2, 6, 6, 6)), 2, output_size=4).shape
    (1, 2, 4, 4, 4)
    """
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
