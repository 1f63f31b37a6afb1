# SPDX-License-Identifier: Apache-2.0
"""Everyday names for joining, cutting, repeating and turning tensors, made of a few steps that copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .build import expand_to, permute_to, reshape_to, window
from .check import integers, many_dims, one_dim, sequence
from .parts import concat
from .shape import transpose

__all__ = [
    "cat",
    "chunk",
    "expand",
    "flip",
    "movedim",
    "repeat",
    "roll",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "unbind",
    "unsqueeze",
]


@operator("tensors")
def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis; the same as `concat`.

    Raises:
        ValueError: shapes that differ along another axis than `dim`.
        TypeError: no list of tensors.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.cat([np.array([[1, 2]]), np.array([[3, 4]])], dim=1).tolist()
    [[1, 2, 3, 4]]
    """
    joined: Tensor = concat(tensors, dim)
    return joined


@operator("tensors")
def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    Raises:
        ValueError: tensors of different shapes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.stack([np.zeros(2), np.ones(2)], dim=1).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    parts = [as_tensor(tensor, "stack") for tensor in tensors]
    if len({part.shape for part in parts}) != 1:
        raise shape_error("stack", f"expected tensors of one shape, got {[part.shape for part in parts]}")
    axis = one_dim(dim, parts[0].ndim + 1, "stack")
    shape = (*parts[0].shape[:axis], 1, *parts[0].shape[axis:])
    joined: Tensor = concat([reshape_to(part, shape) for part in parts], axis)
    return joined


