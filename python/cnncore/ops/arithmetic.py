# SPDX-License-Identifier: Apache-2.0
"""Arithmetic, comparison and elementary functions, with numpy's broadcasting."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import dtype_error
from .build import elementwise
from .check import float_tensor, is_number


def _binary(
    function: str, a: Any, b: Any, right_scalar: str | None, left_scalar: str | None, sign: float = 1.0
) -> Tensor:
    """Combine two operands; a number becomes a setting of the node where a scalar function exists."""
    if is_number(a) and is_number(b):
        raise dtype_error(function, "expected at least one array or tensor, got two numbers")
    if is_number(b) and right_scalar is not None:
        return elementwise(right_scalar, float_tensor(a, function), alpha=sign * float(b))
    if is_number(a) and left_scalar is not None:
        return elementwise(left_scalar, float_tensor(b, function), alpha=float(a))
    return elementwise(function, float_tensor(a, function), float_tensor(b, function))


@operator("input", "other")
def add(input: Any, other: Any) -> Tensor:
    """Return input + other.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.add(np.ones((2, 3)), np.arange(3)).tolist()
    [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    """
    return _binary("add", input, other, "add_scalar", "add_scalar")


@operator("input", "other")
def sub(input: Any, other: Any) -> Tensor:
    """Return input - other.

    >>> from cnncore import ops
    >>> ops.sub(1, [0.5, 2]).tolist()
    [0.5, -1.0]
    """
    return _binary("sub", input, other, "add_scalar", "rsub_scalar", sign=-1.0)


@operator("input", "other")
def mul(input: Any, other: Any) -> Tensor:
    """Return input * other.

    >>> from cnncore import ops
    >>> ops.mul([1, 2], [3, 4]).tolist()
    [3.0, 8.0]
    """
    return _binary("mul", input, other, "mul_scalar", "mul_scalar")


@operator("input", "other")
def div(input: Any, other: Any) -> Tensor:
    """Return input / other; division by zero gives infinities and NaN as in numpy.

    >>> from cnncore import ops
    >>> ops.div([1, 2], 4).tolist()
    [0.25, 0.5]
    """
    return _binary("div", input, other, None, "rdiv_scalar")


@operator("input", "other")
def maximum(input: Any, other: Any) -> Tensor:
    """Return the larger of two values for each element; NaN where either is NaN.

    >>> from cnncore import ops
    >>> ops.maximum([1, 5], 3).tolist()
    [3.0, 5.0]
    """
    return _binary("maximum", input, other, "max_scalar", "max_scalar")


@operator("input", "other")
def minimum(input: Any, other: Any) -> Tensor:
    """Return the smaller of two values for each element; NaN where either is NaN.

    >>> from cnncore import ops
    >>> ops.minimum([1, 5], 3).tolist()
    [1.0, 3.0]
    """
    return _binary("minimum", input, other, "min_scalar", "min_scalar")


@operator("input", "other")
def floor_divide(input: Any, other: Any) -> Tensor:
    """Return input / other rounded down, as Python's ``//``; division by zero gives infinities and NaN.

    Its gradient is zero. `input` is `floor_divide(input, other) * other + remainder(input, other)` up to
    rounding.

    >>> from cnncore import ops
    >>> ops.floor_divide([7, -7], 2).tolist()
    [3.0, -4.0]
    """
    return _binary("floor_divide", input, other, None, None)


@operator("input", "other")
def remainder(input: Any, other: Any) -> Tensor:
    """Return the remainder of floor division, as Python's ``%``; NaN where `other` is 0 or `input` infinite.

    It has the sign of `other`, and large quotients cost no accuracy. The gradient by `input` is 1, that by
    `other` -floor(input / other).

    >>> from cnncore import ops
    >>> ops.remainder([7, -7], 3).tolist()
    [1.0, 2.0]
    """
    return _binary("remainder", input, other, None, None)


@operator("input", "exponent")
def pow(input: Any, exponent: Any) -> Tensor:
    """Return input ** exponent.

    >>> from cnncore import ops
    >>> ops.pow([1, 2, 3], 2).tolist()
    [1.0, 4.0, 9.0]
    """
    if is_number(exponent) and not is_number(input):
        x = float_tensor(input, "pow")
        if exponent == 2:
            return elementwise("square", x)
        if exponent == 0.5:
            return elementwise("sqrt", x)
        if exponent == 3:
            return elementwise("mul", elementwise("square", x), x)
        if exponent == -1:
            return elementwise("reciprocal", x)
        if exponent == -0.5:
            return elementwise("rsqrt", x)
        return elementwise("pow_scalar", x, alpha=float(exponent))
    return _binary("pow", input, exponent, None, None)


@operator("input", "other")
def greater(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input > other, 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.greater([1, 5], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("greater", input, other, None, None)


@operator("input", "other")
def greater_equal(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input >= other, 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.greater_equal([1, 3], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("greater_equal", input, other, None, None)


@operator("input", "other")
def equal(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input == other (compared as float32), 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.equal([1, 3], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("equal", input, other, None, None)


@operator("input", "other")
def not_equal(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input != other (compared as float32), 0.0 elsewhere; NaN differs from everything.

    Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.not_equal([1, 3], 3).tolist()
    [1.0, 0.0]
    """
    return elementwise("rsub_scalar", _binary("equal", input, other, None, None), alpha=1.0)


@operator("condition", "input", "other")
def where(condition: Any, input: Any, other: Any) -> Tensor:
    """Return `input` where `condition` is not zero, `other` elsewhere.

    >>> from cnncore import ops
    >>> ops.where([1, 0], [1, 2], -1).tolist()
    [1.0, -1.0]
    """
    return elementwise("select", *(float_tensor(x, "where") for x in (condition, input, other)))


@operator("input")
def exp(input: Any) -> Tensor:
    """Return e ** input.

    >>> from cnncore import ops
    >>> ops.exp([0]).tolist()
    [1.0]
    """
    return elementwise("exp", float_tensor(input, "exp"))


@operator("input")
def log(input: Any) -> Tensor:
    """Return the natural logarithm: -inf at 0, NaN below.

    >>> from cnncore import ops
    >>> ops.log([1]).tolist()
    [0.0]
    """
    return elementwise("log", float_tensor(input, "log"))


@operator("input")
def sqrt(input: Any) -> Tensor:
    """Return the square root; NaN below 0.

    >>> from cnncore import ops
    >>> ops.sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """
    return elementwise("sqrt", float_tensor(input, "sqrt"))


@operator("input")
def abs(input: Any) -> Tensor:
    """Return the absolute value.

    >>> from cnncore import ops
    >>> ops.abs([-4, 9]).tolist()
    [4.0, 9.0]
    """
    return elementwise("abs", float_tensor(input, "abs"))


@operator("input")
def neg(input: Any) -> Tensor:
    """Return -input.

    >>> from cnncore import ops
    >>> ops.neg([-4, 9]).tolist()
    [4.0, -9.0]
    """
    return elementwise("neg", float_tensor(input, "neg"))


@operator("input")
def square(input: Any) -> Tensor:
    """Return input * input.

    >>> from cnncore import ops
    >>> ops.square([-4, 9]).tolist()
    [16.0, 81.0]
    """
    return elementwise("square", float_tensor(input, "square"))
