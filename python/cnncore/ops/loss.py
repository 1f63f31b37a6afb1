# SPDX-License-Identifier: Apache-2.0
"""Losses."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, shape_error, where
from .build import cast, elementwise, keep_axes, reduce, reshape_to, with_layout
from .check import float_tensor, integer, optional_float, real
from .comparison import equal, not_equal
from .formula import apply, formula
from .pull_back import pull_back
from .reduction import check_reduction
from .softmax import LogSoftmax, Softmax, along

Grads = Sequence[Tensor | None]


class LabelsInputs(NamedTuple):
    target: Tensor


class LabelsAttributes(NamedTuple):
    classes: int
    ignore_index: int


class CountBadLabels(Op):
    """[target int64] -> [how many labels are neither a class nor ignored]."""

    name = "count_bad_labels"
    differentiable = False
    Inputs = LabelsInputs
    Attributes = LabelsAttributes

    def infer(self, inputs: LabelsInputs, attrs: LabelsAttributes) -> list[Spec | None]:
        return [((), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class CrossEntropyInputs(NamedTuple):
    logits: Tensor
    target: Tensor
    weight: Tensor | None = None


class CrossEntropyAttributes(NamedTuple):
    reduction: str
    ignore_index: int
    label_smoothing: float


class CrossEntropy(Op):
    """[logits, target int64, class_weight?] -> [loss, log_normaliser]."""

    name = "cross_entropy"
    Inputs = CrossEntropyInputs
    Attributes = CrossEntropyAttributes

    def infer(self, inputs: CrossEntropyInputs, attrs: CrossEntropyAttributes) -> list[Spec | None]:
        target = inputs.target
        shape = target.shape if attrs.reduction == "none" else ()
        return [
            (shape, "float32", Layout.CHANNELS_LAST),
            (target.shape, "float32", Layout.CHANNELS_LAST),
        ]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        logits, target, weight = node.inputs
        _, normaliser = node.outputs
        inputs = CrossEntropyBackwardInputs(present(grads[0]), logits, target, present(normaliser), weight)
        return [emit(CrossEntropyBackward, inputs, node.attrs).output]

    def of_nothing(self, node: Node) -> float:
        return nan if node.attrs.reduction == "mean" else 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class CrossEntropyBackwardInputs(NamedTuple):
    grad: Tensor
    logits: Tensor
    target: Tensor
    log_normaliser: Tensor
    weight: Tensor | None = None


class CrossEntropyBackward(Op):
    """[grad_loss, logits, target, log_normaliser, class_weight?] -> [grad_logits]."""

    name = "cross_entropy_backward"
    Inputs = CrossEntropyBackwardInputs
    Attributes = CrossEntropyAttributes

    def infer(self, inputs: CrossEntropyBackwardInputs, attrs: CrossEntropyAttributes) -> list[Spec | None]:
        logits = inputs.logits
        return [(logits.shape, "float32", logits.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad, logits, target, _, weight = node.inputs
        shares, total = _target_shares(logits, target, weight, node.attrs)

        def written_out(grad: Tensor, logits: Tensor) -> list[Tensor | None]:
            if node.attrs.reduction == "mean":
                grad = elementwise("div", grad, total)
            grad = keep_axes(grad, logits, (1,)) if grad.ndim else grad
            ours = elementwise(
                "mul", along(Softmax, logits, 1), keep_axes(reduce("sum", shares, (1,)), logits, (1,))
            )
            return [elementwise("mul", elementwise("sub", ours, shares), grad)]

        of_grad, of_logits = pull_back(written_out, (grad, logits), grads, (needs.grad, needs.logits))
        return [of_grad, of_logits, None, None, None]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


def _target_shares(
    logits: Tensor, target: Tensor, weight: Tensor | None, attrs: CrossEntropyAttributes
) -> tuple[Tensor, Tensor]:
    """Return what each logarithm of a probability counts in the loss, and the sum of the labels' weights."""
    classes = logits.shape[1]
    column = (1, classes, *(1,) * (logits.ndim - 2))
    labels = keep_axes(target, logits, (1,))
    hit = cast(equal(labels, np.arange(classes).reshape(column)), "float32")
    counted = cast(not_equal(labels, attrs.ignore_index), "float32")
    hit = elementwise("mul", hit, counted)
    factors = None if weight is None else reshape_to(weight, column)
    weighted = hit if factors is None else elementwise("mul", hit, factors)
    total = reduce("sum", weighted, tuple(range(weighted.ndim)))
    shares = elementwise("mul_scalar", weighted, alpha=1.0 - attrs.label_smoothing)
    if attrs.label_smoothing:
        each = counted if factors is None else elementwise("mul", counted, factors)
        spread = elementwise("mul_scalar", each, alpha=attrs.label_smoothing / classes)
        shares = elementwise("add", shares, spread)
    return with_layout(shares, logits.layout), total


