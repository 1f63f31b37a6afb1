# SPDX-License-Identifier: Apache-2.0
"""What moves elements and computes nothing: shapes, slices, padding, tiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ..bounds import require_result
from ..dtypes import numpy_type
from ..graph import Node
from ..table import host, traced

Array = Any


def ints(values: Any) -> tuple[int, ...]:
    """Return a known integer tensor, or an attribute, as a tuple."""
    return tuple(int(v) for v in np.asarray(values).reshape(-1))


def setting(node: Node, name: str, inputs: Sequence[Any], index: int, until: int) -> tuple[int, ...] | None:
    """Return what was an attribute below opset `until` and is an input from it on; None where absent."""
    given = inputs[index] if index < len(inputs) else None
    value = node.attr(name) if node.opset < until else given
    return None if value is None else ints(value)


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"expected an axis of {rank} axes, got {axis}")
    return axis % rank if rank else 0


# -- shapes -------------------------------------------------------------------------------------------


def resolved_shape(shape: Sequence[int], wanted: Sequence[int], allowzero: bool = False) -> tuple[int, ...]:
    """Return the shape that Reshape asks for: 0 keeps an extent, -1 is what is left."""
    found = list(wanted)
    if not allowzero:
        for i, extent in enumerate(found):
            if extent == 0:
                if i >= len(shape):
                    raise ValueError(f"cannot keep extent {i} of shape {tuple(shape)} in {tuple(wanted)}")
                found[i] = shape[i]
    size, known = int(np.prod(shape)), int(np.prod([e for e in found if e != -1]))
    if found.count(-1) == 1 and known and size % known == 0:
        found[found.index(-1)] = size // known
    if min(found, default=1) < 0 or int(np.prod(found)) != size:
        raise ValueError(f"cannot reshape {tuple(shape)} to {tuple(wanted)}")
    return tuple(found)


@host("Reshape")
def host_reshape(node: Node, x: Array, shape: Array) -> Array:
    return x.reshape(resolved_shape(x.shape, ints(shape), node.attr("allowzero", 0)))


@traced("Reshape", kinds="fib", static=(1,))
def reshape(node: Node, x: Any, shape: Any) -> Any:
    return ops.reshape(x, resolved_shape(x.shape, ints(shape), node.attr("allowzero", 0)))


def _flat(node: Node, shape: Sequence[int]) -> tuple[int, int]:
    axis = node.attr("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise ValueError(f"expected an axis of shape {tuple(shape)}, got {axis}")
    return int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))


@host("Flatten")
def host_flatten(node: Node, x: Array) -> Array:
    return x.reshape(_flat(node, x.shape))


@traced("Flatten", kinds="fib")
def flatten(node: Node, x: Any) -> Any:
    return ops.reshape(x, _flat(node, x.shape))


def _squeezed(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> tuple[int, ...]:
    axes = setting(node, "axes", rest, 0, 13)
    if axes is None:
        return tuple(extent for extent in shape if extent != 1)
    dropped = {axis_of(axis, len(shape)) for axis in axes}
    wrong = [axis for axis in dropped if shape[axis] != 1]
    if wrong:
        raise ValueError(f"cannot drop axes {wrong} of shape {tuple(shape)}: their extent is not 1")
    return tuple(extent for i, extent in enumerate(shape) if i not in dropped)


def _unsqueezed(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> tuple[int, ...]:
    axes = setting(node, "axes", rest, 0, 13) or ()
    rank = len(shape) + len(axes)
    added = {axis_of(axis, rank) for axis in axes}
    if len(added) != len(axes):
        raise ValueError(f"axes {axes} name one twice")
    extents = iter(shape)
    return tuple(1 if i in added else next(extents) for i in range(rank))


@host("Squeeze")
def host_squeeze(node: Node, x: Array, *rest: Any) -> Array:
    return x.reshape(_squeezed(node, x.shape, rest))


@traced("Squeeze", kinds="fib", static=(1,))
def squeeze(node: Node, x: Any, *rest: Any) -> Any:
    return ops.reshape(x, _squeezed(node, x.shape, rest))


@host("Unsqueeze")
def host_unsqueeze(node: Node, x: Array, *rest: Any) -> Array:
    return x.reshape(_unsqueezed(node, x.shape, rest))


@traced("Unsqueeze", kinds="fib", static=(1,))
def unsqueeze(node: Node, x: Any, *rest: Any) -> Any:
    return ops.reshape(x, _unsqueezed(node, x.shape, rest))


@host("Transpose")
def host_transpose(node: Node, x: Array) -> Array:
    return np.transpose(x, node.attr("perm"))


@traced("Transpose", kinds="fib")
def transpose(node: Node, x: Any) -> Any:
    return ops.permute(x, tuple(node.attr("perm", tuple(reversed(range(x.ndim))))))


def _expanded(shape: Sequence[int], wanted: Any) -> tuple[int, ...]:
    return tuple(np.broadcast_shapes(tuple(shape), ints(wanted)))


@host("Expand")
def host_expand(node: Node, x: Array, shape: Array) -> Array:
    wanted = _expanded(x.shape, shape)
    require_result(wanted, x.itemsize)
    return np.broadcast_to(x, wanted).copy()


@traced("Expand", kinds="fib", static=(1,))
def expand(node: Node, x: Any, shape: Any) -> Any:
    return ops.broadcast_to(x, _expanded(x.shape, shape))


@host("Tile")
def host_tile(node: Node, x: Array, repeats: Array) -> Array:
    counts = ints(repeats)
    require_result([n * count for n, count in zip(x.shape, counts, strict=True)], x.itemsize)
    return np.tile(x, counts)


@traced("Tile", kinds="fib", static=(1,))
def tile(node: Node, x: Any, repeats: Any) -> Any:
    return ops.tile(x, ints(repeats))


@host("Shape")
def shape_of(node: Node, x: Array) -> Array:
    return np.array(x.shape[slice(node.attr("start", 0), node.attr("end"))], np.int64)


@host("Size")
def size_of(node: Node, x: Array) -> Array:
    return np.array(x.size, np.int64)


# -- joining and cutting ------------------------------------------------------------------------------


@host("Concat")
def host_concat(node: Node, *inputs: Array) -> Array:
    return np.concatenate(inputs, node.attr("axis", 1))


@traced("Concat", kinds="fib")
def concat(node: Node, *inputs: Any) -> Any:
    return ops.concat(list(inputs), node.attr("axis", 1))


def _parts(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> tuple[int, list[int]]:
    axis = axis_of(node.attr("axis", 0), len(shape))
    sizes = setting(node, "split", rest, 0, 13)
    if sizes is None:
        count = node.attr("num_outputs", len(node.outputs))
        size = -(-shape[axis] // count)
        sizes = (*[size] * (count - 1), shape[axis] - size * (count - 1))
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        raise ValueError(f"cannot split axis {axis} of shape {tuple(shape)} into {sizes}")
    return axis, list(sizes)


@host("Split")
def host_split(node: Node, x: Array, *rest: Any) -> tuple[Array, ...]:
    axis, sizes = _parts(node, x.shape, rest)
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@traced("Split", kinds="fib", static=(1,))
def split(node: Node, x: Any, *rest: Any) -> Any:
    axis, sizes = _parts(node, x.shape, rest)
    return tuple(ops.split(x, sizes, axis))


def _slices(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> list[slice]:
    if node.opset < 10:
        starts, ends, axes, steps = (node.attr(name) for name in ("starts", "ends", "axes", "steps"))
    else:
        starts, ends, axes, steps = (*rest, None, None)[:4]
    starts, ends = ints(starts), ints(ends)
    axes = range(len(starts)) if axes is None else ints(axes)
    steps = [1] * len(starts) if steps is None else ints(steps)
    found = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, len(shape))
        found[axis] = _bounded(start, end, step, shape[axis])
    return found


def _bounded(start: int, end: int, step: int, extent: int) -> slice:
    if step == 0:
        raise ValueError("a step of 0")
    start, end = (v + extent if v < 0 else v for v in (start, end))
    if step > 0:
        return slice(min(max(start, 0), extent), min(max(end, 0), extent), step)
    start, end = min(max(start, -1), extent - 1), min(max(end, -1), extent - 1)
    return slice(start, None if end < 0 else end, step)


@host("Slice")
def host_slice(node: Node, x: Array, *rest: Any) -> Array:
    return x[tuple(_slices(node, x.shape, rest))]


@traced("Slice", kinds="fib", static=(1, 2, 3, 4))
def slice_(node: Node, x: Any, *rest: Any) -> Any:
    found = _slices(node, x.shape, rest)
    for axis, part in enumerate(found):
        if part.step is not None and part.step < 0:
            kept = np.arange(x.shape[axis])[part]
            x = ops.index_select(x, axis, kept)
            found[axis] = slice(None)
    return x if all(part == slice(None) for part in found) else ops.slice(x, tuple(found))


# -- padding ------------------------------------------------------------------------------------------


def pad_widths(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> tuple[list[tuple[int, int]], Any]:
    """Return elements added before and behind each axis, and the value."""
    given = setting(node, "pads", rest, 0, 11)
    value = node.attr("value", 0.0) if node.opset < 11 else (*rest, None, None)[1]
    axes = ints(rest[2]) if len(rest) > 2 and rest[2] is not None else range(len(shape))
    if given is None or len(given) != 2 * len(axes):
        raise ValueError(f"expected pads for {len(axes)} axes, got {given}")
    found = [(0, 0)] * len(shape)
    for i, axis in enumerate(axes):
        found[axis_of(axis, len(shape))] = (given[i], given[i + len(axes)])
    return found, value


def _cut(pads: Sequence[tuple[int, int]], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return what is left of an array by negative padding."""
    for axis, ((begin, end), extent) in enumerate(zip(pads, shape, strict=True)):
        if max(-begin, 0) + max(-end, 0) > extent:
            raise ValueError(f"pads ({begin}, {end}) take more than the {extent} elements of axis {axis}")
    return tuple(
        slice(max(-begin, 0), extent - max(-end, 0)) for (begin, end), extent in zip(pads, shape, strict=True)
    )