def _cut(x: Tensor, axis: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Return neighbouring pieces of these extents along an axis."""
    pieces, start = [], 0
    for size in sizes:
        starts = tuple(start if i == axis else 0 for i in range(x.ndim))
        shape = tuple(size if i == axis else n for i, n in enumerate(x.shape))
        pieces.append(x if shape == x.shape else window(x, starts, (1,) * x.ndim, shape))
        start += size
    return tuple(pieces)


@operator("input")
def split(input: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a tensor along axis `dim` into pieces of one extent (the last may be smaller) or of those given:
    `split_size_or_sections`.

    Raises:
        ValueError: sections that do not add up to the extent.

    >>> from cnncore import ops
    >>> [piece.tolist() for piece in ops.split([1, 2, 3, 4, 5], 2)]
    [[1, 2], [3, 4], [5]]
    """
    x = as_tensor(input, "split")
    axis = one_dim(dim, x.ndim, "split")
    extent, given = x.shape[axis], split_size_or_sections
    if isinstance(given, Sequence):
        sizes = integers(given, len(given), "split_size_or_sections", "split", 0)
        if sum(sizes) != extent:
            raise shape_error("split", f"expected sections that add up to {extent}, got {tuple(sizes)}")
    else:
        (size,) = integers(given, 1, "split_size_or_sections", "split", min(extent, 1))
        sizes = tuple(min(size, extent - start) for start in range(0, max(extent, 1), max(size, 1)))
    return _cut(x, axis, sizes)


@operator("input")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a tensor along axis `dim` into at most `chunks` pieces of one extent; the last may be smaller.

    An axis of no elements gives `chunks` empty pieces.

    Raises:
        ValueError: `dim` is no axis of `input`, or `chunks` below 1.

    >>> from cnncore import ops
    >>> [piece.tolist() for piece in ops.chunk([1, 2, 3, 4, 5], 2)]
    [[1, 2, 3], [4, 5]]
    """
    x = as_tensor(input, "chunk")
    axis = one_dim(dim, x.ndim, "chunk")
    (count,) = integers(chunks, 1, "chunks", "chunk")
    if x.shape[axis] == 0:
        return (x,) * count
    size = -(-x.shape[axis] // count)
    pieces: tuple[Tensor, ...] = split(x, size, axis)
    return pieces


@operator("input")
def unbind(input: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along axis `dim`, without that axis.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> [row.tolist() for row in ops.unbind([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """
    x = as_tensor(input, "unbind")
    axis = one_dim(dim, x.ndim, "unbind")
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return tuple(reshape_to(piece, shape) for piece in _cut(x, axis, (1,) * x.shape[axis]))


@operator("input")
def squeeze(input: Any, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Drop axes of extent 1: all, or those of `dim` that have it.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.squeeze([[[1], [2]]]).tolist()
    [1, 2]
    """
    x = as_tensor(input, "squeeze")
    axes = many_dims(dim, x.ndim, "squeeze")
    return reshape_to(x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


@operator("input")
def unsqueeze(input: Any, dim: int) -> Tensor:
    """Insert an axis of extent 1 before axis `dim`, from -rank - 1 to rank.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.unsqueeze([1, 2], 1).tolist()
    [[1], [2]]
    """
    x = as_tensor(input, "unsqueeze")
    axis = one_dim(dim, x.ndim + 1, "unsqueeze")
    return reshape_to(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@operator("input")
def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes `source` to the places `destination`; the others keep their order.

    Raises:
        ValueError: an axis twice, or not as many places as axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.movedim(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = as_tensor(input, "movedim")
    given = [
        [one_dim(d, x.ndim, "movedim") for d in (dims if isinstance(dims, Sequence) else (dims,))]
        for dims in (source, destination)
    ]
    if len(given[0]) != len(given[1]) or any(len(set(dims)) != len(dims) for dims in given):
        raise shape_error(
            "movedim", f"expected different axes and as many places, got {source} to {destination}"
        )
    order = [i for i in range(x.ndim) if i not in given[0]]
    for place, axis in sorted(zip(given[1], given[0], strict=True)):
        order.insert(place, axis)
    return permute_to(x, tuple(order))


@operator("input")
def swapaxes(input: Any, axis0: int, axis1: int) -> Tensor:
    """Exchange two axes; the same as `transpose`.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.swapaxes([[1, 2], [3, 4]], 0, 1).tolist()
    [[1, 3], [2, 4]]
    """
    exchanged: Tensor = transpose(input, axis0, axis1)
    return exchanged


@operator("input")
def expand(input: Any, size: Sequence[int]) -> Tensor:
    """Repeat axes of extent 1 up to `size`, which may have more axes in front; -1 keeps an extent.

    Raises:
        ValueError: an extent other than 1 that would have to change.

    >>> from cnncore import ops
    >>> ops.expand([[1], [2]], (-1, 3)).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    x = as_tensor(input, "expand")
    size = sequence(size, "size", "expand")
    wanted = integers(size, len(size), "size", "expand", least=-1)
    extra = len(wanted) - x.ndim
    shape = (1,) * max(extra, 0) + x.shape
    found = tuple(n if w == -1 else w for n, w in zip(shape, wanted, strict=False))
    fits = extra >= 0 and -1 not in wanted[:extra] and 0 not in wanted
    if not fits or any(n not in (1, w) for n, w in zip(shape, found, strict=True)):
        raise shape_error("expand", f"{x.shape} cannot be repeated to {size}")
    return expand_to(x, found)


@operator("input")
def repeat(input: Any, repeats: Sequence[int]) -> Tensor:
    """Put copies of the tensor side by side: `repeats` of them along each axis, of which there may be more.

    Raises:
        ValueError: fewer numbers than axes.

    >>> from cnncore import ops
    >>> ops.repeat([1, 2], (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    x = as_tensor(input, "repeat")
    repeats = sequence(repeats, "repeats", "repeat")
    counts = integers(repeats, len(repeats), "repeats", "repeat")
    if len(counts) < x.ndim:
        raise shape_error("repeat", f"expected at least {x.ndim} numbers for {x.shape}, got {repeats}")
    x = reshape_to(x, (1,) * (len(counts) - x.ndim) + x.shape)
    for axis, count in enumerate(counts):
        x = concat([x] * count, axis)
    return x


@operator("input")
def tile(input: Any, dims: Sequence[int]) -> Tensor:
    """Put copies of the tensor side by side as `repeat` does; missing numbers in front are 1.

    Raises:
        TypeError: `dims` that are no integers.
        ValueError: a number below 1.

    >>> from cnncore import ops
    >>> ops.tile([[1, 2]], (2,)).tolist()
    [[1, 2, 1, 2]]
    """
    x = as_tensor(input, "tile")
    counts = sequence(dims, "dims", "tile")
    copies: Tensor = repeat(x, (1,) * (x.ndim - len(counts)) + counts)
    return copies


@operator("input")
def flip(input: Any, dims: int | Sequence[int]) -> Tensor:
    """Turn axes `dims` around.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.flip([[1, 2], [3, 4]], (1,)).tolist()
    [[2, 1], [4, 3]]
    """
    x = as_tensor(input, "flip")
    axes = many_dims(tuple(dims) if isinstance(dims, Sequence) else dims, x.ndim, "flip")
    if not axes:
        return x
    starts = tuple(n - 1 if i in axes else 0 for i, n in enumerate(x.shape))
    return window(x, starts, tuple(-1 if i in axes else 1 for i in range(x.ndim)), x.shape)


@operator("input")
def roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Shift elements along axes; what leaves at one end comes in at the other.

    Args:
        input: tensor of any shape.
        shifts: places to the right, one number for each of `dims`.
        dims: axes; None shifts the elements in C order.

    Raises:
        ValueError: not as many shifts as axes, or an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.roll([1, 2, 3], 1).tolist()
    [3, 1, 2]
    """
    x = as_tensor(input, "roll")
    if dims is None:
        flat: Tensor = roll(reshape_to(x, (x.size,)), shifts, 0)
        return reshape_to(flat, x.shape)
    axes = [one_dim(d, x.ndim, "roll") for d in (dims if isinstance(dims, Sequence) else (dims,))]
    least = -(1 << 62)
    for axis, shift in zip(axes, integers(shifts, len(axes), "shifts", "roll", least=least), strict=True):
        extent = x.shape[axis]
        cut = -shift % extent if extent else 0
        if cut:
            x = concat(_cut(x, axis, (cut, extent - cut))[::-1], axis)
    return x
