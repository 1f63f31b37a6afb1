# SPDX-License-Identifier: Apache-2.0
"""Losses of single numbers: errors, likelihoods of counts and normal distributions, divergence."""

from __future__ import annotations

from math import log, pi
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import shape_error
from .build import elementwise, reduce, reshape_to
from .check import float_tensor, is_number, real
from .formula import apply, derivative, formula
from .reduction import check_reduction, element_losses, expect_none, one_shape

__all__ = [
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]

e = elementwise

_SMALLEST = 1.2e-38
"""Added where a logarithm's argument may be 0: changes no number above 1e-31."""


@formula
def squared_error(x: Tensor, t: Tensor) -> Tensor:
    return e("square", e("sub", x, t))


@formula
def absolute_error(x: Tensor, t: Tensor) -> Tensor:
    return e("abs", e("sub", x, t))


@formula
def huber(x: Tensor, t: Tensor, delta: float, scale: float) -> Tensor:
    """c (|d| - c / 2) with c = min(|d|, delta): square up to delta, a line from there."""
    distance = e("abs", e("sub", x, t))
    clipped = e("min_scalar", distance, alpha=delta)
    loss = e("mul", clipped, e("sub", distance, e("mul_scalar", clipped, alpha=0.5)))
    return loss if scale == 1.0 else e("mul_scalar", loss, alpha=scale)


@operator("input", "target", "weight")
def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Return (input - target)^2.

    Args:
        input: values of any shape.
        target: values of the same shape.
        reduction: "mean" over all elements (with `weight` the weighted mean), "sum" or "none".
        weight: factor of each element, of the same shape, or None.

    Raises:
        ValueError: shapes that differ, or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.mse_loss([1, 2], [1, 4]).item()
    2.0
    """
    x, t = one_shape("mse_loss", input=input, target=target)
    return element_losses("mse_loss", squared_error, x, t, weight=weight, reduction=reduction)


@operator("input", "target", "weight")
def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Return |input - target|. Arguments as for `mse_loss`.

    Raises:
        ValueError: shapes that differ, or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.l1_loss([1, 2], [1, 5]).item()
    1.5
    """
    x, t = one_shape("l1_loss", input=input, target=target)
    return element_losses("l1_loss", absolute_error, x, t, weight=weight, reduction=reduction)


@operator("input", "target")
def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Return 0.5 d^2 / beta where d = |input - target| < beta, and d - 0.5 beta elsewhere (Girshick, 2015).

    Args:
        input: values of any shape.
        target: values of the same shape.
        reduction: "mean" over all elements, "sum" or "none".
        beta: where the square ends; 0 gives `l1_loss`.

    Raises:
        ValueError: shapes that differ, `beta` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.smooth_l1_loss([0, 0], [1, 3], reduction="none").tolist()
    [0.5, 2.5]
    """
    op = "smooth_l1_loss"
    x, t = one_shape(op, input=input, target=target)
    beta = real(beta, "beta", op, 0)
    if beta == 0:
        return element_losses(op, absolute_error, x, t, reduction=reduction)
    return element_losses(op, huber, x, t, reduction=reduction, delta=beta, scale=1.0 / beta)


@operator("input", "target", "weight")
def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """Return 0.5 d^2 where d = |input - target| <= delta, and delta (d - 0.5 delta) elsewhere (Huber, 1964).

    Args:
        input: values of any shape.
        target: values of the same shape.
        reduction: "mean" over all elements, "sum" or "none".
        delta: where the square ends, above 0.
        weight: factor of each element, of the same shape, or None; the mean is over the number of elements.

    Raises:
        ValueError: `delta` is not above 0; shapes that do not broadcast; an unknown reduction.

    >>> from cnncore import ops
    >>> ops.huber_loss([0, 0], [1, 3], reduction="none", delta=2).tolist()
    [0.5, 4.0]
    """
    op = "huber_loss"
    x, t = one_shape(op, input=input, target=target)
    delta, reduction = real(delta, "delta", op), check_reduction(reduction, op)
    if delta <= 0:
        raise shape_error(op, f"expected delta above 0, got {delta:g}")
    if weight is None or reduction != "mean":
        return element_losses(op, huber, x, t, weight=weight, reduction=reduction, delta=delta, scale=1.0)
    losses = element_losses(op, huber, x, t, weight=weight, reduction="none", delta=delta, scale=1.0)
    return reduce("mean", losses, tuple(range(losses.ndim)))


@formula
def divergence(x: Tensor, t: Tensor) -> Tensor:
    return e("mul", t, e("sub", e("log", e("add_scalar", t, alpha=_SMALLEST)), x))


@formula
def divergence_of_logarithms(x: Tensor, t: Tensor) -> Tensor:
    return e("mul", e("exp", t), e("sub", t, x))


@operator("input", "target")
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return target (log target - input): summed, the Kullback-Leibler divergence of target from exp(input).

    Args:
        input: logarithms of probabilities, of any shape.
        target: probabilities of the same shape, 0 included; their logarithms with `log_target`.
        reduction: "mean" over all elements, "batchmean" (the sum over the size of the first axis: the
            divergence's own scale), "sum" or "none".
        log_target: whether `target` holds logarithms.

    Raises:
        ValueError: an unknown reduction, or "batchmean" of an input without axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> round(ops.kl_div(np.log([[0.5, 0.5]]), [[0.25, 0.75]], "batchmean").item(), 4)
    0.1308
    """
    op = "kl_div"
    x, t = one_shape(op, input=input, target=target)
    function = divergence_of_logarithms if log_target else divergence
    if reduction != "batchmean":
        if reduction not in ("none", "mean", "sum"):
            raise shape_error(
                op, f"expected reduction 'none', 'batchmean', 'mean' or 'sum', got {reduction!r}"
            )
        return apply(function, x, t, reduction=reduction)
    if x.ndim == 0:
        raise shape_error(op, "expected input with a batch axis for reduction 'batchmean', got a scalar")
    return elementwise("mul_scalar", apply(function, x, t, reduction="sum"), alpha=1.0 / max(1, x.shape[0]))


