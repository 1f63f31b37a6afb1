# SPDX-License-Identifier: Apache-2.0
"""Other shapes and orders of the same elements, parts of tensors, and tensors put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...graph.tensor import Tensor
from ...ops.rearrange import unfold as windows
from ..table import operator, same, tensor

same(ops.flatten, "flatten")
same(ops.unflatten, "unflatten")
same(ops.movedim, "movedim")
same(ops.roll, "roll")
same(ops.pixel_shuffle, "pixel_shuffle")
same(ops.pixel_unshuffle, "pixel_unshuffle")
same(ops.channel_shuffle, "channel_shuffle")
same(ops.tril, "tril")
same(ops.triu, "triu")
same(ops.repeat_interleave, "repeat_interleave.self_int")
same(ops.diagonal, "diagonal")
same(ops.rot90, "rot90")


@operator("view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy", "_reshape_copy")
def view(input: Any, size: Sequence[int]) -> Any:
    return ops.reshape(input, tuple(size))


@operator("view_as", "reshape_as")
def view_as(input: Any, other: Any) -> Any:
    return ops.reshape(input, tensor(other).shape)


@operator("permute", "permute_copy")
def permute(input: Any, dims: Sequence[int]) -> Any:
    x = tensor(input)
    return ops.permute(x, tuple(dim % x.ndim for dim in dims))


@operator("transpose", "swapaxes", "swapdims")
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    return ops.transpose(input, dim0, dim1) if tensor(input).ndim > 1 else tensor(input)


@operator("t", "numpy_T", "adjoint", "mT")
def turned(input: Any) -> Any:
    return transpose(input, 0, 1) if tensor(input).ndim == 2 else ops.transpose(input, -1, -2)


@operator("squeeze")
def squeeze(input: Any, dim: Any = None) -> Any:
    return ops.squeeze(input, tuple(dim) if isinstance(dim, (list, tuple)) else dim)


@operator("unsqueeze")
def unsqueeze(input: Any, dim: int) -> Any:
    return ops.unsqueeze(input, dim)


@operator("expand", "expand_copy")
def expand(input: Any, size: Sequence[int], implicit: bool = False) -> Any:
    return ops.expand(input, tuple(size))


@operator("expand_as")
def expand_as(input: Any, other: Any) -> Any:
    return ops.expand(input, tensor(other).shape)


@operator("repeat")
def repeat(input: Any, repeats: Sequence[int]) -> Any:
    return ops.repeat(input, tuple(repeats))


@operator("tile")
def tile(input: Any, dims: Sequence[int]) -> Any:
    return ops.tile(input, tuple(dims))


@operator("flip")
def flip(input: Any, dims: Sequence[int]) -> Any:
    return ops.flip(input, tuple(dims))


@operator("cat", "concat", "concatenate")
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    return ops.cat(tensors, dim)


@operator("stack")
def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    return ops.stack(tensors, dim)


@operator("split", "split_with_sizes", "split_with_sizes_copy", "split_copy", "unsafe_split")
def split(input: Any, size: Any, dim: int = 0) -> tuple[Any, ...]:
    return tuple(ops.split(input, list(size) if isinstance(size, (list, tuple)) else size, dim))


@operator("chunk")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    return tuple(ops.chunk(input, chunks, dim))


@operator("unbind", "unbind_copy")
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    return tuple(ops.unbind(input, dim))


@operator("select", "select_copy")
def select(input: Any, dim: int, index: int) -> Any:
    x = tensor(input)
    places: list[Any] = [slice(None)] * x.ndim
    places[dim] = index
    return ops.slice(x, tuple(places))


def _window(x: Tensor, dim: int, start: Any, end: Any, step: int) -> tuple[Any, ...]:
    """Return the index that takes elements start, start + step, ... below end of an axis."""
    extent = x.shape[dim]
    begin, stop, _ = slice(start, end).indices(extent)
    places: list[Any] = [slice(None)] * x.ndim
    places[dim] = slice(begin, max(begin, stop), step)
    return tuple(places)


@operator("slice", "slice_copy")
def slice_(input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    x = tensor(input)
    return ops.slice(x, _window(x, dim, start, end, step))


@operator("narrow")
def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    return ops.narrow(input, dim, start, length)


@operator("slice_scatter")
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    x = tensor(input)
    window = _window(x, dim, start, end, step)[dim]
    return _scattered(x, tensor(src), dim, range(window.start, window.stop, window.step))


@operator("select_scatter")
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    x = tensor(input)
    return _scattered(x, ops.unsqueeze(src, dim), dim, range(index % x.shape[dim], index % x.shape[dim] + 1))


def _scattered(x: Tensor, source: Tensor, dim: int, places: range) -> Any:
    """Return `x` with the elements of `source` at places of an axis."""
    axis = dim % x.ndim
    if len(places) == x.shape[axis]:
        return ops.expand(source, x.shape)
    parts, before = [], 0
    steps = [range(p, p + 1) for p in places] if places.step > 1 else [places]
    for i, place in enumerate(steps):
        if place.start > before:
            parts.append(ops.narrow(x, axis, before, place.start - before))
        parts.append(ops.narrow(source, axis, i, 1) if places.step > 1 else source)
        before = place.stop
    if before < x.shape[axis]:
        parts.append(ops.narrow(x, axis, before, x.shape[axis] - before))
    return ops.cat(parts, axis)


@operator("constant_pad_nd")
def constant_pad(input: Any, pad: Sequence[int], value: float = 0) -> Any:
    return _padded(tensor(input), list(pad), "constant", value)


@operator("pad")
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    return _padded(tensor(input), list(pad), mode, value)


@operator("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def reflection_pad(input: Any, padding: Sequence[int]) -> Any:
    return _padded(tensor(input), list(padding), "reflect", None)


@operator("replication_pad1d", "replication_pad2d", "replication_pad3d")
def replication_pad(input: Any, padding: Sequence[int]) -> Any:
    return _padded(tensor(input), list(padding), "replicate", None)


def _padded(x: Tensor, sides: list[int], mode: str, value: Any) -> Any:
    """Pad; negative sides cut elements off."""
    places: list[Any] = [slice(None)] * x.ndim
    for i in range(len(sides) // 2):
        begin, end = min(sides[2 * i], 0), min(sides[2 * i + 1], 0)
        axis = x.ndim - 1 - i
        places[axis] = slice(-begin, x.shape[axis] + end)
    if any(side < 0 for side in sides):
        x = ops.slice(x, tuple(places))
        sides = [max(side, 0) for side in sides]
    return ops.pad(x, sides, mode, value) if any(sides) else x


@operator("unfold")
def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    return windows(input, dimension, size, step)


@operator("im2col")
def im2col(input: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    return ops.unfold(input, *map(tuple, (kernel_size, dilation, padding, stride)))


@operator("col2im")
def col2im(input: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    return ops.fold(input, *map(tuple, (output_size, kernel_size, dilation, padding, stride)))