_MODES: dict[str, Any] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@host("Pad")
def host_pad(node: Node, x: Array, *rest: Any) -> Array:
    pads, value = pad_widths(node, x.shape, rest)
    x = x[_cut(pads, x.shape)]
    widths = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    require_result([n + sum(pair) for n, pair in zip(x.shape, widths, strict=True)], x.itemsize)
    mode = node.attr("mode", "constant")
    if mode == "constant":
        fill = np.asarray(0 if value is None else value).reshape(-1)[0]
        return np.pad(x, widths, constant_values=fill)
    return np.pad(x, widths, _MODES[mode])


@traced("Pad", kinds="fib", static=(1, 2, 3))
def pad(node: Node, x: Any, *rest: Any) -> Any:
    pads, value = pad_widths(node, x.shape, rest)
    if any(min(pair) < 0 for pair in pads):
        x = ops.slice(x, _cut(pads, x.shape))
    widths = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    if not any(map(any, widths)):
        return x
    mode = node.attr("mode", "constant")
    if mode == "constant":
        fill = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
        return pad_constant(x, widths, fill)
    for axis, width in enumerate(widths):
        if any(width):
            x = ops.index_select(x, axis, np.pad(np.arange(x.shape[axis]), width, _MODES[mode]))
    return x


def pad_constant(x: Any, widths: Sequence[tuple[int, int]], value: float) -> Any:
    """Pad each axis by (before, behind) elements."""
    flat = [n for pair in reversed(widths) for n in pair]
    while flat and not any(flat[-2:]):
        del flat[-2:]
    return ops.pad(x, flat, "constant", value) if flat else x


