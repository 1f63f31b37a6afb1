# SPDX-License-Identifier: Apache-2.0
"""Operations that move or rename elements: reshape, permute, concat, pad, slice."""

from __future__ import annotations

import builtins
import operator as python_operator
from collections.abc import Sequence
from math import prod
from typing import Any

from ..graph.eager import operator
from ..graph.lower import Builder, copy_attrs, lower_reshape
from ..graph.op import OPS, Op, Spec
from ..graph.tensor import Node, Shape, Tensor, layout_matters, present, same_memory
from ..graph.trace import as_tensor, dtype_error, emit, shape_error
from .check import float_tensor, one_dim

Grads = Sequence[Tensor | None]


class Reshape(Op):
    """The same elements, in C order, under another shape: no copy where memory allows."""

    name = "reshape"
    may_alias = True

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        layout = x.layout if x.ndim >= 3 else attrs.get("layout", "channels_last")
        return [(attrs["shape"], x.dtype, layout)]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        return [reshape_to(present(grads[0]), present(node.inputs[0]).shape)]

    def lower(self, node: Node, builder: Builder) -> None:
        lower_reshape(builder, builder.slot(present(node.inputs[0])), node.output)


class Relayout(Op):
    """The same tensor in the other memory layout."""

    name = "relayout"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(x.shape, x.dtype, attrs["layout"])]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        return [with_layout(present(grads[0]), present(node.inputs[0]).layout)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step("copy", builder.slots(node.inputs), builder.slots(node.outputs))


class Permute(Op):
    """Axes in another order."""

    name = "permute"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(tuple(x.shape[i] for i in attrs["dims"]), x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        dims = node.attrs["dims"]
        return [permute_to(present(grads[0]), tuple(dims.index(i) for i in range(len(dims))))]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = present(node.inputs[0]), node.output
        strides = x.strides()
        moved = tuple(strides[i] for i in node.attrs["dims"])
        if same_memory(y.shape, moved, y.strides()):
            builder.alias(y, builder.slot(x))
            return
        builder.step(
            "copy", [builder.slot(x)], [builder.slot(y)], copy_attrs(y.shape, moved, 0, y.strides(), 0)
        )


class Expand(Op):
    """A tensor repeated along axes of extent 1, as numpy broadcasts it."""

    name = "expand"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(attrs["shape"], x.dtype, x.layout if x.ndim >= 3 else "channels_last")]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        from .elementwise import sum_to

        return [sum_to(present(grads[0]), present(node.inputs[0]).shape)]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = present(node.inputs[0]), node.output
        extra = y.ndim - x.ndim
        strides = [0] * extra + [s if n != 1 else 0 for n, s in zip(x.shape, x.strides(), strict=True)]
        attrs = copy_attrs(y.shape, strides, 0, y.strides(), 0)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


class Window(Op):
    """Elements start, start + step, ... of each axis. attrs: starts, steps, shape."""

    name = "slice"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(attrs["shape"], x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x = present(node.inputs[0])
        return [embed(present(grads[0]), x.shape, node.attrs["starts"], node.attrs["steps"], 0.0)]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = present(node.inputs[0]), node.output
        offset, strides = _window(x, node.attrs)
        attrs = copy_attrs(y.shape, strides, offset, y.strides(), 0)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


class Embed(Op):
    """A tensor filled with `value`, with x written to the window (starts, steps) of it: padding, and
    the gradient of a slice."""

    name = "pad"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(attrs["shape"], x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x = present(node.inputs[0])
        return [window(present(grads[0]), node.attrs["starts"], node.attrs["steps"], x.shape)]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = present(node.inputs[0]), node.output
        offset, strides = _window(y, node.attrs)
        builder.step("fill", [], [builder.slot(y)], {"value": node.attrs["value"]})
        attrs = copy_attrs(x.shape, x.strides(), 0, strides, offset)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


class Concat(Op):
    """Tensors one after the other along an axis."""

    name = "concat"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        dim = attrs["dim"]
        total = sum(t.shape[dim] for t in inputs if t is not None)
        return [((*x.shape[:dim], total, *x.shape[dim + 1 :]), x.dtype, attrs["layout"])]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        grad, dim = present(grads[0]), node.attrs["dim"]
        parts: list[Tensor | None] = []
        begin = 0
        for tensor, need in zip(node.inputs, needs, strict=True):
            assert tensor is not None
            starts = tuple(begin if i == dim else 0 for i in range(grad.ndim))
            parts.append(window(grad, starts, (1,) * grad.ndim, tensor.shape) if need else None)
            begin += tensor.shape[dim]
        return parts

    def lower(self, node: Node, builder: Builder) -> None:
        y, dim = node.output, node.attrs["dim"]
        offset = 0
        for x in node.inputs:
            assert x is not None
            attrs = copy_attrs(x.shape, x.strides(), 0, y.strides(), offset)
            builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)
            offset += x.shape[dim] * y.strides()[dim]


def _window(tensor: Tensor, attrs: dict[str, Any]) -> tuple[int, Shape]:
    """Return offset and strides of a window of a tensor."""
    strides = tensor.strides()
    offset = sum(start * stride for start, stride in zip(attrs["starts"], strides, strict=True))
    return offset, tuple(step * stride for step, stride in zip(attrs["steps"], strides, strict=True))


# -- building blocks ---------------------------------------------------------------------------------


def reshape_to(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` under a shape of the same size."""
    if x.shape == shape:
        return x
    attrs: dict[str, Any] = {"shape": shape}
    if x.ndim < 3 and x.layout == "c":
        attrs["layout"] = "c"
    return emit(OPS["reshape"], [x], attrs).output


def permute_to(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return `x` with its axes in the order `dims`."""
    return x if dims == tuple(range(x.ndim)) else emit(OPS["permute"], [x], {"dims": dims}).output


def expand_to(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` broadcast to `shape`."""
    return x if x.shape == shape else emit(OPS["expand"], [x], {"shape": shape}).output


def with_layout(x: Tensor, layout: str) -> Tensor:
    """Return `x` in a memory layout."""
    if x.layout == layout or not layout_matters(x.shape):
        return x
    return emit(OPS["relayout"], [x], {"layout": layout}).output


def window(x: Tensor, starts: Shape, steps: Shape, shape: Shape) -> Tensor:
    """Return elements starts, starts + steps, ... of `x`."""
    return emit(OPS["slice"], [x], {"starts": starts, "steps": steps, "shape": shape}).output


def embed(x: Tensor, shape: Shape, starts: Shape, steps: Shape, value: float) -> Tensor:
    """Return a tensor of `shape` filled with `value`, except where `x` is written."""
    attrs = {"starts": starts, "steps": steps, "shape": shape, "value": value}
    return emit(OPS["pad"], [x], attrs).output


# -- public functions --------------------------------------------------------------------------------


@operator("input")
def reshape(input: Any, shape: Sequence[int]) -> Tensor:
    """Return the same elements under another shape; one extent may be -1.

    >>> from cnncore import ops
    >>> ops.reshape([[1, 2], [3, 4]], (4, -1)).shape
    (4, 1)
    """
    x = as_tensor(input, "reshape")
    wanted = [python_operator.index(n) for n in (shape if isinstance(shape, Sequence) else (shape,))]
    known = prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known > 0 and x.size % known == 0:
        wanted[wanted.index(-1)] = x.size // known
    if prod(wanted) != x.size or min(wanted, default=1) < 1:
        raise shape_error(
            "reshape",
            f"expected a shape of {x.size} elements (one extent may be -1) for input {x.shape}, "
            f"got {tuple(wanted)}",
        )
    return reshape_to(x, tuple(wanted))


@operator("input")
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge axes `start_dim` to `end_dim` into one.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    x = as_tensor(input, "flatten")
    if x.ndim == 0:
        return reshape_to(x, (1,))
    start, end = one_dim(start_dim, x.ndim, "flatten"), one_dim(end_dim, x.ndim, "flatten")
    if start > end:
        raise shape_error("flatten", f"expected start_dim before end_dim, got {start_dim} and {end_dim}")
    return reshape_to(x, (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@operator("input")
def permute(input: Any, dims: Sequence[int]) -> Tensor:
    """Return the tensor with its axes in the order `dims`.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.permute(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = as_tensor(input, "permute")
    order = tuple(one_dim(dim, x.ndim, "permute") for dim in dims)
    if sorted(order) != list(range(x.ndim)):
        raise shape_error("permute", f"expected each of {x.ndim} axes once, got {tuple(dims)}")
    return permute_to(x, order)


@operator("input")
def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes.

    >>> from cnncore import ops
    >>> ops.transpose([[1, 2], [3, 4]], 0, 1).tolist()
    [[1, 3], [2, 4]]
    """
    x = as_tensor(input, "transpose")
    order = list(range(x.ndim))
    a, b = one_dim(dim0, x.ndim, "transpose"), one_dim(dim1, x.ndim, "transpose")
    order[a], order[b] = b, a
    return permute_to(x, tuple(order))


@operator("tensors")
def concat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis; all other extents must agree.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.concat([np.zeros((1, 2)), np.ones((1, 2))], dim=1).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    from .elementwise import common_layout

    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence) or not tensors:
        raise dtype_error("concat", "expected a list of at least one tensor")
    parts = [as_tensor(tensor, "concat") for tensor in tensors]
    if len({part.dtype for part in parts}) > 1:
        parts = [float_tensor(part, "concat") for part in parts]
    axis = one_dim(dim, parts[0].ndim, "concat")
    for part in parts[1:]:
        rest = part.shape[:axis] + part.shape[axis + 1 :]
        if part.ndim != parts[0].ndim or rest != parts[0].shape[:axis] + parts[0].shape[axis + 1 :]:
            shapes = ", ".join(str(p.shape) for p in parts)
            raise shape_error("concat", f"expected shapes that differ along axis {axis} only, got {shapes}")
    if len(parts) == 1:
        return parts[0]
    layout = common_layout(parts)
    parts = [with_layout(part, layout) for part in parts]
    return emit(OPS["concat"], parts, {"dim": axis, "layout": layout}).output


@operator("input")
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Surround the tensor with `value`.

    Args:
        input: tensor of any shape.
        pad: (left, right) of the last axis, then (top, bottom) of the one before, and so on, as in
            torch; negative numbers cut off.
        mode: "constant".
        value: what to fill with.

    >>> from cnncore import ops
    >>> ops.pad([[1.0, 2.0]], (1, 0)).tolist()
    [[0.0, 1.0, 2.0]]
    """
    x = as_tensor(input, "pad")
    if mode != "constant":
        raise shape_error("pad", f"expected mode 'constant', got {mode!r}")
    amounts = [python_operator.index(n) for n in pad]
    if len(amounts) % 2 or len(amounts) > 2 * x.ndim:
        raise shape_error("pad", f"expected up to {x.ndim} pairs of paddings for {x.shape}, got {tuple(pad)}")
    before, after = [0] * x.ndim, [0] * x.ndim
    for i in range(len(amounts) // 2):
        before[-1 - i], after[-1 - i] = amounts[2 * i], amounts[2 * i + 1]
    if any(b < 0 or a < 0 for b, a in zip(before, after, strict=True)):
        starts = tuple(-b if b < 0 else 0 for b in before)
        inner = tuple(n - s + (a if a < 0 else 0) for n, s, a in zip(x.shape, starts, after, strict=True))
        if min(inner, default=1) < 1:
            raise shape_error("pad", f"padding {tuple(pad)} leaves nothing of {x.shape}")
        x = window(x, starts, (1,) * x.ndim, inner)
        before, after = [b if b > 0 else 0 for b in before], [a if a > 0 else 0 for a in after]
    shape = tuple(n + b + a for n, b, a in zip(x.shape, before, after, strict=True))
    return x if shape == x.shape else embed(x, shape, tuple(before), (1,) * x.ndim, float(value))


@operator("input")
def slice(input: Any, index: Any) -> Tensor:
    """Return ``input[index]`` for numbers, slices, ``...`` and None (a new axis).

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
            start, stop, step = item.indices(extent)
            count = len(range(start, stop, step))
            if count == 0:
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
    if isinstance(item, bool) or not hasattr(item, "__index__") or isinstance(item, Tensor):
        raise TypeError(f"expected numbers, slices, ... or None as index, got {item!r}")
    number = python_operator.index(item)
    if not -extent <= number < extent:
        raise IndexError(f"index {number} is out of range for axis {axis} with extent {extent}")
    return number % extent
