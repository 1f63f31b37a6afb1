# SPDX-License-Identifier: Apache-2.0
"""Shapes, slices, padding, reading at indices and reductions as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.tensor import Node
from ...ops.cumulative import Scan
from ...ops.detach import Detach
from ...ops.edge_pad import EdgePad
from ...ops.gather import GatherAxis, TakeAxis
from ...ops.indices import PlaceIndices
from ...ops.parts import Concat, Embed, Slice
from ...ops.reduce import ArgMax, Reduce
from ...ops.shape import Expand, Permute, Relayout, Reshape
from ...ops.sort import Extreme, Sort
from .elementwise import TYPES
from .writer import Writer, exporter

_ALL = (1 << 63) - 1
"""As a slice's end: all there is."""


def _twin(twin: Node | None, name: str) -> Any:
    return None if twin is None else getattr(twin.attrs, name)


@exporter(Relayout, Detach)
def unchanged(w: Writer, node: Node, twin: Node | None) -> str:
    return w.get(node.inputs.input)


@exporter(Reshape)
def reshape(w: Writer, node: Node, twin: Node | None) -> str:
    shape = w.shape(node.attrs.shape, _twin(twin, "shape"), reshapes=True)
    return str(w.add("Reshape", [w.get(node.inputs.input), shape]))


@exporter(Permute)
def permute(w: Writer, node: Node, twin: Node | None) -> str:
    return str(w.add("Transpose", [w.get(node.inputs.input)], perm=list(node.attrs.dims)))


@exporter(Expand)
def expand(w: Writer, node: Node, twin: Node | None) -> str:
    shape = w.shape(node.attrs.shape, _twin(twin, "shape"))
    return str(w.add("Expand", [w.get(node.inputs.input), shape]))


@exporter(Concat)
def concat(w: Writer, node: Node, twin: Node | None) -> str:
    return str(w.add("Concat", [w.get(tensor) for tensor in node.inputs], axis=node.attrs.dim))


@exporter(Slice)
def slice_(w: Writer, node: Node, twin: Node | None) -> str:
    starts, steps, shape = node.attrs
    others: Any = None if twin is None else twin.attrs
    axes, begins, ends, strides = [], [], [], []
    for axis, extent in enumerate(node.inputs.input.shape):
        start, step, count = starts[axis], steps[axis], shape[axis]
        whole = start == 0 and step == 1 and count == extent
        if whole and (twin is None or others.shape[axis] == twin.inputs.input.shape[axis]):
            continue
        behind = start + count * step >= extent
        if others is not None and behind and step > 0:
            # To the end, wherever that is.
            extents = twin.inputs.input.shape if twin is not None else ()
            behind = others.starts[axis] + others.shape[axis] * others.steps[axis] >= extents[axis]
            w.fixed((start, step), (others.starts[axis], others.steps[axis]))
        if others is not None and not (behind and step > 0):
            w.fixed((start, step, count), (others.starts[axis], others.steps[axis], others.shape[axis]))
        last = start + (count - 1) * step
        axes.append(axis)
        begins.append(start)
        strides.append(step)
        if others is not None and behind and step > 0:
            ends.append(_ALL)
            continue
        ends.append(last + (1 if step > 0 else -1) if last + step >= 0 or step > 0 else -extent - 1)
    if not axes:
        return w.get(node.inputs.input)
    settings = [w.ints(values) for values in (begins, ends, axes, strides)]
    return str(w.add("Slice", [w.get(node.inputs.input), *settings]))


@exporter(Embed)
def pad(w: Writer, node: Node, twin: Node | None) -> str:
    starts, steps, shape, value = node.attrs
    x = node.inputs.input
    if any(step != 1 for step in steps):
        raise ValueError(f"[{w.path}] padding between elements has no form in ONNX")
    ends = [shape[i] - starts[i] - extent for i, extent in enumerate(x.shape)]
    if twin is not None:
        others = [
            twin.attrs.shape[i] - twin.attrs.starts[i] - n for i, n in enumerate(twin.inputs.input.shape)
        ]
        w.fixed((*starts, *ends), (*twin.attrs.starts, *others))
    return str(w.add("Pad", [w.get(x), w.ints([*starts, *ends]), w.scalar(value)]))


