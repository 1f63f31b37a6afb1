# SPDX-License-Identifier: Apache-2.0
"""Reductions made of others: variances, norms, extremes in pairs, the logarithm of sums of exponentials."""

from __future__ import annotations

from math import inf
from math import prod as product
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .build import elementwise, keep_axes, reduce
from .check import as_float, float_tensor, many_dims, number, order_of_norm
from .detach import detach
from .sort import amax, amin

__all__ = ["aminmax", "logsumexp", "norm", "std", "std_mean", "var", "var_mean"]

Dim = int | tuple[int, ...] | None
VarianceDim = Dim | bool


class Extremes(NamedTuple):
    """The smallest and the largest elements."""

    min: Any
    max: Any


def root(x: Tensor) -> Tensor:
    """Return sqrt(x) of x >= 0 with the gradient 0 at 0."""
    safe = elementwise("select", x, x, as_float(1.0))
    return elementwise("select", x, elementwise("sqrt", safe), as_float(0.0))


def _moments(
    op: str, input: Any, dim: VarianceDim, correction: Any, keepdim: bool, unbiased: Any
) -> tuple[Tensor, Tensor]:
    """Return variance and mean over axes."""
    if isinstance(dim, bool):  # torch's var(input, unbiased)
        dim, unbiased = None, dim
    taken = 1.0 if correction is None else number(correction, "correction", op)
    if unbiased is not None:
        taken = float(bool(unbiased))
    x = float_tensor(input, op)
    axes = many_dims(dim, x.ndim, op)
    center = keep_axes(reduce("mean", x, axes), x, axes) if axes else x
    count = product(x.shape[i] for i in axes)
    squares = elementwise("square", elementwise("sub", x, center))
    total = reduce("sum", squares, axes) if axes else squares
    divisor = count - taken if count > taken else 0
    found = elementwise("div", total, as_float(float(divisor)))
    if keepdim and axes:
        return keep_axes(found, x, axes), center
    return found, (reduce("mean", x, axes) if axes else x)


@operator("input")
def var(
    input: Any,
    dim: VarianceDim = None,
    correction: float | None = 1,
    keepdim: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """Return the variance over axes `dim` (None: all).

    Args:
        input: tensor of any shape.
        dim: axes.
        correction: what is taken from the number of elements in the divisor; None is 1, and 0 gives the mean
            square.
        keepdim: keep the axes with extent 1.
        unbiased: True or False for a correction of 1 or 0; it may stand in the place of `dim`.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.var([1, 2, 3, 4], correction=0).item()
    1.25
    """
    return _moments("var", input, dim, correction, keepdim, unbiased)[0]


@operator("input")
def std(
    input: Any,
    dim: VarianceDim = None,
    correction: float | None = 1,
    keepdim: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """Return the standard deviation over axes `dim`, the square root of `var`; its gradient at 0 is 0.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.std([1, 3], correction=0).item()
    1.0
    """
    return root(_moments("std", input, dim, correction, keepdim, unbiased)[0])


@operator("input")
def var_mean(
    input: Any,
    dim: VarianceDim = None,
    correction: float | None = 1,
    keepdim: bool = False,
    unbiased: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (variance, mean) over axes `dim`; see `var`.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> [y.item() for y in ops.var_mean([1, 3], correction=0)]
    [1.0, 2.0]
    """
    return _moments("var_mean", input, dim, correction, keepdim, unbiased)


@operator("input")
def std_mean(
    input: Any,
    dim: VarianceDim = None,
    correction: float | None = 1,
    keepdim: bool = False,
    unbiased: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (standard deviation, mean) over axes `dim`; see `var`.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> [y.item() for y in ops.std_mean([1, 3], correction=0)]
    [1.0, 2.0]
    """
    variance, mean = _moments("std_mean", input, dim, correction, keepdim, unbiased)
    return root(variance), mean


def length(x: Tensor, p: float, axes: tuple[int, ...]) -> Tensor:
    """Return the p-norm over axes, which disappear; gradients are 0 where it has none."""
    size = elementwise("abs", x)
    if p == 2:
        return root(reduce("sum_squares", x, axes))
    if p == 1:
        return reduce("sum", size, axes)
    if p == 0:
        return reduce("sum", elementwise("not_equal", x, as_float(0.0)), axes)
    if p in (inf, -inf):
        return reduce("max" if p == inf else "min", size, axes)
    safe = elementwise("select", x, size, as_float(1.0))
    power = elementwise("select", x, elementwise("pow_scalar", safe, alpha=p), as_float(0.0))
    total = reduce("sum", power, axes)
    safe = elementwise("select", total, total, as_float(1.0))
    return elementwise("select", total, elementwise("pow_scalar", safe, alpha=1.0 / p), as_float(0.0))


@operator("input")
def norm(input: Any, p: float | str = "fro", dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return the p-norm of the elements over axes `dim` (None: all): (sum |x|^p)^(1/p).

    Args:
        input: tensor of any shape.
        p: a number, also 0 (how many are not zero) and infinities (the largest, the least size); "fro" is 2.
        dim: axes.
        keepdim: keep the axes with extent 1.

    Raises:
        ValueError: a `p` that is neither a number nor "fro".

    >>> from cnncore import ops
    >>> ops.norm([3, -4]).item(), ops.norm([3, -4], p=1).item()
    (5.0, 7.0)
    """
    if isinstance(p, str) and p != "fro":
        raise shape_error("norm", f"expected a number or 'fro' for p, got {p!r}")
    x = float_tensor(input, "norm")
    axes = many_dims(dim, x.ndim, "norm")
    order = 2.0 if isinstance(p, str) else order_of_norm(p, "norm")
    if not axes:
        return elementwise("not_equal", x, as_float(0.0)) if order == 0 else elementwise("abs", x)
    y = length(x, order, axes)
    return keep_axes(y, x, axes) if keepdim else y


@operator("input")
def logsumexp(input: Any, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Return ln(sum(e^input)) over axes `dim`, without overflow.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.logsumexp([1000.0, 1000.0], 0).item()
    1000.6931762695312
    """
    x = float_tensor(input, "logsumexp")
    axes = many_dims(dim, x.ndim, "logsumexp")
    if not axes:
        return x
    most = detach(reduce("max", x, axes))
    # Infinities are told by the sum itself: nothing is taken from them.
    finite = elementwise("greater", as_float(inf), elementwise("abs", most))
    most = elementwise("select", finite, most, as_float(0.0))
    shifted = elementwise("exp", elementwise("sub", x, keep_axes(most, x, axes)))
    y = elementwise("add", elementwise("log", reduce("sum", shifted, axes)), most)
    return keep_axes(y, x, axes) if keepdim else y


@operator("input")
def aminmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """Return (min, max) over axis `dim` (None: all); elements that share an extreme share its gradient.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> [y.item() for y in ops.aminmax([3, 1, 2])]
    [1, 3]
    """
    x = as_tensor(input, "aminmax")
    return Extremes(amin(x, dim, keepdim), amax(x, dim, keepdim))
