# SPDX-License-Identifier: Apache-2.0
"""Losses of distances between embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .arrange import cat
from .build import elementwise, reduce
from .check import broadcast_shape, float_tensor, real
from .distance import normalize, pairwise_distance
from .formula import apply, formula
from .linear import matmul
from .loss import cross_entropy
from .reduction import check_reduction, one_shape
from .shape import transpose

__all__ = [
    "contrastive_loss",
    "cosine_embedding_loss",
    "nt_xent_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

e = elementwise


@formula
def cosine_margin(product: Tensor, first: Tensor, second: Tensor, t: Tensor, margin: float) -> Tensor:
    """1 - cosine where t is 1, max(0, cosine - margin) where it is -1; of a product and two squared norms."""
    eps = 1e-12
    squares = e("mul", e("add_scalar", first, alpha=eps), e("add_scalar", second, alpha=eps))
    cosine = e("mul", product, e("rsqrt", squares))
    like = e("rsub_scalar", e("abs", e("sign", e("add_scalar", t, alpha=-1.0))), alpha=1.0)
    other = e("rsub_scalar", e("abs", e("sign", e("add_scalar", t, alpha=1.0))), alpha=1.0)
    hinge = e("max_scalar", e("add_scalar", cosine, alpha=-margin), alpha=0.0)
    return e("add", e("mul", like, e("rsub_scalar", cosine, alpha=1.0)), e("mul", other, hinge))


@operator("input1", "input2", "target")
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Return 1 - cos where target is 1 and max(0, cos - margin) where it is -1.

    Args:
        input1: vectors (batch, features) or (features,).
        input2: vectors of the same shape.
        target: 1 for like pairs, -1 for others; (batch,) or ().
        margin: cosine up to which others cost nothing, -1 to 1.
        reduction: "mean" over the pairs, "sum" or "none".

    Raises:
        ValueError: shapes that do not go together.

    >>> from cnncore import ops
    >>> ops.cosine_embedding_loss([[1.0, 0.0]], [[0.0, 1.0]], [1]).item()
    1.0
    """
    op = "cosine_embedding_loss"
    reduction, margin = check_reduction(reduction, op), real(margin, "margin", op)
    a, b = one_shape(op, input1=input1, input2=input2)
    t = float_tensor(target, op)
    if a.ndim not in (1, 2) or t.shape != a.shape[:-1]:
        raise shape_error(
            op,
            "expected input1 and input2 (batch, features) and target (batch,), or (features,) and (), "
            f"got {a.shape} and {t.shape}",
        )
    axis = (a.ndim - 1,)
    sums = [reduce("sum", e("mul", a, b), axis), *(reduce("sum_squares", x, axis) for x in (a, b))]
    return apply(cosine_margin, *sums, t, reduction=reduction, margin=margin)


