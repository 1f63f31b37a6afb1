# SPDX-License-Identifier: Apache-2.0
"""Norms of vectors: what is divided by one, distances, and the cosine of the angle between two."""

from __future__ import annotations

from math import inf
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from .build import elementwise, expand_to, keep_axes, reduce
from .check import broadcast_shape, float_tensor, many_dims, one_dim, order_of_norm, real

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]

_LEAST = 2.0**-126  # the smallest normal float32


def power(x: Tensor, exponent: float) -> Tensor:
    """Return x^exponent of x >= 0 as x times a factor that is finite at 0, as then the gradient is."""
    if exponent == 1:
        return x
    if exponent == 2:
        return elementwise("square", x)
    base = elementwise("max_scalar", x, alpha=_LEAST)
    factor = (
        elementwise("rsqrt", base) if exponent == 0.5 else elementwise("pow_scalar", base, alpha=exponent - 1)
    )
    return elementwise("mul", x, factor)


def lp_norm(x: Tensor, p: Any, axes: tuple[int, ...], op: str) -> Tensor:
    """Return (sum of |x|^p)^(1 / p) over axes: the largest |x| for p = inf, the count of x != 0 for p = 0.

    Where the norm is 0, its gradient is 0.
    """
    p = order_of_norm(p, op, 0)
    if p == 2:
        return power(reduce("sum_squares", x, axes), 0.5)
    size = elementwise("abs", x)
    if p == inf:
        return reduce("max", size, axes)
    if p == 0:
        return reduce("sum", elementwise("sign", size), axes)
    return power(reduce("sum", power(size, p), axes), 1 / p)


@operator("input")
def normalize(input: Any, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """Divide by the Lp norm along axis `dim`: x / max(||x||_p, eps).

    Args:
        input: any shape.
        p: the norm: (sum of |x|^p)^(1 / p); infinity for the largest |x|, 0 for the number of nonzero values.
        dim: an axis, or several that are taken together.
        eps: the least divisor.

    Raises:
        ValueError: `dim` is no axis of `input`, or `p` or `eps` out of its range.

    >>> from cnncore import ops
    >>> ops.normalize([[3.0, 4.0]]).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    x = float_tensor(input, "normalize")
    eps = real(eps, "eps", "normalize", 0)
    axes = many_dims(dim, x.ndim, "normalize")
    norm = keep_axes(lp_norm(x, p, axes, "normalize"), x, axes)
    return elementwise("div", x, elementwise("max_scalar", norm, alpha=eps))


@operator("x1", "x2")
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the Lp norm of x1 - x2 + eps along the last axis.

    Args:
        x1, x2: (..., features); the other axes broadcast.
        p: the norm's, as `normalize` has it.
        eps: added to each difference.
        keepdim: keep the last axis, with extent 1.

    Raises:
        ValueError: shapes that do not broadcast, or an `eps` out of its range.

    >>> from cnncore import ops
    >>> ops.pairwise_distance([[0.0, 0.0]], [[3.0, 4.0]], eps=0.0).tolist()
    [5.0]
    """
    op = "pairwise_distance"
    a, b = float_tensor(x1, op), float_tensor(x2, op)
    eps = real(eps, "eps", op)
    apart = elementwise("sub", a, b)
    apart = elementwise("add_scalar", apart, alpha=eps) if eps else apart
    axes = (one_dim(-1, apart.ndim, op),)
    y = lp_norm(apart, p, axes, op)
    return keep_axes(y, apart, axes) if keepdim else y


@operator("x1", "x2")
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle: sum of x1 x2 along `dim` / (max(||x1||, eps) max(||x2||, eps)).

    Args:
        x1, x2: shapes that broadcast.
        dim: the axis of the vectors, in the broadcast shape.
        eps: the least norm.

    Raises:
        ValueError: shapes that do not broadcast, or an `eps` out of its range.

    >>> from cnncore import ops
    >>> ops.cosine_similarity([[3.0, 4.0]], [[6.0, 8.0]]).round(6).tolist()
    [1.0]
    """
    op = "cosine_similarity"
    eps = real(eps, "eps", op, 0)
    a, b = float_tensor(x1, op), float_tensor(x2, op)
    shape = broadcast_shape([a.shape, b.shape], op)
    a, b = expand_to(a, shape), expand_to(b, shape)
    axes = many_dims(one_dim(dim, max(len(shape), 1), op), len(shape), op)
    norms = [elementwise("max_scalar", lp_norm(x, 2, axes, op), alpha=eps) for x in (a, b)]
    return elementwise("div", reduce("sum", elementwise("mul", a, b), axes), elementwise("mul", *norms))
