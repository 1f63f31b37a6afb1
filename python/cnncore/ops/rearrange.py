# SPDX-License-Identifier: Apache-2.0
"""More everyday names: matrices turned and cut to triangles, elements repeated, sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .arrange import flip
from .build import expand_to, permute_to, reshape_to, window
from .check import integer, integers, one_dim, sequence
from .comparison import where
from .gather import take_axis
from .shape import transpose

__all__ = [
    "broadcast_to",
    "diagonal",
    "expand_as",
    "fliplr",
    "flipud",
    "narrow",
    "repeat_interleave",
    "rot90",
    "swapdims",
    "tril",
    "triu",
]


@operator("input")
def swapdims(input: Any, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes; the same as `transpose`.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.swapdims([[1, 2], [3, 4]], 0, 1).tolist()
    [[1, 3], [2, 4]]
    """
    exchanged: Tensor = transpose(input, dim0, dim1)
    return exchanged


@operator("input", "other")
def expand_as(input: Any, other: Any) -> Tensor:
    """Repeat axes of extent 1 up to the other tensor's shape.

    Raises:
        ValueError: an extent other than 1 that would have to change.

    >>> from cnncore import ops
    >>> ops.expand_as([[1], [2]], [[0, 0], [0, 0]]).tolist()
    [[1, 1], [2, 2]]
    """
    repeated: Tensor = broadcast_to(input, as_tensor(other, "expand_as").shape)
    return repeated


@operator("input")
def broadcast_to(input: Any, size: Sequence[int]) -> Tensor:
    """Repeat axes of extent 1 up to `size`, which may have more axes in front.

    Raises:
        ValueError: an extent other than 1 that would have to change.

    >>> from cnncore import ops
    >>> ops.broadcast_to([1, 2], (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    x = as_tensor(input, "broadcast_to")
    extents = sequence(size, "size", "broadcast_to")
    wanted = integers(extents, len(extents), "size", "broadcast_to")
    shape = (1,) * (len(wanted) - x.ndim) + x.shape
    if len(shape) != len(wanted) or any(n not in (1, w) for n, w in zip(shape, wanted, strict=True)):
        raise shape_error("broadcast_to", f"{x.shape} cannot be repeated to {wanted}")
    return expand_to(x, wanted)


@operator("input")
def narrow(input: Any, dim: int, start: int, length: int) -> Tensor:
    """Return `length` places of axis `dim` from `start` on; a negative `start` counts from the end.

    Raises:
        ValueError: places outside of the axis.

    >>> from cnncore import ops
    >>> ops.narrow([1, 2, 3, 4], 0, 1, 2).tolist()
    [2, 3]
    """
    x = as_tensor(input, "narrow")
    axis = one_dim(dim, x.ndim, "narrow")
    (count,) = integers(length, 1, "length", "narrow")
    first, extent = integer(start, "start", "narrow"), x.shape[axis]
    begin = first + extent if first < 0 else first
    if not 0 <= begin <= extent - count:
        raise shape_error("narrow", f"expected places within 0 .. {extent - 1}, got {first} and {count} on")
    starts = tuple(begin if i == axis else 0 for i in range(x.ndim))
    shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
    return window(x, starts, (1,) * x.ndim, shape)


def unfold(input: Any, dimension: int, size: int, step: int) -> Tensor:
    """Return all windows of `size` places along an axis, `step` apart; the last axis is that of a window."""
    given = as_tensor(input, "unfold")
    x = given if given.ndim else reshape_to(given, (1,))
    axis = one_dim(dimension, x.ndim, "unfold")
    (width,), (stride,) = integers(size, 1, "size", "unfold"), integers(step, 1, "step", "unfold")
    if width > x.shape[axis]:
        raise shape_error("unfold", f"expected size of at most {x.shape[axis]}, got {width}")
    starts = np.arange(0, x.shape[axis] - width + 1, stride)
    places = (starts[:, None] + np.arange(width)).reshape(-1)
    taken = take_axis(x, as_tensor(places), axis)
    if given.ndim == 0:
        return taken
    windows = reshape_to(taken, (*x.shape[:axis], len(starts), width, *x.shape[axis + 1 :]))
    return permute_to(windows, (*(i for i in range(x.ndim + 1) if i != axis + 1), axis + 1))


def _matrix(op: str, input: Any) -> Tensor:
    x = as_tensor(input, op)
    if x.ndim < 2:
        raise shape_error(op, f"expected at least two axes, got shape {x.shape}")
    return x


@operator("input")
def fliplr(input: Any) -> Tensor:
    """Turn axis 1 around.

    Raises:
        ValueError: an input of fewer than two axes.

    >>> from cnncore import ops
    >>> ops.fliplr([[1, 2], [3, 4]]).tolist()
    [[2, 1], [4, 3]]
    """
    turned: Tensor = flip(_matrix("fliplr", input), 1)
    return turned


@operator("input")
def flipud(input: Any) -> Tensor:
    """Turn axis 0 around.

    >>> from cnncore import ops
    >>> ops.flipud([[1, 2], [3, 4]]).tolist()
    [[3, 4], [1, 2]]
    """
    turned: Tensor = flip(as_tensor(input, "flipud"), 0)
    return turned


@operator("input")
def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by `k` times 90 degrees in the plane of two axes, from the first towards the second.

    Raises:
        ValueError: not two different axes.

    >>> from cnncore import ops
    >>> ops.rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    x = _matrix("rot90", input)
    plane = sequence(dims, "dims", "rot90")
    if len(plane) != 2:
        raise shape_error("rot90", f"expected two axes, got {dims!r}")
    a, b = (one_dim(d, x.ndim, "rot90") for d in plane)
    if a == b:
        raise shape_error("rot90", f"expected different axes, got {dims!r}")
    turns = integer(k, "k", "rot90") % 4
    if turns == 1:
        x = transpose(flip(x, b), a, b)
    elif turns == 2:
        x = flip(x, (a, b))
    elif turns == 3:
        x = flip(transpose(x, a, b), b)
    return x


def _triangle(op: str, input: Any, diagonal: int, lower: bool) -> Tensor:
    x = _matrix(op, input)
    k = max(-x.shape[-2] - 1, min(integer(diagonal, "diagonal", op), x.shape[-1] + 1))
    inside = np.tri(x.shape[-2], x.shape[-1], k if lower else k - 1, dtype=bool)
    kept: Tensor = where(inside if lower else ~inside, x, False if x.dtype == "bool" else 0)
    return kept


@operator("input")
def tril(input: Any, diagonal: int = 0) -> Tensor:
    """Return the lower triangles of the last two axes, up to a diagonal (1: above the main one), or 0.

    Raises:
        ValueError: an input of fewer than two axes.

    >>> from cnncore import ops
    >>> ops.tril([[1, 2], [3, 4]]).tolist()
    [[1, 0], [3, 4]]
    """
    return _triangle("tril", input, diagonal, True)


@operator("input")
def triu(input: Any, diagonal: int = 0) -> Tensor:
    """Return the upper triangles of the last two axes, from a diagonal on (1: above the main one), or 0.

    Raises:
        ValueError: an input of fewer than two axes.

    >>> from cnncore import ops
    >>> ops.triu([[1, 2], [3, 4]]).tolist()
    [[1, 2], [0, 4]]
    """
    return _triangle("triu", input, diagonal, False)


@operator("input")
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the elements whose index along axis `dim2` is that along `dim1` plus `offset`, as the last axis.

    Raises:
        ValueError: the same axis twice, or an offset outside of the matrix.

    >>> from cnncore import ops
    >>> ops.diagonal([[1, 2], [3, 4]]).tolist()
    [1, 4]
    """
    x = _matrix("diagonal", input)
    a, b = one_dim(dim1, x.ndim, "diagonal"), one_dim(dim2, x.ndim, "diagonal")
    if a == b:
        raise shape_error("diagonal", f"expected different axes, got {dim1} and {dim2}")
    shift = integer(offset, "offset", "diagonal")
    rows, columns = x.shape[a], x.shape[b]
    count = min(rows, columns - shift) if shift >= 0 else min(rows + shift, columns)
    if count < 1:
        raise shape_error("diagonal", f"offset {shift} is outside of {rows} x {columns}")
    x = permute_to(x, (*(i for i in range(x.ndim) if i not in (a, b)), a, b))
    first = shift if shift >= 0 else -shift * columns
    flat = reshape_to(x, (*x.shape[:-2], rows * columns))
    ones = (1,) * (flat.ndim - 1)
    return window(flat, (*(0 for _ in ones), first), (*ones, columns + 1), (*flat.shape[:-1], count))


