# SPDX-License-Identifier: Apache-2.0
"""Connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, shape_error, where
from .build import cast, elementwise, reshape_to, with_layout
from .check import float_tensor, integer
from .reduction import check_reduction, reduced

__all__ = ["ctc_loss"]


class CtcAttributes(NamedTuple):
    blank: int
    zero_infinity: bool


class CtcInputs(NamedTuple):
    log_probs: Tensor
    targets: Tensor
    input_lengths: Tensor
    target_lengths: Tensor


class CtcBackwardInputs(NamedTuple):
    log_probs: Tensor
    targets: Tensor
    input_lengths: Tensor
    target_lengths: Tensor
    grad: Tensor


class CtcGuardInputs(NamedTuple):
    targets: Tensor
    input_lengths: Tensor
    target_lengths: Tensor


class CtcGuardAttributes(NamedTuple):
    time: int
    classes: int


class CtcGuard(Op):
    """[targets, input_lengths, target_lengths] -> [how many samples have lengths or labels outside]."""

    name = "ctc_guard"
    differentiable = False
    Inputs = CtcGuardInputs
    Attributes = CtcGuardAttributes

    def infer(self, inputs: CtcGuardInputs, attrs: CtcGuardAttributes) -> list[Spec | None]:
        return [((), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class Ctc(Op):
    """[log_probs (T, N, C), targets, input_lengths, target_lengths] -> [losses (N)]."""

    name = "ctc_loss"
    Inputs = CtcInputs
    Attributes = CtcAttributes

    def infer(self, inputs: CtcInputs, attrs: CtcAttributes) -> list[Spec | None]:
        return [(inputs.input_lengths.shape, "float32", Layout.C)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        log_probs, targets, times, counts = node.inputs
        inputs = CtcBackwardInputs(log_probs, targets, times, counts, present(grads[0]))
        return [emit(CtcBackward, inputs, node.attrs).output, None, None, None]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"blank": node.attrs.blank, "zero_infinity": int(node.attrs.zero_infinity)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class CtcBackward(Op):
    """[log_probs, targets, input_lengths, target_lengths, grad_losses] -> [grad_log_probs]."""

    name = "ctc_loss_backward"
    Inputs = CtcBackwardInputs
    Attributes = CtcAttributes

    def infer(self, inputs: CtcBackwardInputs, attrs: CtcAttributes) -> list[Spec | None]:
        return [(inputs.log_probs.shape, "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"blank": node.attrs.blank, "zero_infinity": int(node.attrs.zero_infinity)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def _integers(op: str, name: str, value: Any) -> Tensor:
    tensor = as_tensor(value, op)
    if tensor.dtype == "float32":
        raise dtype_error(op, f"expected integers for {name}, got floats of shape {tensor.shape}")
    return with_layout(cast(tensor, "int64"), Layout.C)


@operator("log_probs", "targets", "input_lengths", "target_lengths")
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return -log of the probability of label sequences, summed over all alignments, by Graves et al. (2006).

    Computed in double, in the log domain, so that long sequences lose nothing.

    Args:
        log_probs: logarithms of probabilities, (time, batch, classes) or (time, classes).
        targets: labels (batch, most labels), or those of all samples in a row; (labels,) without a batch.
        input_lengths: times of each sample, (batch,) or ().
        target_lengths: labels of each sample, (batch,) or ().
        blank: the class of no label.
        reduction: "mean" (of losses over their number of labels), "sum" or "none".
        zero_infinity: make the loss and gradient of samples too short for their labels 0 instead of infinite.

    Raises:
        ValueError: lengths beyond time or targets, labels that are no class.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> round(ops.ctc_loss(np.log(np.full((3, 1, 4), 0.25)), [[1]], [3], [1]).item(), 4)
    2.3671
    """
    op = "ctc_loss"
    reduction = check_reduction(reduction, op)
    x = float_tensor(log_probs, op)
    if x.ndim not in (2, 3):
        raise shape_error(op, f"expected log_probs (time, batch, classes) or (time, classes), got {x.shape}")
    single = x.ndim == 2
    if single:
        x = reshape_to(with_layout(x, Layout.C), (x.shape[0], 1, x.shape[1]))
    time, batch, classes = x.shape
    blank = integer(blank, "blank", op)
    if not 0 <= blank < classes:
        raise shape_error(op, f"expected blank from 0 to {classes - 1}, got {blank}")
    labels = _integers(op, "targets", targets)
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.shape[0] != batch):
        raise shape_error(op, f"expected targets ({batch}, labels) or (labels,), got {labels.shape}")
    lengths = []
    for name, value in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        tensor = _integers(op, name, value)
        if tensor.shape != (batch,) and not (single and tensor.shape == ()):
            raise shape_error(op, f"expected {name} of shape ({batch},), got {tensor.shape}")
        lengths.append(reshape_to(tensor, (batch,)))
    bad = emit(CtcGuard, CtcGuardInputs(labels, *lengths), CtcGuardAttributes(time, classes)).output
    limits = f"input_lengths up to {time}, target_lengths up to those of targets and labels below {classes}"
    current_graph().checks.append((bad, f"[{where(op)}] expected {limits}, got {{}} samples outside"))
    inputs = CtcInputs(with_layout(x, Layout.C), labels, *lengths)
    losses = emit(Ctc, inputs, CtcAttributes(blank, bool(zero_infinity))).output
    if reduction == "mean":
        count = elementwise("max_scalar", cast(lengths[1], "float32"), alpha=1.0)
        losses = elementwise("div", losses, count)
    return reshape_to(losses, ()) if single else reduced(losses, reduction)
