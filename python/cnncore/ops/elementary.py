# SPDX-License-Identifier: Apache-2.0
"""Elementary functions of float32; integers are converted."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from .build import elementwise
from .check import float_tensor

__all__ = [
    "acos",
    "asin",
    "atan",
    "atan2",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp2",
    "expm1",
    "hypot",
    "log1p",
    "log2",
    "log10",
    "reciprocal",
    "rsqrt",
    "sin",
    "sinh",
    "tan",
]


@operator("input")
def erf(input: Any) -> Tensor:
    """Return the error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to input.

    >>> from cnncore import ops
    >>> ops.erf([0.0]).tolist()
    [0.0]
    """
    return elementwise("erf", float_tensor(input, "erf"))


@operator("input")
def erfc(input: Any) -> Tensor:
    """Return 1 - erf(input), without cancellation for large arguments.

    >>> from cnncore import ops
    >>> ops.erfc([0.0]).tolist()
    [1.0]
    """
    return elementwise("erfc", float_tensor(input, "erfc"))


@operator("input")
def exp2(input: Any) -> Tensor:
    """Return 2 ** input.

    >>> from cnncore import ops
    >>> ops.exp2([3]).tolist()
    [8.0]
    """
    return elementwise("exp2", float_tensor(input, "exp2"))


@operator("input")
def expm1(input: Any) -> Tensor:
    """Return e ** input - 1, exact for small arguments, too.

    >>> from cnncore import ops
    >>> ops.expm1([0]).tolist()
    [0.0]
    """
    return elementwise("expm1", float_tensor(input, "expm1"))


@operator("input")
def log1p(input: Any) -> Tensor:
    """Return ln(1 + input), exact for small arguments, too: -inf at -1, NaN below.

    >>> from cnncore import ops
    >>> ops.log1p([0]).tolist()
    [0.0]
    """
    return elementwise("log1p", float_tensor(input, "log1p"))


@operator("input")
def log2(input: Any) -> Tensor:
    """Return the logarithm to base 2: -inf at 0, NaN below.

    >>> from cnncore import ops
    >>> ops.log2([8]).tolist()
    [3.0]
    """
    return elementwise("log2", float_tensor(input, "log2"))


@operator("input")
def log10(input: Any) -> Tensor:
    """Return the logarithm to base 10: -inf at 0, NaN below.

    >>> from cnncore import ops
    >>> ops.log10([1000]).tolist()
    [3.0]
    """
    return elementwise("log10", float_tensor(input, "log10"))


@operator("input")
def rsqrt(input: Any) -> Tensor:
    """Return 1 / sqrt(input): infinity at 0, NaN below.

    >>> from cnncore import ops
    >>> ops.rsqrt([4]).tolist()
    [0.5]
    """
    return elementwise("rsqrt", float_tensor(input, "rsqrt"))


@operator("input")
def reciprocal(input: Any) -> Tensor:
    """Return 1 / input.

    >>> from cnncore import ops
    >>> ops.reciprocal([4]).tolist()
    [0.25]
    """
    return elementwise("reciprocal", float_tensor(input, "reciprocal"))


@operator("input")
def sin(input: Any) -> Tensor:
    """Return the sine of an angle in radians.

    >>> from cnncore import ops
    >>> ops.sin([0]).tolist()
    [0.0]
    """
    return elementwise("sin", float_tensor(input, "sin"))


@operator("input")
def cos(input: Any) -> Tensor:
    """Return the cosine of an angle in radians.

    >>> from cnncore import ops
    >>> ops.cos([0]).tolist()
    [1.0]
    """
    return elementwise("cos", float_tensor(input, "cos"))


@operator("input")
def tan(input: Any) -> Tensor:
    """Return the tangent of an angle in radians.

    >>> from cnncore import ops
    >>> ops.tan([0]).tolist()
    [0.0]
    """
    return elementwise("tan", float_tensor(input, "tan"))


@operator("input")
def asin(input: Any) -> Tensor:
    """Return the angle in radians, from -pi/2 to pi/2, of this sine; NaN outside -1 .. 1.

    >>> from cnncore import ops
    >>> ops.asin([0]).tolist()
    [0.0]
    """
    return elementwise("asin", float_tensor(input, "asin"))


@operator("input")
def acos(input: Any) -> Tensor:
    """Return the angle in radians, from 0 to pi, of this cosine; NaN outside -1 .. 1.

    >>> from cnncore import ops
    >>> ops.acos([1]).tolist()
    [0.0]
    """
    return elementwise("acos", float_tensor(input, "acos"))


@operator("input")
def atan(input: Any) -> Tensor:
    """Return the angle in radians, from -pi/2 to pi/2, of this tangent.

    >>> from cnncore import ops
    >>> ops.atan([0]).tolist()
    [0.0]
    """
    return elementwise("atan", float_tensor(input, "atan"))


@operator("input")
def sinh(input: Any) -> Tensor:
    """Return the hyperbolic sine.

    >>> from cnncore import ops
    >>> ops.sinh([0]).tolist()
    [0.0]
    """
    return elementwise("sinh", float_tensor(input, "sinh"))


@operator("input")
def cosh(input: Any) -> Tensor:
    """Return the hyperbolic cosine.

    >>> from cnncore import ops
    >>> ops.cosh([0]).tolist()
    [1.0]
    """
    return elementwise("cosh", float_tensor(input, "cosh"))


@operator("input", "other")
def atan2(input: Any, other: Any) -> Tensor:
    """Return the angle in radians, from -pi to pi, of the point (other, input).

    >>> from cnncore import ops
    >>> ops.atan2([0.0], [2.0]).tolist()
    [0.0]
    """
    return elementwise("atan2", float_tensor(input, "atan2"), float_tensor(other, "atan2"))


@operator("input", "other")
def hypot(input: Any, other: Any) -> Tensor:
    """Return sqrt(input^2 + other^2); its squares do not overflow.

    >>> from cnncore import ops
    >>> ops.hypot([3], [4]).tolist()
    [5.0]
    """
    return elementwise("hypot", float_tensor(input, "hypot"), float_tensor(other, "hypot"))