# -- blocks -------------------------------------------------------------------------------------------


def _depth_to_space(node: Node, shape: Sequence[int]) -> tuple[Any, Any, Any]:
    n, c, h, w = shape
    b = node.attr("blocksize")
    if node.attr("mode", "DCR") == "DCR":
        return (n, b, b, c // (b * b), h, w), (0, 3, 4, 1, 5, 2), (n, c // (b * b), h * b, w * b)
    return (n, c // (b * b), b, b, h, w), (0, 1, 4, 2, 5, 3), (n, c // (b * b), h * b, w * b)


def _space_to_depth(node: Node, shape: Sequence[int]) -> tuple[Any, Any, Any]:
    n, c, h, w = shape
    b = node.attr("blocksize")
    if node.attr("mode", "DCR") == "DCR":
        return (n, c, h // b, b, w // b, b), (0, 3, 5, 1, 2, 4), (n, c * b * b, h // b, w // b)
    return (n, c, h // b, b, w // b, b), (0, 1, 3, 5, 2, 4), (n, c * b * b, h // b, w // b)


for _name, _plan in (("DepthToSpace", _depth_to_space), ("SpaceToDepth", _space_to_depth)):

    @host(_name)
    def _host_blocks(node: Node, x: Array, plan: Any = _plan) -> Array:
        split, dims, joined = plan(node, x.shape)
        return x.reshape(split).transpose(dims).reshape(joined)

    @traced(_name, kinds="fib")
    def _blocks(node: Node, x: Any, plan: Any = _plan) -> Any:
        split, dims, joined = plan(node, x.shape)
        return ops.reshape(ops.permute(ops.reshape(x, split), dims), joined)


@host("CenterCropPad")
def center_crop_pad(node: Node, x: Array, shape: Array) -> Array:
    wanted = ints(shape)
    axes = node.attr("axes", range(x.ndim))
    for axis, extent in zip(axes, wanted, strict=True):
        axis = axis_of(axis, x.ndim)
        have = x.shape[axis]
        if extent < have:
            begin = (have - extent) // 2
            x = np.take(x, range(begin, begin + extent), axis)
        else:
            before = (extent - have) // 2
            widths = [(0, 0)] * x.ndim
            widths[axis] = (before, extent - have - before)
            require_result([*x.shape[:axis], extent, *x.shape[axis + 1 :]], x.itemsize)
            x = np.pad(x, widths)
    return x


# -- new tensors --------------------------------------------------------------------------------------


@host("ConstantOfShape")
def constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.attr("value")
    fill = np.zeros(1, np.float32) if value is None else value
    extents = ints(shape)
    require_result(extents, fill.itemsize)
    return np.full(extents, fill.reshape(-1)[0], fill.dtype)


@host("Range")
def range_(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    first, end, step = (v.reshape(-1)[0] for v in (start, limit, delta))
    count = max(int(np.ceil((end - first) / step)), 0)
    require_result([count], max(start.itemsize, np.dtype(np.int64).itemsize))
    return (first + np.arange(count) * step).astype(start.dtype)


@host("EyeLike")
def eye_like(node: Node, x: Array) -> Array:
    rows, columns = x.shape
    require_result(x.shape, np.dtype(np.float64).itemsize)
    return np.eye(rows, columns, node.attr("k", 0)).astype(numpy_type(node.output_types[0] or "float32"))


@host("Trilu")
def trilu(node: Node, x: Array, k: Any = None) -> Array:
    cut = np.triu if node.attr("upper", 1) else np.tril
    return cut(x, 0 if k is None else int(k.reshape(-1)[0]))


@traced("Trilu", kinds="f", static=(1,))
def traced_trilu(node: Node, x: Any, k: Any = None) -> Any:
    cut = ops.triu if node.attr("upper", 1) else ops.tril
    return cut(x, 0 if k is None else int(k.reshape(-1)[0]))


@host("ReverseSequence")
def reverse_sequence(node: Node, x: Array, lengths: Array) -> Array:
    batch, time = node.attr("batch_axis", 1), node.attr("time_axis", 0)
    rows = np.moveaxis(x, (batch, time), (0, 1)).copy()
    for row, length in zip(rows, ints(lengths), strict=True):
        row[:length] = row[:length][::-1].copy()
    return np.moveaxis(rows, (0, 1), (batch, time))