@formula
def closer(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    return e("max_scalar", e("add_scalar", e("sub", positive, negative), alpha=margin), alpha=0.0)


def _margin(op: str, margin: Any) -> float:
    number = real(margin, "margin", op)
    if number <= 0:
        raise shape_error(op, f"expected margin above 0, got {number:g}")
    return number


@operator("anchor", "positive", "negative")
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return max(0, d(anchor, positive) - d(anchor, negative) + margin), by Balntas et al. (2016).

    Args:
        anchor: vectors (..., features).
        positive: vectors that should be near.
        negative: vectors that should be far; the shapes broadcast.
        margin: how much farther, above 0.
        p: the norm of the distances.
        eps: added to each difference.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        reduction: "mean" over the triplets, "sum" or "none".

    Raises:
        ValueError: shapes that do not go together, a margin below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> ops.triplet_margin_loss([[0.0]], [[3.0]], [[1.0]], eps=0.0).item()
    3.0
    """
    op = "triplet_margin_loss"
    reduction, margin = check_reduction(reduction, op), _margin(op, margin)
    a, b, c = (float_tensor(x, op) for x in (anchor, positive, negative))
    broadcast_shape([a.shape, b.shape, c.shape], op)
    near, far = pairwise_distance(a, b, p, eps), pairwise_distance(a, c, p, eps)
    if swap:
        far = e("minimum", far, pairwise_distance(b, c, p, eps))
    return apply(closer, near, far, reduction=reduction, margin=margin)


@operator("anchor", "positive", "negative")
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return `triplet_margin_loss` with distances of one's own.

    Args:
        anchor: tensors.
        positive: tensors of the same shape.
        negative: tensors of the same shape.
        distance_function: of two tensors; None: `pairwise_distance`.
        margin: how much farther, above 0.
        swap: take the smaller of d(anchor, negative) and d(positive, negative).
        reduction: "mean" over the triplets, "sum" or "none".

    Raises:
        ValueError: shapes that do not go together, a margin below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> far = lambda a, b: ops.sum(ops.abs(a - b), -1)
    >>> ops.triplet_margin_with_distance_loss([[0.0]], [[3.0]], [[1.0]], distance_function=far).item()
    3.0
    """
    op = "triplet_margin_with_distance_loss"
    reduction, margin = check_reduction(reduction, op), _margin(op, margin)
    a, b, c = one_shape(op, anchor=anchor, positive=positive, negative=negative)
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(a, b), distance(a, c)
    if swap:
        far = e("minimum", far, distance(b, c))
    return apply(closer, near, far, reduction=reduction, margin=margin)


@formula
def contrast(distance: Tensor, t: Tensor, margin: float) -> Tensor:
    """(t d^2 + (1 - t) max(0, margin - d)^2) / 2."""
    gap = e("max_scalar", e("rsub_scalar", distance, alpha=margin), alpha=0.0)
    apart = e("mul", e("rsub_scalar", t, alpha=1.0), e("square", gap))
    return e("mul_scalar", e("add", e("mul", t, e("square", distance)), apart), alpha=0.5)


@operator("input1", "input2", "target")
def contrastive_loss(
    input1: Any, input2: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Return (t d^2 + (1 - t) max(0, margin - d)^2) / 2 for distances d, by Hadsell et al. (2006).

    Args:
        input1: vectors (batch, features).
        input2: vectors of the same shape.
        target: t, 1 for like pairs and 0 for others, (batch,).
        margin: distance from which on others cost nothing.
        reduction: "mean" over the pairs, "sum" or "none".

    Raises:
        ValueError: shapes that do not go together.

    >>> from cnncore import ops
    >>> round(ops.contrastive_loss([[0.0], [0.0]], [[2.0], [0.5]], [1, 0], reduction="none").sum().item(), 3)
    2.125
    """
    op = "contrastive_loss"
    reduction, margin = check_reduction(reduction, op), real(margin, "margin", op, 0)
    a, b = one_shape(op, input1=input1, input2=input2)
    t = float_tensor(target, op)
    if a.ndim != 2 or t.shape != a.shape[:1]:
        raise shape_error(
            op, f"expected pairs (batch, features) and target (batch,), got {a.shape} and {t.shape}"
        )
    return apply(contrast, pairwise_distance(a, b), t, reduction=reduction, margin=margin)


@operator("input1", "input2")
def nt_xent_loss(input1: Any, input2: Any, temperature: float = 0.5) -> Tensor:
    """Return the normalised, temperature-scaled cross-entropy of pairs, by Chen et al. (2020, SimCLR).

    Each of the 2 * batch vectors should find its partner among the others by the cosine of their angle: the
    mean of -log(exp(cos / temperature) of the partner / the sum over all but itself).

    Args:
        input1: vectors (batch, features).
        input2: their partners, of the same shape.
        temperature: divides the cosines.

    Raises:
        ValueError: inputs that are no (batch, features), or a temperature of 0.

    >>> from cnncore import ops
    >>> round(ops.nt_xent_loss([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 1.0).item(), 4)
    0.5514
    """
    op = "nt_xent_loss"
    a, b = one_shape(op, input1=input1, input2=input2)
    temperature = real(temperature, "temperature", op, 0)
    if a.ndim != 2 or temperature == 0:
        raise shape_error(
            op, f"expected inputs (batch, features) and a temperature above 0, got {a.shape}, {temperature:g}"
        )
    rows = a.shape[0]
    vectors = normalize(cat([a, b], 0), dim=1)
    logits = e("mul_scalar", matmul(vectors, transpose(vectors, 0, 1)), alpha=1.0 / temperature)
    itself = as_tensor(np.diag(np.full(2 * rows, -np.inf, np.float32)))
    partners = (np.arange(2 * rows) + rows) % max(1, 2 * rows)
    loss: Tensor = cross_entropy(e("add", logits, itself), partners)
    return loss