def _labels(target: Any, logits: Tensor, op: str) -> Tensor:
    labels = as_tensor(target, op)
    if labels.dtype == "float32":
        raise dtype_error(
            op,
            f"expected integer class labels of shape {_label_shape(logits)} or class probabilities of shape "
            f"{logits.shape}, got floats of shape {labels.shape}",
        )
    if labels.shape != _label_shape(logits):
        raise shape_error(
            op,
            f"expected labels of shape {_label_shape(logits)} for input {logits.shape}, got {labels.shape}",
        )
    return cast(labels, "int64")


def _label_shape(logits: Tensor) -> tuple[int, ...]:
    return logits.shape[:1] + logits.shape[2:]


@operator("input", "target", "weight")
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the negative log-likelihood of the labels under softmax(input).

    Args:
        input: logits (batch, classes, ...) or (classes,).
        target: integer labels (batch, ...) or (), or probabilities of input's shape (floats).
        weight: (classes,) factors of the classes' losses, or None.
        ignore_index: label of elements that do not count.
        reduction: "mean" (weighted by `weight`), "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes, 0 to 1.

    Raises:
        ValueError: a label outside 0 .. classes - 1 that is not `ignore_index`.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> round(float(ops.cross_entropy(np.zeros((2, 10)), np.array([3, 7]))), 4)
    2.3026
    """
    op = "cross_entropy"
    logits, w = float_tensor(input, op), optional_float(weight, op)
    if logits.ndim == 0:
        raise shape_error(op, "expected input (batch, classes, ...) or (classes,), got a scalar")
    if logits.ndim == 1:
        one = as_tensor(target, op)
        row, given = reshape_to(logits, (1, *logits.shape)), reshape_to(one, (1, *one.shape))
        loss: Tensor = cross_entropy(row, given, w, ignore_index, reduction, label_smoothing)
        return reshape_to(loss, ())
    if w is not None and w.shape != logits.shape[1:2]:
        raise shape_error(op, f"expected weight of shape {logits.shape[1:2]}, got {w.shape}")
    label_smoothing = real(label_smoothing, "label_smoothing", op, 0, 1)
    ignored = integer(ignore_index, "ignore_index", op)
    reduction = check_reduction(reduction, op)
    labels = as_tensor(target, op)
    if labels.dtype == "float32" and labels.shape == logits.shape:
        return _soft_cross_entropy(logits, labels, w, reduction, label_smoothing)
    attrs = CrossEntropyAttributes(reduction, ignored, label_smoothing)
    logits = with_layout(logits, Layout.CHANNELS_LAST)
    labels = _labels(labels, logits, op)
    bad = emit(CountBadLabels, LabelsInputs(labels), LabelsAttributes(logits.shape[1], ignored)).output
    known = f"0 to {logits.shape[1] - 1} (or {ignored} to ignore)"
    message = f"[{where(op)}] expected labels from {known}, got {{}} outside"
    current_graph().checks.append((bad, message))
    return emit(CrossEntropy, CrossEntropyInputs(logits, labels, w), attrs).output


def _soft_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """Cross-entropy with probabilities as targets."""
    classes = logits.shape[1]
    factors = [] if weight is None else [reshape_to(weight, (classes,) + (1,) * (logits.ndim - 2))]
    inputs = [along(LogSoftmax, logits, 1), target, *factors]
    kept, spread = 1.0 - smoothing, smoothing / classes
    if reduction == "none":
        return reduce("sum", apply(expected_loss, *inputs, kept=kept, spread=spread), (1,))
    loss = apply(expected_loss, *inputs, reduction=reduction, kept=kept, spread=spread)
    return elementwise("mul_scalar", loss, alpha=float(classes)) if reduction == "mean" else loss


@formula
def expected_loss(logarithm: Tensor, t: Tensor, *weight: Tensor, kept: float, spread: float) -> Tensor:
    """-(kept t + spread) logarithm weight."""
    if spread:
        t = elementwise("add_scalar", elementwise("mul_scalar", t, alpha=kept), alpha=spread)
    loss = elementwise("neg", elementwise("mul", logarithm, t))
    return elementwise("mul", loss, *weight) if weight else loss
