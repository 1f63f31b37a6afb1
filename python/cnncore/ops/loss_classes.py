# SPDX-License-Identifier: Apache-2.0
"""Losses of class labels beside cross-entropy."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import emit, shape_error
from .build import cast, elementwise, expand_to, reduce, reshape_to
from .check import float_tensor, integer, optional_float, real
from .formula import apply, formula
from .gather import GatherAxis, GatherInputs, ScatterAttributes, ScatterAxis, ScatterInputs
from .labels import class_labels, constant, counted, picked
from .nll import nll
from .reduction import check_reduction, reduced
from .softmax import AxisAttributes, LogSoftmax, along
from .sort import cummin

__all__ = ["multi_margin_loss", "multilabel_margin_loss", "nll_loss", "softmax_focal_loss"]

e = elementwise


def _rows(op: str, input: Any, target: Any, ignored: int) -> tuple[Tensor, Tensor, bool]:
    """Input (batch, classes, ...) and its labels, and whether there was no batch axis."""
    x = float_tensor(input, op)
    if x.ndim == 0:
        raise shape_error(op, "expected input (batch, classes, ...) or (classes,), got a scalar")
    single = x.ndim == 1
    shape = () if single else x.shape[:1] + x.shape[2:]
    labels = class_labels(op, target, shape, x.shape[-1 if single else 1], ignored)
    return (reshape_to(x, (1, *x.shape)), reshape_to(labels, (1,)), True) if single else (x, labels, False)


def _class_weight(op: str, weight: Any, classes: int) -> Tensor | None:
    w = optional_float(weight, op)
    if w is not None and w.shape != (classes,):
        raise shape_error(op, f"expected weight of shape ({classes},), got {w.shape}")
    return w


def _weights(weight: Tensor | None, x: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """The weight of each label, 0 where it is ignored."""
    if weight is None:
        return kept
    rows = expand_to(reshape_to(weight, (1, *weight.shape)), (labels.shape[0], x.shape[1]))
    if labels.ndim > 1:
        shape = (*rows.shape, *(1,) * (labels.ndim - 1))
        rows = expand_to(reshape_to(rows, shape), x.shape)
    return picked(rows, labels, kept)


def _finish(losses: Tensor, weights: Tensor, reduction: str, single: bool) -> Tensor:
    if reduction == "none":
        return reshape_to(losses, ()) if single else losses
    total = reduced(losses, "sum")
    return total if reduction == "sum" else e("div", total, reduced(weights, "sum"))


@operator("input", "target", "weight")
def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Return -weight[target] * input[target]: the negative log-likelihood of labels.

    Args:
        input: logarithms of probabilities, (batch, classes, ...) or (classes,).
        target: integer labels (batch, ...) or ().
        weight: (classes,) factors, or None; they have no gradient.
        ignore_index: label of elements that do not count.
        reduction: "mean" (over the labels' weights), "sum" or "none".

    Raises:
        ValueError: a label outside 0 .. classes - 1 that is not `ignore_index`.

    >>> from cnncore import ops
    >>> ops.nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [0, 1]).item()
    2.5
    """
    op, ignored = "nll_loss", integer(ignore_index, "ignore_index", "nll_loss")
    reduction = check_reduction(reduction, op)
    x, labels, single = _rows(op, input, target, ignored)
    losses = nll(x, labels, _class_weight(op, weight, x.shape[1]), reduction, ignored)
    return reshape_to(losses, ()) if single else losses


