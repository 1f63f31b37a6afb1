# SPDX-License-Identifier: Apache-2.0
"""The operations of recurrent layers: all steps in time of one layer in one direction, and their gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _core
from ..graph.lowering import Builder
from ..graph.slots import Slot
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import current_graph, emit
from .build import reshape_to, with_layout
from .convolution import backward_weight
from .window import Window

Grads = Sequence[Tensor | None]

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
"""Cells, and how many vectors of the hidden size each works out of its input and its state."""


class RecurrentInputs(NamedTuple):
    """`projected` are the input's shares of the gates with their biases; `bias` is that of a GRU's state's
    share. Rows have the lengths, the whole time without them."""

    projected: Tensor
    weight: Tensor
    state: Tensor | None = None
    cell_state: Tensor | None = None
    bias: Tensor | None = None
    projection: Tensor | None = None
    lengths: Tensor | None = None


class RecurrentAttributes(NamedTuple):
    """With `batch_first` values of all times are (batch, time, ...) instead of (time, batch, ...).

    A node that `keeps` has outputs for the gradient.
    """

    cell: str
    reverse: bool
    batch_first: bool
    keeps: bool = False


class Recurrent(Op):
    """[projected (T, B, gates * H), weight (gates * H, P), ...] -> [output (T, B, P), h_n (B, P),
    c_n (B, H)?, gates?, kept (T, B, H)?, unprojected (T, B, H)?].

    P is H without a projection (P, H).
    """

    name = "recurrent"
    Inputs = RecurrentInputs
    Attributes = RecurrentAttributes

    def infer(self, inputs: RecurrentInputs, attrs: RecurrentAttributes) -> list[Spec | None]:
        units, outputs = _sizes(inputs.weight, attrs.cell)
        first, second, _ = inputs.projected.shape
        batch = first if attrs.batch_first else second

        def spec(*shape: int) -> Spec:
            return (shape, "float32", Layout.C)

        gated = attrs.cell in ("lstm", "gru") and attrs.keeps
        return [
            spec(first, second, outputs),
            spec(batch, outputs),
            spec(batch, units) if attrs.cell == "lstm" else None,
            spec(*inputs.projected.shape) if gated else None,
            spec(first, second, units) if gated else None,
            spec(first, second, units) if attrs.keeps and inputs.projection is not None else None,
        ]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs, attrs = node.inputs, node.attrs
        output, _, _, gates, kept, unprojected = _kept_for_gradient(node)
        by_output, by_state, by_cell = (
            None if grad is None else with_layout(grad, Layout.C) for grad in grads[:3]
        )
        wanted = (needs.state, needs.weight)
        given = RecurrentBackwardInputs(
            inputs.weight,
            present(output),
            gates,
            kept,
            by_output,
            by_state,
            by_cell,
            inputs.projection,
            inputs.state,
            inputs.cell_state,
            inputs.lengths,
        )
        settings = RecurrentBackwardAttributes(attrs.cell, attrs.reverse, attrs.batch_first, wanted)
        found = emit(RecurrentBackward, given, settings).outputs
        grad, grad_hidden, grad_state, grad_cell, previous, grad_projected_state = found
        grad_weight = grad_bias = grad_projection = None
        hidden = present(grad if grad_hidden is None else grad_hidden)
        if needs.weight:
            grad_weight, grad_bias = _product(present(previous), hidden, inputs.weight.shape, needs.bias)
        elif needs.bias:
            _, grad_bias = _product(hidden, hidden, (hidden.shape[-1],) * 2, True)
        if needs.projection:
            by_projected = present(grad_projected_state)
            grad_projection, _ = _product(present(unprojected), by_projected, inputs.projection.shape, False)
        return [grad, grad_weight, grad_state, grad_cell, grad_bias, grad_projection, None]

    def flops(self, node: Node) -> int:
        units, outputs = _sizes(node.inputs.weight, node.attrs.cell)
        projection = 0 if node.inputs.projection is None else units * outputs
        steps: int = node.inputs.projected.size // node.inputs.projected.shape[-1]
        weights: int = node.inputs.weight.size + projection
        return 2 * steps * weights

    def lower(self, node: Node, builder: Builder) -> None:
        inputs = node.inputs
        units, outputs = _sizes(inputs.weight, node.attrs.cell)
        slots = [
            builder.slot(inputs.projected),
            _packed(builder, inputs.weight, GATES[node.attrs.cell], "forward"),
            *builder.slots([inputs.state, inputs.cell_state, inputs.bias]),
            _packed(builder, inputs.projection, 1, "forward"),
            *builder.slots([inputs.lengths]),
        ]
        attrs = _settings(node.attrs, units, outputs, inputs.projection)
        gates, projected = 3, 0  # the memory of the projected input may become that of the gates
        builder.step(self.name, slots, builder.slots(node.outputs), attrs, [(gates, projected)])


class RecurrentBackwardInputs(NamedTuple):
    weight: Tensor
    output: Tensor
    gates: Tensor | None
    kept: Tensor | None
    by_output: Tensor | None
    by_state: Tensor | None
    by_cell: Tensor | None
    projection: Tensor | None
    state: Tensor | None
    cell_state: Tensor | None
    lengths: Tensor | None


class RecurrentBackwardAttributes(NamedTuple):
    """`wanted`: the gradient by the initial state, and the states before each step."""

    cell: str
    reverse: bool
    batch_first: bool
    wanted: tuple[bool, bool]


class RecurrentBackward(Op):
    """-> [grad_projected, grad_hidden?, grad_state?, grad_cell_state?, previous?, grad_projected_state?].

    grad_hidden is the gradient by the state's share of a GRU's gates; grad_projected_state that by each
    step's state where it is a projection.
    """

    name = "recurrent_backward"
    Inputs = RecurrentBackwardInputs
    Attributes = RecurrentBackwardAttributes

    def infer(self, inputs: RecurrentBackwardInputs, attrs: RecurrentBackwardAttributes) -> list[Spec | None]:
        units, outputs = _sizes(inputs.weight, attrs.cell)
        first, second, _ = inputs.output.shape
        batch = first if attrs.batch_first else second

        def spec(*shape: int) -> Spec:
            return (shape, "float32", Layout.C)

        gated = spec(first, second, GATES[attrs.cell] * units)
        state, previous = attrs.wanted
        return [
            gated,
            gated if attrs.cell == "gru" else None,
            spec(batch, outputs) if state else None,
            spec(batch, units) if attrs.cell == "lstm" else None,
            spec(*inputs.output.shape) if previous else None,
            spec(*inputs.output.shape) if inputs.projection is not None else None,
        ]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        inputs = node.inputs
        units, outputs = _sizes(inputs.weight, node.attrs.cell)
        values = [inputs.output, inputs.gates, inputs.kept, inputs.by_output, inputs.by_state, inputs.by_cell]
        slots = [
            _packed(builder, inputs.weight, GATES[node.attrs.cell], "backward"),
            *builder.slots(values),
            _packed(builder, inputs.projection, 1, "backward"),
            *builder.slots([inputs.state, inputs.cell_state, inputs.lengths]),
        ]
        attrs = _settings(node.attrs, units, outputs, inputs.projection)
        grad, gates = 0, 2  # the memory of the gates may become that of their gradient
        builder.step(self.name, slots, builder.slots(node.outputs), attrs, [(grad, gates)])


class LengthsGuardInputs(NamedTuple):
    lengths: Tensor


class LengthsGuardAttributes(NamedTuple):
    time: int
    sorted: bool


class LengthsGuard(Op):
    """[lengths] -> [how many are not from 1 to `time` or, where `sorted`, are longer than the last]."""

    name = "recurrent_guard"
    differentiable = False
    Inputs = LengthsGuardInputs
    Attributes = LengthsGuardAttributes

    def infer(self, inputs: LengthsGuardInputs, attrs: LengthsGuardAttributes) -> list[Spec | None]:
        return [((), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"time": node.attrs.time, "sorted": int(node.attrs.sorted)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def _sizes(weight: Tensor, cell: str) -> tuple[int, int]:
    """Return the hidden size, and that of the state."""
    rows, outputs = weight.shape
    return rows // GATES[cell], outputs


def _kept_for_gradient(node: Node) -> Grads:
    """Return all outputs; from now on the forward step writes those that the gradient reads."""
    if node.attrs.keeps:
        return node.outputs
    specs = node.op.infer(node.inputs, node.attrs._replace(keeps=True))
    outputs = [
        Tensor(*spec) if known is None and spec is not None else known
        for known, spec in zip(node.outputs, specs, strict=True)
    ]
    current_graph().replace({node: node.with_(outputs=outputs, keeps=True)})
    return outputs


def _product(left: Tensor, right: Tensor, shape: Shape, with_bias: bool) -> tuple[Tensor, Tensor | None]:
    """Return sums over all steps and rows of right^T left, of `shape`, and of right."""
    steps = left.size // left.shape[-1]
    rows = reshape_to(left, (steps, left.shape[-1]), Layout.C)
    grads = reshape_to(right, (steps, right.shape[-1]), Layout.C)
    return backward_weight(rows, grads, Window.of(()), 1, shape, with_bias)


def _packed(builder: Builder, weight: Tensor | None, gates: int, direction: str) -> Slot | None:
    if weight is None:
        return None
    rows, depth = weight.shape
    units = rows // gates
    attrs = {"gates": gates, "units": units, "depth": depth, "direction": direction}
    packed = _core.recurrent_packed(gates, units, depth, direction)
    return builder.pack("recurrent_pack", weight, packed, attrs)


def _settings(attrs: Any, units: int, outputs: int, projection: Tensor | None) -> dict[str, Any]:
    return {
        "cell": attrs.cell,
        "units": units,
        "outputs": outputs,
        "projects": int(projection is not None),
        "reverse": int(attrs.reverse),
        "batch_first": int(attrs.batch_first),
    }
