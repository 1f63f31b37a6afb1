# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation over the rows of all processes that train together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import current_graph, emit
from .activation import FUSABLE
from .build import elementwise, reduce, reshape_to, with_layout
from .check import float_tensor
from .exchange import gathered, loss_share, merged_rows
from .norm import (
    ApplyAttributes,
    ApplyInputs,
    BatchNormApply,
    BatchNormBackward,
    BatchNormBackwardAttributes,
    BatchNormBackwardInputs,
    BatchNormFinalize,
    FinalizeAttributes,
    FinalizeInputs,
    move_running,
    of_each_channel,
    statistics_of,
)
from .parts import concat
from .running import current, track
from .window import PLAIN, Epilogue

Grads = Sequence[Tensor | None]


class MergeInputs(NamedTuple):
    statistics: Tensor
    active: Tensor


class NoAttributes(NamedTuple):
    pass


class BatchNormMerge(Op):
    """[statistics (rows, 3, channels), active] -> [one row (1, 3, channels) of all of them]."""

    name = "batch_norm_merge"
    differentiable = False
    Inputs = MergeInputs
    Attributes = NoAttributes

    def infer(self, inputs: MergeInputs, attrs: NoAttributes) -> list[Spec | None]:
        return [((1, 3, inputs.statistics.shape[2]), "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class SyncApplyInputs(NamedTuple):
    input: Tensor
    mean: Tensor
    invstd: Tensor
    values: Tensor
    active: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    residual: Tensor | None = None


class SyncApplyAttributes(NamedTuple):
    ranks: int
    epilogue: Epilogue = PLAIN


class SyncBatchNormApply(Op):
    """[x, mean, invstd, values, active, weight?, bias?, residual?] -> [activation(normalised x + residual)],
    where mean and invstd are those of so many `values` of all processes."""

    name = "sync_batch_norm_apply"
    adds = "residual"
    activates = FUSABLE
    Inputs = SyncApplyInputs
    Attributes = SyncApplyAttributes

    def recomputes_argument(self, node: Node) -> bool:
        return node.inputs.residual is None

    def infer(self, inputs: SyncApplyInputs, attrs: SyncApplyAttributes) -> list[Spec | None]:
        return [(inputs.input.shape, "float32", Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, mean, invstd, _, _, weight, bias, residual = node.inputs
        epilogue = node.attrs.epilogue
        gated = epilogue.activation != "none"
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        inputs = BatchNormBackwardInputs(grad, x, mean, invstd, weight)
        if gated and residual is None:
            inputs = inputs._replace(bias=bias)
        elif gated:
            inputs = inputs._replace(y=node.output)
        attrs = BatchNormBackwardAttributes(False, epilogue, (True, True, needs.residual))
        direct, by_weight, by_bias, masked = emit(BatchNormBackward, inputs, attrs).outputs
        sums = concat([present(by_weight), present(by_bias)], 0)
        found = [present(direct), *self._through_statistics(node, sums)]
        plain = ApplyInputs(x, mean, invstd, found[1], found[2], found[0])
        by_input = emit(BatchNormApply, plain, ApplyAttributes(False)).output if needs.input else None
        by_residual = (masked if gated else grads[0]) if needs.residual else None
        return [by_input, None, None, None, None, by_weight, by_bias, by_residual]

    def _through_statistics(self, node: Node, sums: Tensor) -> list[Tensor]:
        """Return scale and shift, (channels,), of the normalised input in its gradient: through mean and
        variance each value has a part in all those of its channel, in all processes."""
        _, _, invstd, values, active, weight, *_ = node.inputs
        every = reduce("sum", gathered(sums, node.attrs.ranks), (0,))
        factor = elementwise("div", elementwise("mul", invstd, active), values)
        if weight is not None:
            factor = elementwise("mul", factor, weight)
        factor = elementwise("neg", factor)
        halves: Any = reshape_to(every, (2, sums.shape[0] // 2))
        return [elementwise("mul", factor, reshape_to(halves[i], factor.shape)) for i in range(2)]

    def lower(self, node: Node, builder: Builder) -> None:
        x, mean, invstd, _, _, *others = node.inputs
        inputs = builder.slots([x, mean, invstd, *others])
        in_place = [(0, ApplyInputs._fields.index(name)) for name in ("input", "residual")]
        outputs = builder.slots(node.outputs)
        builder.step(BatchNormApply.name, inputs, outputs, node.attrs.epilogue.settings(), in_place)


def sync_batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    momentum: Any,
    eps: float,
) -> Tensor:
    """Normalise as `ops.batch_norm` in training, by the statistics of the rows of all processes together.

    Args:
        input: (batch, channels, ...) of this process.
        running_mean, running_var: buffers that are moved towards the statistics, or None.
        weight, bias: (channels,) or None.
        momentum: weight of this batch in the running statistics; a number, or a tensor of one element.
        eps: added to the variance.
    """
    op = "batch_norm"
    ranks: int = current_graph().exchange.size
    buffers = (running_mean, running_var)
    before = [current(buffer, op) for buffer in buffers]
    x = with_layout(float_tensor(input, op), Layout.CHANNELS_LAST)
    *before, weight, bias = of_each_channel(
        x, op, running_mean=before[0], running_var=before[1], weight=weight, bias=bias
    )
    _, active = loss_share()
    mine = emit(BatchNormMerge, MergeInputs(statistics_of(x), active), NoAttributes()).output
    every = merged_rows(mine, ranks)
    fixed = not isinstance(momentum, Tensor)
    finalize = FinalizeAttributes(momentum if fixed else 1.0, eps)
    mean, invstd, *moved = emit(BatchNormFinalize, FinalizeInputs(every, *before), finalize).outputs
    for buffer, old, new in zip(buffers, before, moved, strict=True):
        if fixed or new is None:
            track(buffer, new)
        else:
            move_running(buffer, old, new, momentum)
    rows: Any = every
    values = reduce("sum", rows[:, 0, :1], (0,))
    attrs = SyncApplyAttributes(ranks)
    given = SyncApplyInputs(x, present(mean), present(invstd), values, active, weight, bias)
    return emit(SyncBatchNormApply, given, attrs).output