@formula
def poisson(x: Tensor, t: Tensor, log_input: bool, full: bool, eps: float) -> Tensor:
    if log_input:
        loss = e("sub", e("exp", x), e("mul", t, x))
    else:
        loss = e("sub", x, e("mul", t, e("log", e("add_scalar", x, alpha=eps))))
    if not full:
        return loss
    # Stirling's approximation where t > 1.
    above = e("sign", e("max_scalar", e("add_scalar", t, alpha=-1.0), alpha=0.0))
    count = e("max_scalar", t, alpha=1.0)
    logarithm = e("log", count)
    stirling = e("sub", e("mul", e("add_scalar", count, alpha=0.5), logarithm), count)
    return e("add", loss, e("mul", above, e("add_scalar", stirling, alpha=0.5 * log(2 * pi))))


@operator("input", "target")
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of counts under Poisson distributions, without log(target!).

    It is exp(input) - target * input, or input - target * log(input + eps) without `log_input`.

    Args:
        input: logarithms of the expected counts, or the counts themselves, of any shape.
        target: counts of the same shape.
        log_input: whether `input` holds logarithms.
        full: add Stirling's approximation of log(target!) where target > 1.
        eps: keeps the logarithm finite.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: shapes that differ, `eps` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.poisson_nll_loss([0.0], [3.0]).item()
    1.0
    """
    op = "poisson_nll_loss"
    x, t = one_shape(op, input=input, target=target)
    settings = {"log_input": bool(log_input), "full": bool(full), "eps": real(eps, "eps", op, 0)}
    return element_losses(op, poisson, x, t, reduction=reduction, **settings)


@formula
def gaussian(x: Tensor, t: Tensor, v: Tensor, eps: float, constant: float) -> Tensor:
    variance = e("max_scalar", v, alpha=eps)
    spread = e("div", e("square", e("sub", x, t)), variance)
    loss = e("mul_scalar", e("add", e("log", variance), spread), alpha=0.5)
    return e("add_scalar", loss, alpha=constant) if constant else loss


@derivative("gaussian", 2)
def _by_variance(grad: Tensor, x: Tensor, t: Tensor, v: Tensor, eps: float, constant: float) -> Tensor:
    """Variances below eps get the gradient of eps, not 0."""
    variance = e("max_scalar", v, alpha=eps)
    spread = e("div", e("square", e("sub", x, t)), variance)
    slope = e("div", e("rsub_scalar", spread, alpha=1.0), variance)
    return e("mul", grad, e("mul_scalar", slope, alpha=0.5))


@formula
def negative(v: Tensor) -> Tensor:
    return e("greater", e("neg", v), v)


@operator("input", "target", "var")
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Return 0.5 (log var + (input - target)^2 / var), the negative log-likelihood of a normal distribution.

    It is the loss of Nix and Weigend (1994).

    Args:
        input: expected values of any shape.
        target: values of the same shape.
        var: variances of at least 0: of input's shape, without or with an extent of 1 for the last axis, or a
            number.
        full: add the constant 0.5 log(2 pi).
        eps: the smallest variance used; smaller ones have its gradient.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: a negative variance.

    >>> from cnncore import ops
    >>> ops.gaussian_nll_loss([1.0, 3.0], [1.0, 1.0], 1.0, reduction="none").tolist()
    [0.0, 2.0]
    """
    op = "gaussian_nll_loss"
    x, t = one_shape(op, input=input, target=target)
    eps = real(eps, "eps", op, 0)
    v = float_tensor([var] if is_number(var) else var, op)
    if v.shape != x.shape and not is_number(var):
        if v.shape == x.shape[:-1]:
            v = reshape_to(v, (*v.shape, 1))
        odd = [n for n, m in zip(x.shape, v.shape, strict=False) if n != m]
        if v.ndim != x.ndim or len(odd) != 1 or 1 not in v.shape:
            raise shape_error(
                op, f"expected var of input's shape {x.shape}, or 1 or no last axis, got {v.shape}"
            )
    expect_none(negative, v, op, "expected variances of at least 0, got {} negative")
    constant = 0.5 * log(2 * pi) if full else 0.0
    v = v if x.ndim else reshape_to(v, ())
    return element_losses(op, gaussian, x, t, v, reduction=reduction, eps=eps, constant=constant)