@formula
def focal(logarithm: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """-weight (1 - p)^gamma log p of log p."""
    loss = e("neg", e("mul", logarithm, weight))
    if gamma == 0.0:
        return loss
    rest = e("neg", e("expm1", logarithm))
    return e("mul", loss, _power(rest, gamma))


def _power(x: Tensor, exponent: float) -> Tensor:
    if exponent == 1.0:
        return x
    return e("square", x) if exponent == 2.0 else e("pow_scalar", x, alpha=exponent)


@operator("input", "target", "weight")
def softmax_focal_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return -weight[target] (1 - p)^gamma log p with p = softmax(input)[target], by Lin et al. (2017).

    Args:
        input: logits (batch, classes, ...) or (classes,).
        target: integer labels (batch, ...) or ().
        weight: (classes,) factors (alpha of the paper), or None; they have no gradient.
        gamma: how much less well classified elements count, at least 0; with 0 it is `cross_entropy`.
        ignore_index: label of elements that do not count.
        reduction: "mean" (over the labels that count), "sum" or "none".

    Raises:
        ValueError: shapes that do not go together, `gamma` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.softmax_focal_loss([[0.0, 0.0]], [1]).item(), 4)
    0.1733
    """
    op, ignored = "softmax_focal_loss", integer(ignore_index, "ignore_index", "softmax_focal_loss")
    reduction, gamma = check_reduction(reduction, op), real(gamma, "gamma", op, 0)
    x, labels, single = _rows(op, input, target, ignored)
    w, kept = _class_weight(op, weight, x.shape[1]), counted(labels, ignored)
    logarithms = picked(along(LogSoftmax, x, 1), labels, kept)
    losses = apply(focal, logarithms, _weights(w, x, labels, kept), gamma=gamma)
    return _finish(losses, kept, reduction, single)


@formula
def class_margin(x: Tensor, own: Tensor, margin: float, p: int) -> Tensor:
    hinge = e("max_scalar", e("add_scalar", e("sub", x, own), alpha=margin), alpha=0.0)
    return hinge if p == 1 else e("square", hinge)


@operator("input", "target", "weight")
def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Return sum over i other than y of weight[y] max(0, margin - input[y] + input[i])^p / classes.

    It is the hinge loss of several classes, by Crammer and Singer (2001).

    Args:
        input: scores (batch, classes) or (classes,).
        target: integer labels y, (batch,) or ().
        p: 1 or 2.
        margin: how much larger than all others the label's score should be.
        weight: (classes,) factors, or None; they have no gradient.
        reduction: "mean" over the rows, "sum" or "none".

    Raises:
        ValueError: `p` is neither 1 nor 2; shapes that do not go together.

    >>> from cnncore import ops
    >>> ops.multi_margin_loss([[0.0, 0.5]], [0]).item()
    0.75
    """
    op = "multi_margin_loss"
    reduction, margin = check_reduction(reduction, op), real(margin, "margin", op)
    if p not in (1, 2):
        raise shape_error(op, f"expected p of 1 or 2, got {p!r}")
    x, labels, single = _rows(op, input, target, -1 << 62)
    if x.ndim != 2:
        raise shape_error(op, f"expected input (batch, classes) or (classes,), got {x.shape}")
    kept = counted(labels, -1 << 62)
    own = picked(x, labels, kept)
    hinges = apply(class_margin, x, reshape_to(own, (x.shape[0], 1)), margin=margin, p=int(p))
    losses = e("add_scalar", reduce("sum", hinges, (1,)), alpha=-(max(0.0, margin) ** p))
    w = _class_weight(op, weight, x.shape[1])
    if w is not None:
        losses = e("mul", losses, _weights(w, x, labels, kept))
    losses = e("mul_scalar", losses, alpha=1.0 / x.shape[1])
    return reshape_to(reduced(losses, reduction), ()) if single else reduced(losses, reduction)


@formula
def set_margin(own: Tensor, listed: Tensor, x: Tensor, outside: Tensor) -> Tensor:
    """listed outside max(0, 1 - own + x)."""
    hinge = e("max_scalar", e("add_scalar", e("sub", x, own), alpha=1.0), alpha=0.0)
    return e("mul", e("mul", hinge, listed), outside)


@operator("input", "target")
def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return the sum of max(0, 1 - input[j] + input[i]) / classes over labels j and classes i that are none.

    Args:
        input: scores (batch, classes) or (classes,).
        target: for each row its labels, then -1 and anything; integers of input's shape.
        reduction: "mean" over the rows, "sum" or "none".

    Work and, for gradients and reduction "none", memory grow as batch * classes^2.

    Raises:
        ValueError: an input that is neither (batch, classes) nor (classes,).

    >>> from cnncore import ops
    >>> ops.multilabel_margin_loss([[0.5, 0.25, 1.0]], [[2, -1, 0]]).item()
    0.25
    """
    op = "multilabel_margin_loss"
    reduction, x = check_reduction(reduction, op), float_tensor(input, op)
    if x.ndim not in (1, 2):
        raise shape_error(op, f"expected input (batch, classes) or (classes,), got {x.shape}")
    labels = class_labels(op, target, x.shape, x.shape[-1], -1)
    single = x.ndim == 1
    if single:
        x, labels = reshape_to(x, (1, *x.shape)), reshape_to(labels, (1, *labels.shape))
    rows, classes = x.shape
    numbers = cast(labels, "float32")
    # 1 up to the first -1: the smallest label so far is not negative.
    listed = e("greater", cummin(numbers, 1).values, constant(-0.5))
    places = cast(e("mul", numbers, listed), "int64")
    own = emit(GatherAxis, GatherInputs(x, places), AxisAttributes(1)).output
    hits = emit(ScatterAxis, ScatterInputs(listed, places), ScatterAttributes(1, x.shape, x.layout)).output
    outside = e("rsub_scalar", e("sign", hits), alpha=1.0)
    pairs = [reshape_to(t, (rows, classes, 1)) for t in (own, listed)]
    pairs += [reshape_to(t, (rows, 1, classes)) for t in (x, outside)]
    if reduction == "none":
        losses = reduce("sum", apply(set_margin, *pairs), (1, 2))
        losses = e("mul_scalar", losses, alpha=1.0 / classes)
        return reshape_to(losses, ()) if single else losses
    total = apply(set_margin, *pairs, reduction="sum")
    return e("mul_scalar", total, alpha=1.0 / (classes * (max(1, rows) if reduction == "mean" else 1)))
