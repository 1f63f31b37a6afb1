# SPDX-License-Identifier: Apache-2.0
"""Parts of tensors and tensors made of parts: slice, pad, concat."""

from __future__ import annotations

import builtins
import operator as python_operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._checks import is_index
from ..graph.dispatch import operator
from ..graph.dtype import promote
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import as_tensor, dtype_error, emit, shape_error
from .build import (
    PadAttributes,
    Single,
    SliceAttributes,
    cast,
    common_layout,
    embed,
    reshape_to,
    window,
)
from .check import integer, number, one_dim
from .copies import copy_attrs
from .edge_pad import MODES, edge_pad

Grads = Sequence[Tensor | None]


class Slice(Op):
    """Elements start, start + step, ... of each axis."""

    name = "slice"
    Inputs = Single
    Attributes = SliceAttributes

    def infer(self, inputs: Single, attrs: SliceAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(attrs.shape, x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        shape = node.inputs.input.shape
        return [embed(present(grads[0]), shape, node.attrs.starts, node.attrs.steps, 0.0)]

    def takes_channels(self, node: Node) -> bool:
        x, y = node.inputs.input, node.output
        rest = (0, *range(2, x.ndim))
        whole = all(x.shape[axis] == y.shape[axis] for axis in rest)
        return whole and x.ndim >= 3 and x.layout == Layout.CHANNELS_LAST and node.attrs.steps[1] == 1

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = node.inputs.input, node.output
        if y in builder.read_in_place and not builder.is_static(x):
            builder.alias_channels(y, x, node.attrs.starts[1])
            return
        offset, strides = _window(x, node.attrs.starts, node.attrs.steps)
        attrs = copy_attrs(y.shape, strides, offset, y.strides(), 0)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


class Embed(Op):
    """A tensor filled with `value`, with x written to the window (starts, steps) of it: padding, and
    the gradient of a slice."""

    name = "pad"
    Inputs = Single
    Attributes = PadAttributes

    def infer(self, inputs: Single, attrs: PadAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(attrs.shape, x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        shape = node.inputs.input.shape
        return [window(present(grads[0]), node.attrs.starts, node.attrs.steps, shape)]

    def of_nothing(self, node: Node) -> float:
        return float(node.attrs.value)

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = node.inputs.input, node.output
        offset, strides = _window(y, node.attrs.starts, node.attrs.steps)
        builder.step("fill", [], [builder.slot(y)], {"value": node.attrs.value})
        attrs = copy_attrs(x.shape, x.strides(), 0, strides, offset)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


class ConcatAttributes(NamedTuple):
    dim: int
    layout: Layout


class Concat(Op):
    """Tensors one after the other along an axis."""

    name = "concat"
    Attributes = ConcatAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: ConcatAttributes) -> list[Spec | None]:
        (x, *_), dim = inputs, attrs.dim
        total = sum(t.shape[dim] for t in inputs)
        return [((*x.shape[:dim], total, *x.shape[dim + 1 :]), x.dtype, attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad, dim = present(grads[0]), node.attrs.dim
        parts: list[Tensor | None] = []
        begin = 0
        for tensor, need in zip(node.inputs, needs, strict=True):
            starts = tuple(begin if i == dim else 0 for i in range(grad.ndim))
            parts.append(window(grad, starts, (1,) * grad.ndim, tensor.shape) if need else None)
            begin += tensor.shape[dim]
        return parts

    def to_rearrange(self, node: Node) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = node.inputs
        return parts

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs)) if node.attrs.dim else ()

    def joins_channels(self, node: Node) -> bool:
        y = node.output
        return bool(node.attrs.dim == 1) and y.ndim >= 3 and y.layout == Layout.CHANNELS_LAST

    def lower(self, node: Node, builder: Builder) -> None:
        y, dim = node.output, node.attrs.dim
        if y in builder.read_apart:
            return
        whole, there = builder.joined(node)
        strides, target = whole.strides(), builder.slot(whole)
        offset = 0
        for place, x in enumerate(node.inputs):
            source = builder.slot(x)
            if place >= there and source.base is not target:  # else it was written in its place
                attrs = copy_attrs(x.shape, x.strides(), 0, strides, offset)
                builder.step("copy", [source], [target], attrs)
            offset += x.shape[dim] * strides[dim]


def _window(tensor: Tensor, starts: Shape, steps: Shape) -> tuple[int, Shape]:
    """Return offset and strides of a window of a tensor."""
    strides = tensor.strides()
    offset = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    return offset, tuple(step * stride for step, stride in zip(steps, strides, strict=True))


# -- public functions --------------------------------------------------------------------------------


@operator("tensors")
def concat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis; all other extents must agree.

    Raises:
        ValueError: shapes that differ along another axis than `dim`.
        TypeError: no list of tensors.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.concat([np.zeros((1, 2)), np.ones((1, 2))], dim=1).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence) or not tensors:
        raise dtype_error("concat", "expected a list of at least one tensor")
    parts = [as_tensor(tensor, "concat") for tensor in tensors]
    dtype = promote(part.dtype for part in parts)
    parts = [cast(part, dtype) for part in parts]
    axis = one_dim(dim, parts[0].ndim, "concat")
    for part in parts[1:]:
        rest = part.shape[:axis] + part.shape[axis + 1 :]
        if part.ndim != parts[0].ndim or rest != parts[0].shape[:axis] + parts[0].shape[axis + 1 :]:
            shapes = ", ".join(str(p.shape) for p in parts)
            raise shape_error("concat", f"expected shapes that differ along axis {axis} only, got {shapes}")
    parts = [part for part in parts if part.shape[axis] > 0] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return emit(Concat, parts, ConcatAttributes(axis, common_layout(parts))).output


@operator("input")
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Surround the tensor with a value or with its own elements.

    Args:
        input: tensor of any shape.
        pad: (left, right) of the last axis, then (top, bottom) of the one before, and so on, as in
            torch; negative numbers cut off.
        mode: "constant"; "reflect" mirrors at the edge elements, which are not repeated, "replicate" repeats
            them, "circular" goes on from the other end.
        value: what "constant" fills with; None means 0.

    Raises:
        ValueError: more than there is to take: "reflect" can add one less than the extent, "circular" the
            extent.

    >>> from cnncore import ops
    >>> ops.pad([[1.0, 2.0]], (1, 0)).tolist()
    [[0.0, 1.0, 2.0]]
    """
    x = as_tensor(input, "pad")
    if mode != "constant" and mode not in MODES:
        raise shape_error("pad", f"expected mode 'constant', {', '.join(map(repr, MODES))}, got {mode!r}")
    if mode != "constant" and value is not None and value != 0:
        raise shape_error("pad", f"expected no value with mode {mode!r}, got {value}")
    fill = 0.0 if value is None else number(value, "value", "pad")
    if not isinstance(pad, (tuple, list)):
        raise dtype_error("pad", f"expected pad as pairs of integers, the last axis first, got {pad!r}")
    amounts = [integer(n, "each padding", "pad") for n in pad]
    if len(amounts) % 2 or len(amounts) > 2 * x.ndim:
        raise shape_error("pad", f"expected up to {x.ndim} pairs of paddings for {x.shape}, got {tuple(pad)}")
    before, after = [0] * x.ndim, [0] * x.ndim
    for i in range(len(amounts) // 2):
        before[-1 - i], after[-1 - i] = amounts[2 * i], amounts[2 * i + 1]
    if any(b < 0 or a < 0 for b, a in zip(before, after, strict=True)):
        starts = tuple(max(-b, 0) for b in before)
        inner = tuple(n - s + min(a, 0) for n, s, a in zip(x.shape, starts, after, strict=True))
        if min(inner) < 1:
            raise shape_error("pad", f"padding {tuple(pad)} leaves nothing of {x.shape}")
        x = window(x, starts, (1,) * x.ndim, inner)
        before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    shape = tuple(n + b + a for n, b, a in zip(x.shape, before, after, strict=True))
    if shape == x.shape:
        return x
    if mode != "constant":
        return edge_pad(x, tuple(before), tuple(after), mode)
    return embed(x, shape, tuple(before), (1,) * x.ndim, fill)


@operator("input")
def slice(input: Any, index: Any) -> Tensor:
    """Return ``input[index]`` for numbers, slices, ``...`` and None (a new axis).

    Raises:
        IndexError: more indices than axes.
        ValueError: a step of 0, or a slice that selects nothing.

    >>> from cnncore import ops
    >>> ops.slice([[1, 2], [3, 4]], (..., 0)).tolist()
    [1, 3]
    """
    x = as_tensor(input, "slice")
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > x.ndim or sum(item is Ellipsis for item in items) > 1:
        raise IndexError(f"too many indices for a tensor of shape {x.shape}: {index!r}")
    place = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    full = builtins.slice(None)
    items[place : place + 1] = [full] * (x.ndim - used)
    starts, steps, shape, kept = [], [], [], []
    axis = 0
    for item in items:
        if item is None:
            kept.append(1)
            continue
        extent = x.shape[axis]
        axis += 1
        if isinstance(item, builtins.slice):
            if item.step is not None and integer(item.step, "the step of a slice", "slice") == 0:
                raise shape_error("slice", "expected a step of a slice other than 0")
            start, stop, step = item.indices(extent)
            count = len(range(start, stop, step))
            if count == 0 and extent > 0:
                raise shape_error("slice", f"index {index!r} selects nothing of {x.shape}")
            kept.append(count)
        else:
            start, step, count = _whole(item, extent, axis - 1), 1, 1
        starts.append(start)
        steps.append(step)
        shape.append(count)
    whole = tuple(shape) == x.shape and all(step == 1 for step in steps)
    y = x if whole else window(x, tuple(starts), tuple(steps), tuple(shape))
    return reshape_to(y, tuple(kept))


def _whole(item: Any, extent: int, axis: int) -> int:
    if isinstance(item, bool) or not is_index(item):
        raise TypeError(f"expected numbers, slices, ... or None as index, got {item!r}")
    number = python_operator.index(item)
    if not -extent <= number < extent:
        raise IndexError(f"index {number} is out of range for axis {axis} with extent {extent}")
    return number % extent
