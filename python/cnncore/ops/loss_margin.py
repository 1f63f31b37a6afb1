# SPDX-License-Identifier: Apache-2.0
"""Losses of yes or no: logistic and hinge losses, of one label each or of labels of several classes."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import shape_error
from .build import elementwise, reduce
from .check import broadcast_shape, optional_float, real
from .formula import apply, derivative, formula
from .reduction import check_reduction, element_losses, expect_none, one_shape, reduced

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]

e = elementwise


@formula
def binary(x: Tensor, t: Tensor, *weight: Tensor) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)), logarithms no smaller than -100."""
    yes = e("max_scalar", e("log", x), alpha=-100.0)
    no = e("max_scalar", e("log1p", e("neg", x)), alpha=-100.0)
    loss = e("neg", e("add", e("mul", t, yes), e("mul", e("rsub_scalar", t, alpha=1.0), no)))
    return e("mul", loss, *weight) if weight else loss


@derivative("binary", 0)
def _by_probability(grad: Tensor, x: Tensor, t: Tensor, *weight: Tensor) -> Tensor:
    """(x - t) / (x (1 - x)) with a denominator of at least 1e-12: finite at 0 and 1."""
    room = e("max_scalar", e("mul", x, e("rsub_scalar", x, alpha=1.0)), alpha=1e-12)
    slope = e("mul", grad, e("div", e("sub", x, t), room))
    return e("mul", slope, *weight) if weight else slope


@formula
def binary_with_logits(x: Tensor, t: Tensor, *weight: Tensor) -> Tensor:
    loss = e("sub", e("softplus", x), e("mul", x, t))
    return e("mul", loss, *weight) if weight else loss


@formula
def positive_binary_with_logits(x: Tensor, t: Tensor, positive: Tensor, *weight: Tensor) -> Tensor:
    """(1 - t) x + (1 + (positive - 1) t) softplus(-x)."""
    scale = e("add_scalar", e("mul", e("add_scalar", positive, alpha=-1.0), t), alpha=1.0)
    tail = e("mul", scale, e("softplus", e("neg", x)))
    loss = e("add", e("mul", e("rsub_scalar", t, alpha=1.0), x), tail)
    return e("mul", loss, *weight) if weight else loss


def _fitting(op: str, name: str, value: Any, shape: tuple[int, ...]) -> list[Tensor]:
    """An optional argument that is broadcast to `shape`, as a list of none or one."""
    tensor = optional_float(value, op)
    if tensor is None:
        return []
    if broadcast_shape([shape, tensor.shape], op) != shape:
        raise shape_error(op, f"expected {name} that broadcasts to {shape}, got {tensor.shape}")
    return [tensor]


@formula
def outside(x: Tensor) -> Tensor:
    """1 where |x - 0.5| > 0.5, 0 elsewhere and for NaN."""
    beyond = e("add_scalar", e("abs", e("add_scalar", x, alpha=-0.5)), alpha=-0.5)
    return e("greater", beyond, e("neg", beyond))


@operator("input", "target", "weight")
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """Return -(target log(input) + (1 - target) log(1 - input)), with logarithms no smaller than -100.

    For outputs of a sigmoid `binary_cross_entropy_with_logits`, which takes them before it, is more accurate.

    Args:
        input: probabilities of any shape.
        target: probabilities of the same shape.
        weight: factor of each element's loss, broadcast to input's shape, or None.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: an input outside 0 to 1.

    >>> from cnncore import ops
    >>> round(ops.binary_cross_entropy([0.5, 1.0], [1.0, 1.0]).item(), 4)
    0.3466
    """
    op = "binary_cross_entropy"
    x, t = one_shape(op, input=input, target=target)
    w = _fitting(op, "weight", weight, x.shape)
    expect_none(outside, x, op, "expected input from 0 to 1, got {} outside: are they logits?")
    return element_losses(op, binary, x, t, *w, reduction=reduction)