@operator("input")
def repeat_interleave(
    input: Any, repeats: Any, dim: int | None = None, output_size: int | None = None
) -> Tensor:
    """Repeat each place of an axis, the copies side by side.

    Args:
        input: tensor.
        repeats: how often, or as many numbers as the axis has places.
        dim: the axis; None repeats all elements in C order.
        output_size: the result's extent, which is checked.

    Raises:
        ValueError: repeats of zeros alone, or an `output_size` that is not their sum.

    >>> from cnncore import ops
    >>> ops.repeat_interleave([1, 2], 2).tolist(), ops.repeat_interleave([1, 2], [1, 3]).tolist()
    ([1, 1, 2, 2], [1, 2, 2, 2])
    """
    x = as_tensor(input, "repeat_interleave")
    x = reshape_to(x, (x.size,)) if dim is None else x
    axis = 0 if dim is None else one_dim(dim, x.ndim, "repeat_interleave")
    extent = x.shape[axis]
    if not isinstance(repeats, int):
        repeats = np.asarray(repeats).tolist()
    counts = integers(repeats, extent, "repeats", "repeat_interleave", least=0)
    places = np.repeat(np.arange(extent), counts)
    if output_size not in (None, places.size):
        raise shape_error("repeat_interleave", f"expected output_size {places.size}, got {output_size}")
    if not places.size:
        raise shape_error("repeat_interleave", "expected repeats of which one is at least 1, got zeros")
    if len(set(counts)) > 1:
        return take_axis(x, as_tensor(places), axis)
    apart = reshape_to(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    copies = expand_to(apart, (*x.shape[: axis + 1], counts[0], *x.shape[axis + 1 :]))
    return reshape_to(copies, (*x.shape[:axis], extent * counts[0], *x.shape[axis + 1 :]))
