# SPDX-License-Identifier: Apache-2.0
"""Losses of segmentation and detection: focal, Dice, Tversky."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import shape_error
from .build import elementwise, reduce
from .check import real
from .formula import apply, formula
from .reduction import check_reduction, one_shape

__all__ = ["dice_loss", "sigmoid_focal_loss", "tversky_loss"]

e = elementwise


@formula
def binary_focal(x: Tensor, t: Tensor, alpha: float, gamma: float) -> Tensor:
    """Binary cross-entropy times (p + t - 2 p t)^gamma, the probability of the other answer."""
    loss = e("sub", e("softplus", x), e("mul", x, t))
    p = e("sigmoid", x)
    wrong = e("sub", e("add", p, t), e("mul_scalar", e("mul", p, t), alpha=2.0))
    if gamma == 2.0:
        loss = e("mul", loss, e("square", wrong))
    elif gamma == 1.0:
        loss = e("mul", loss, wrong)
    elif gamma != 0.0:
        loss = e("mul", loss, e("pow_scalar", e("max_scalar", wrong, alpha=0.0), alpha=gamma))
    if alpha < 0:
        return loss
    return e("mul", loss, e("add_scalar", e("mul_scalar", t, alpha=2 * alpha - 1), alpha=1 - alpha))


@operator("inputs", "targets")
def sigmoid_focal_loss(
    inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """Return the binary cross-entropy of sigmoid(inputs), less for what is right, by Lin et al. (2017).

    It is that times alpha_t (1 - p_t)^gamma, with p_t the probability of the right answer and alpha_t alpha
    for targets of 1 and 1 - alpha for 0. Arguments and defaults are those of torchvision.ops.

    Args:
        inputs: logits of any shape.
        targets: 0 or 1, or probabilities, of the same shape.
        alpha: weight of targets of 1, from 0 to 1; -1: no weights.
        gamma: how much less right answers count, at least 0.
        reduction: "none", "mean" over all elements or "sum".

    Raises:
        ValueError: `alpha` is neither from 0 to 1 nor -1; an unknown reduction; shapes that differ.

    >>> from cnncore import ops
    >>> round(ops.sigmoid_focal_loss([0.0], [1.0]).item(), 4)
    0.0433
    """
    op = "sigmoid_focal_loss"
    x, t = one_shape(op, inputs=inputs, targets=targets)
    alpha, gamma = real(alpha, "alpha", op, -1, 1), real(gamma, "gamma", op, 0)
    if -1 < alpha < 0:
        raise shape_error(op, f"expected alpha from 0 to 1, or -1 for none, got {alpha:g}")
    return apply(binary_focal, x, t, reduction=check_reduction(reduction, op), alpha=alpha, gamma=gamma)


@formula
def overlap(hits: Tensor, found: Tensor, wanted: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
    """1 - (hits + smooth) / (hits + alpha (found - hits) + beta (wanted - hits) + smooth)."""
    wrong = e("mul_scalar", e("sub", found, hits), alpha=alpha)
    missed = e("mul_scalar", e("sub", wanted, hits), alpha=beta)
    whole = e("add_scalar", e("add", hits, e("add", wrong, missed)), alpha=smooth)
    return e("div", e("add", wrong, missed), whole)


def _overlap(
    op: str, input: Any, target: Any, alpha: float, beta: float, smooth: float, reduction: Any
) -> Tensor:
    p, t = one_shape(op, input=input, target=target)
    if p.ndim < 2:
        raise shape_error(
            op, f"expected input (batch, channels, ...) or (batch, elements), got shape {p.shape}"
        )
    axes = tuple(range(2, p.ndim)) or (1,)
    sums = [reduce("sum", x, axes) for x in (e("mul", p, t), p, t)]
    settings = {"alpha": alpha, "beta": beta, "smooth": smooth}
    return apply(overlap, *sums, reduction=check_reduction(reduction, op), **settings)


@operator("input", "target")
def dice_loss(input: Any, target: Any, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return 1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth), by Milletari et al. (2016).

    The sums are over each channel's pixels.

    Args:
        input: probabilities p, (batch, channels, ...) or (batch, elements).
        target: memberships t from 0 to 1, of the same shape (labels one-hot).
        smooth: keeps empty channels finite, above 0 for those.
        reduction: "mean" over batch and channels, "sum" or "none".

    Raises:
        ValueError: shapes that differ, a setting below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.dice_loss([[1.0, 1.0, 0.0]], [[1, 0, 0]], smooth=0).item(), 4)
    0.3333
    """
    smooth = real(smooth, "smooth", "dice_loss", 0)
    return _overlap("dice_loss", input, target, 0.5, 0.5, smooth / 2, reduction)


@operator("input", "target")
def tversky_loss(
    input: Any,
    target: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Return 1 - (sum(p t) + smooth) / (sum(p t) + alpha sum(p (1 - t)) + beta sum((1 - p) t) + smooth).

    It is by Salehi et al. (2017); the sums are over each channel's pixels.

    Args:
        input: probabilities p, (batch, channels, ...) or (batch, elements).
        target: memberships t from 0 to 1, of the same shape (labels one-hot).
        alpha: cost of false positives.
        beta: cost of false negatives.
        smooth: keeps empty channels finite, above 0 for those.
        reduction: "mean" over batch and channels, "sum" or "none".

    Raises:
        ValueError: shapes that differ, a setting below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.tversky_loss([[1.0, 1.0, 0.0]], [[1, 0, 0]], alpha=1.0, beta=0.0, smooth=0).item()
    0.5
    """
    op = "tversky_loss"
    alpha, beta = real(alpha, "alpha", op, 0), real(beta, "beta", op, 0)
    return _overlap(op, input, target, alpha, beta, real(smooth, "smooth", op, 0), reduction)