@operator("input", "target", "weight", "pos_weight")
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Return the binary cross-entropy of sigmoid(input), computed without overflow.

    It is softplus(input) - input * target without weights.

    Args:
        input: logits of any shape.
        target: probabilities of the same shape.
        weight: factor of each element's loss, broadcast to input's shape, or None.
        reduction: "mean" over all elements, "sum" or "none".
        pos_weight: factor of the positive part of the loss, broadcast, or None.

    Raises:
        ValueError: shapes that differ, weights that do not broadcast to them, or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.binary_cross_entropy_with_logits([0.0, 1000.0], [1.0, 1.0]).item(), 4)
    0.3466
    """
    op = "binary_cross_entropy_with_logits"
    x, t = one_shape(op, input=input, target=target)
    w = _fitting(op, "weight", weight, x.shape)
    positive = _fitting(op, "pos_weight", pos_weight, x.shape)
    function = positive_binary_with_logits if positive else binary_with_logits
    return element_losses(op, function, x, t, *positive, *w, reduction=reduction)


@formula
def soft_margin(x: Tensor, t: Tensor) -> Tensor:
    return e("softplus", e("neg", e("mul", t, x)))


@operator("input", "target")
def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return log(1 + exp(-target * input)), without overflow.

    Args:
        input: scores of any shape.
        target: 1 or -1, of the same shape.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: shapes that differ, or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.soft_margin_loss([1000.0], [-1]).item()
    1000.0
    """
    x, t = one_shape("soft_margin_loss", input=input, target=target)
    return element_losses("soft_margin_loss", soft_margin, x, t, reduction=reduction)


@operator("input", "target", "weight")
def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Return the binary cross-entropy of sigmoid(input), averaged over the classes of each row.

    Args:
        input: logits (batch, classes) or (classes,).
        target: 0 or 1, of the same shape.
        weight: (classes,) factors, or None.
        reduction: "mean" over the rows, "sum" or "none".

    Raises:
        ValueError: an input without axes; shapes that differ; an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.multilabel_soft_margin_loss([[0.0, 0.0]], [[1, 0]]).item(), 4)
    0.6931
    """
    op = "multilabel_soft_margin_loss"
    x, t = one_shape(op, input=input, target=target)
    w, reduction = _fitting(op, "weight", weight, x.shape), check_reduction(reduction, op)
    if x.ndim == 0:
        raise shape_error(op, "expected input (batch, classes) or (classes,), got a scalar")
    if reduction == "mean":
        return apply(binary_with_logits, x, t, *w, reduction="mean")
    return reduced(reduce("mean", apply(binary_with_logits, x, t, *w), (x.ndim - 1,)), reduction)


@formula
def hinge_embedding(x: Tensor, t: Tensor, margin: float) -> Tensor:
    """|sign(t - 1)| max(0, margin - x) + |sign(t + 1)| x."""
    negative = e("abs", e("sign", e("add_scalar", t, alpha=-1.0)))
    positive = e("abs", e("sign", e("add_scalar", t, alpha=1.0)))
    hinge = e("max_scalar", e("rsub_scalar", x, alpha=margin), alpha=0.0)
    return e("add", e("mul", negative, hinge), e("mul", positive, x))


@operator("input", "target")
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return input where target is 1 and max(0, margin - input) where it is -1.

    Args:
        input: distances of any shape.
        target: 1 or -1, of the same shape.
        margin: distance from which on different things cost nothing.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: shapes that differ, or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.hinge_embedding_loss([0.25, 0.25], [1, -1], reduction="none").tolist()
    [0.25, 0.75]
    """
    op = "hinge_embedding_loss"
    x, t = one_shape(op, input=input, target=target)
    return element_losses(op, hinge_embedding, x, t, reduction=reduction, margin=real(margin, "margin", op))


@formula
def ranking(a: Tensor, b: Tensor, t: Tensor, margin: float) -> Tensor:
    loss = e("add_scalar", e("mul", t, e("sub", b, a)), alpha=margin)
    return e("max_scalar", loss, alpha=0.0)


@operator("input1", "input2", "target")
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Return max(0, -target * (input1 - input2) + margin).

    Args:
        input1: scores.
        input2: scores of the same shape.
        target: 1 where input1 should be larger, -1 where input2 should, of the same shape.
        margin: the difference asked for.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: shapes that differ, or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.margin_ranking_loss([1.0, 2.0], [3.0, 1.0], [1, 1]).item()
    1.0
    """
    op = "margin_ranking_loss"
    a, b, t = one_shape(op, input1=input1, input2=input2, target=target)
    return element_losses(op, ranking, a, b, t, reduction=reduction, margin=real(margin, "margin", op))