@exporter(EdgePad)
def edge_pad(w: Writer, node: Node, twin: Node | None) -> str:
    before, after, mode = node.attrs
    x = node.inputs.input
    widths = w.ints([*before, *after])
    if mode == "circular" and twin is not None:
        padded = [axis for axis, pair in enumerate(zip(before, after, strict=True)) if any(pair)]
        w.fixed(*([t.inputs.input.shape[axis] for axis in padded] for t in (node, twin)))
    if mode != "circular":
        return str(w.add("Pad", [w.get(x), widths], mode={"replicate": "edge"}.get(mode, mode)))
    name = w.get(x)
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        if first or last:
            places = np.pad(np.arange(x.shape[axis]), (first, last), "wrap")
            name = w.add("Gather", [name, w.ints(places.tolist())], axis=axis)
    return name


# -- reading at indices -----------------------------------------------------------------------------------


@exporter(PlaceIndices)
def place_indices(w: Writer, node: Node, twin: Node | None) -> str:
    """The places alone: that indices are within the axis is the reader's to check."""
    least, _, extent = node.attrs
    x = node.inputs.input
    name = w.get(x) if x.dtype == "int64" else str(w.add("Cast", [w.get(x)], to=TYPES["int64"]))
    if least < 0:
        below = w.add("Less", [name, w.constant(np.array(0))])
        name = str(w.add("Where", [below, w.add("Add", [name, w.constant(np.array(extent))]), name]))
    return name


@exporter(GatherAxis)
def gather_axis(w: Writer, node: Node, twin: Node | None) -> str:
    return str(w.add("GatherElements", [w.get(t) for t in node.inputs], axis=node.attrs.axis))


@exporter(TakeAxis)
def take_axis(w: Writer, node: Node, twin: Node | None) -> str:
    return str(w.add("Gather", [w.get(t) for t in node.inputs], axis=node.attrs.axis))


# -- reductions -------------------------------------------------------------------------------------------

_REDUCTIONS = {
    "mean": "ReduceMean",
    "prod": "ReduceProd",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "sum_squares": "ReduceSumSquare",
}


@exporter(Reduce)
def reduce(w: Writer, node: Node, twin: Node | None) -> str:
    function, axes = node.attrs
    name = w.get(node.inputs.input)
    if function == "sum":
        return w.reduced("ReduceSum", name, axes)
    if function in _REDUCTIONS:
        return w.reduced(_REDUCTIONS[function], name, axes)
    raise ValueError(f"[{w.path}] {function} over axes is not written as ONNX here")


@exporter(ArgMax)
def argmax(w: Writer, node: Node, twin: Node | None) -> str:
    (axis,) = node.attrs.axes
    return str(w.add("ArgMax", [w.get(node.inputs.input)], axis=axis, keepdims=0))


@exporter(Sort, Extreme)
def selection(w: Writer, node: Node, twin: Node | None) -> Any:
    attrs = node.attrs
    name = w.get(node.inputs.input)
    if isinstance(node.op, Extreme):
        count, largest, begin = 1, not attrs.least, 0
    else:
        count, largest, begin = attrs.begin + attrs.elements, attrs.descending, attrs.begin
    found = w.add("TopK", [name, w.ints([count])], 2, axis=attrs.axis, largest=int(largest))
    if begin:
        bounds = [w.ints([v]) for v in (begin, count, attrs.axis)]
        found = tuple(w.add("Slice", [part, *bounds]) for part in found)
    if not attrs.kept:
        found = tuple(w.add("Squeeze", [part, w.ints([attrs.axis])]) for part in found)
    return found


@exporter(Scan)
def scan(w: Writer, node: Node, twin: Node | None) -> str:
    attrs = node.attrs
    if node.inputs.decay is not None or attrs.start:
        raise ValueError(f"[{w.path}] cumulative functions other than sums are not written as ONNX here")
    flags = {"reverse": int(attrs.reverse), "exclusive": int(attrs.exclusive)}
    axis = w.constant(np.array(attrs.axis, np.int64))
    return str(w.add("CumSum", [w.get(node.inputs.value), axis], **flags))
