# SPDX-License-Identifier: Apache-2.0
"""Reading and writing at indices: the operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import emit
from .build import decided, with_layout
from .softmax import AxisAttributes

Grads = Sequence[Tensor | None]


class GatherInputs(NamedTuple):
    input: Tensor
    indices: Tensor


class ScatterInputs(NamedTuple):
    grad: Tensor
    indices: Tensor


class ScatterAttributes(NamedTuple):
    """`axis` of a result of this shape and layout; with `last` the last of several elements counts."""

    axis: int
    shape: Shape
    layout: Layout
    last: bool = False


class GatherAxis(Op):
    """[x, indices] -> [the elements of x at these places along `axis`]."""

    name = "gather_axis"
    Inputs = GatherInputs
    Attributes = AxisAttributes

    def infer(self, inputs: GatherInputs, attrs: AxisAttributes) -> list[Spec | None]:
        x, indices = inputs
        return [(indices.shape, x.dtype, indices.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, indices = node.inputs
        return [scatter_axis(present(grads[0]), indices, x, node.attrs.axis), None]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"axis": node.attrs.axis}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class ScatterAxis(Op):
    """[grad, indices] -> [zeros of attrs' shape and layout, plus grad at these places along `axis`]."""

    name = "scatter_axis"
    Inputs = ScatterInputs
    Attributes = ScatterAttributes

    def infer(self, inputs: ScatterInputs, attrs: ScatterAttributes) -> list[Spec | None]:
        return [(attrs.shape, "float32", attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad = with_layout(present(grads[0]), node.attrs.layout)
        return [gather_axis(grad, node.inputs.indices, node.attrs.axis), None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"axis": node.attrs.axis, "last": int(node.attrs.last)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class TakeAxis(Op):
    """[x, indices (count,)] -> [x with these places along `axis`, for all rows]."""

    name = "take_axis"
    Inputs = GatherInputs
    Attributes = AxisAttributes

    def infer(self, inputs: GatherInputs, attrs: AxisAttributes) -> list[Spec | None]:
        x, axis = inputs.input, attrs.axis
        return [((*x.shape[:axis], inputs.indices.shape[0], *x.shape[axis + 1 :]), x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, indices = node.inputs
        return [
            put_axis(present(grads[0]), indices, ScatterAttributes(node.attrs.axis, x.shape, x.layout)),
            None,
        ]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"axis": node.attrs.axis}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class PutAxis(Op):
    """[grad, indices (count,)] -> [zeros, plus grad at these places along `axis`]."""

    name = "put_axis"
    Inputs = ScatterInputs
    Attributes = ScatterAttributes

    def infer(self, inputs: ScatterInputs, attrs: ScatterAttributes) -> list[Spec | None]:
        return [(attrs.shape, "float32", attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad = with_layout(present(grads[0]), node.attrs.layout)
        return [take_axis(grad, node.inputs.indices, node.attrs.axis), None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"axis": node.attrs.axis}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def gather_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Return the elements of `x` at places along an axis; indices have its layout and other extents."""
    return emit(GatherAxis, GatherInputs(x, indices), AxisAttributes(axis)).output


def scatter_axis(grad: Tensor, indices: Tensor, x: Tensor, axis: int, last: bool = False) -> Tensor:
    """Return zeros like `x` with `grad` added at places along an axis."""
    inputs = ScatterInputs(with_layout(grad, indices.layout), indices)
    return emit(ScatterAxis, inputs, ScatterAttributes(axis, x.shape, x.layout, last)).output


def take_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Return `x` with the given places along an axis."""
    return emit(TakeAxis, GatherInputs(decided(x), indices), AxisAttributes(axis)).output


def put_axis(grad: Tensor, indices: Tensor, attrs: ScatterAttributes) -> Tensor:
    """Return zeros with `grad` added at the given places along an axis, for all rows."""
    return emit(PutAxis, ScatterInputs(with_layout(grad, attrs.layout), indices), attrs).output
