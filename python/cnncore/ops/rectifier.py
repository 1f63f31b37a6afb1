# SPDX-License-Identifier: Apache-2.0
"""Rectifiers and shrinkage, pieces of straight lines for the most part."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Tensor
from ..graph.trace import shape_error
from .build import elementwise, reshape_to
from .check import float_tensor, real
from .formula import apply, derivative, formula
from .softmax import softmax

__all__ = ["celu", "hardshrink", "hardtanh", "prelu", "softmin", "softshrink", "threshold"]

e = elementwise


@formula
def _hardtanh(x: Tensor, least: float, most: float) -> Tensor:
    return e("min_scalar", e("max_scalar", x, alpha=least), alpha=most)


@derivative("_hardtanh", 0)
def _between(grad: Tensor, x: Tensor, least: float, most: float) -> Tensor:
    """The gradient where least < x < most: at the ends there is none."""
    above = e("relu_backward", grad, e("add_scalar", x, alpha=-least))
    return e("relu_backward", above, e("rsub_scalar", x, alpha=most))


@operator("input")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return min(max(input, min_val), max_val).

    Args:
        input: any shape.
        min_val, max_val: min_val is the smaller one; outside and at them the gradient is 0.
        inplace: taken for torch's sake.

    Raises:
        ValueError: min_val is above max_val.

    >>> from cnncore import ops
    >>> ops.hardtanh([-2, 0.5, 3]).tolist()
    [-1.0, 0.5, 1.0]
    """
    x = float_tensor(input, "hardtanh")
    least, most = real(min_val, "min_val", "hardtanh"), real(max_val, "max_val", "hardtanh")
    if least > most:
        raise shape_error("hardtanh", f"expected min_val of at most max_val, got {min_val} and {max_val}")
    if (least, most) == (0.0, 6.0):
        return e("relu6", x)
    return apply(_hardtanh, x, least=least, most=most)


@formula
def _celu(x: Tensor, alpha: float) -> Tensor:
    below = e("expm1", e("mul_scalar", e("min_scalar", x), alpha=1 / alpha))
    return e("add", e("relu", x), e("mul_scalar", below, alpha=alpha))


@operator("input")
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return max(0, input) + min(0, alpha * (exp(input / alpha) - 1)) (Barron, 2017).

    Args:
        input: any shape.
        alpha: minus the limit far below 0, not 0.
        inplace: taken for torch's sake.

    Raises:
        ValueError: an `alpha` of 0.

    >>> from cnncore import ops
    >>> ops.celu([-1000, 2], alpha=0.5).tolist()
    [-0.5, 2.0]
    """
    x, alpha = float_tensor(input, "celu"), real(alpha, "alpha", "celu")
    if alpha == 0:
        raise shape_error("celu", "expected alpha other than 0")
    return e("elu", x, alpha=1.0) if alpha == 1 else apply(_celu, x, alpha=alpha)


@operator("input")
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return `value` in the place of what is at most `threshold`; NaN stays NaN.

    Args:
        input: any shape.
        threshold: the bound.
        value: what is put in the place of values up to the bound.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `threshold` or `value` is not finite.

    >>> from cnncore import ops
    >>> ops.threshold([-1, 2, 3], 2.0, 20.0).tolist()
    [20.0, 20.0, 3.0]
    """
    x = float_tensor(input, "threshold")
    bound, value = real(threshold, "threshold", "threshold"), real(value, "value", "threshold")
    return e("select", e("greater_equal", _number(bound), x), _number(value), x)


def _number(value: float) -> Tensor:
    return Tensor((), "float32", Layout.C, np.array(value, np.float32))


@formula
def _hardshrink(x: Tensor, lambd: float) -> Tensor:
    return e("relu_backward", x, e("add_scalar", e("abs", x), alpha=-lambd))


@operator("input")
def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Return input where its absolute value is above `lambd`, 0 elsewhere.

    Raises:
        ValueError: `lambd` is not finite.

    >>> from cnncore import ops
    >>> ops.hardshrink([-1, 0.25, 2]).tolist()
    [-1.0, 0.0, 2.0]
    """
    return apply(_hardshrink, float_tensor(input, "hardshrink"), lambd=real(lambd, "lambd", "hardshrink"))


@formula
def _softshrink(x: Tensor, lambd: float) -> Tensor:
    above = e("relu", e("add_scalar", x, alpha=-lambd))
    return e("sub", above, e("relu", e("rsub_scalar", x, alpha=-lambd)))


@operator("input")
def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Return input moved towards 0 by `lambd`, and 0 where it is not further away than that.

    Args:
        input: any shape.
        lambd: at least 0.

    Raises:
        ValueError: `lambd` below 0.

    >>> from cnncore import ops
    >>> ops.softshrink([-1, 0.25, 2]).tolist()
    [-0.5, 0.0, 1.5]
    """
    return apply(_softshrink, float_tensor(input, "softshrink"), lambd=real(lambd, "lambd", "softshrink", 0))


@operator("input", "weight")
def prelu(input: Any, weight: Any) -> Tensor:
    """Return input where it is positive, weight * input elsewhere (He et al., 2015).

    Args:
        input: (batch, channels, ...) or, with one weight, any shape.
        weight: (1,) or (channels,).

    Raises:
        ValueError: a weight that is neither.

    >>> from cnncore import ops
    >>> ops.prelu([[-2.0, 4.0]], [0.25, 0.5]).tolist()
    [[-0.5, 4.0]]
    """
    x, w = float_tensor(input, "prelu"), float_tensor(weight, "prelu")
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.ndim > 1 or w.size not in (1, channels):
        raise shape_error("prelu", f"expected weight (1,) or ({channels},) for {x.shape}, got {w.shape}")
    shape = (1,) * x.ndim if w.size == 1 else (1, channels, *(1,) * (x.ndim - 2))
    return e("prelu", x, reshape_to(w, shape))


@operator("input")
def softmin(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """Return exp(-input) / sum(exp(-input)) along axis `dim`, without overflow; `dtype` is float32 or None.

    Raises:
        ValueError: `dim` is no axis of `input`.
        TypeError: another dtype than float32.

    >>> from cnncore import ops
    >>> ops.softmin([[1000, 1000]]).tolist()
    [[0.5, 0.5]]
    """
    y: Tensor = softmax(e("neg", float_tensor(input, "softmin")), dim, dtype)
    return y
