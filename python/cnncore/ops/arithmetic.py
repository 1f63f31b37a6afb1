# SPDX-License-Identifier: Apache-2.0
"""Arithmetic and elementary functions, with numpy's broadcasting and torch's types of results."""

from __future__ import annotations

from typing import Any

from .._checks import to_float
from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error, shape_error
from .build import cast, elementwise, integral
from .check import as_float, float_tensor, is_number
from .promotion import integer_operands, result_type, tensors_of

__all__ = [
    "abs",
    "add",
    "div",
    "exp",
    "floor_divide",
    "log",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "pow",
    "remainder",
    "sqrt",
    "square",
    "sub",
]


def _binary(
    function: str, a: Any, b: Any, right_scalar: str | None, left_scalar: str | None, sign: float = 1.0
) -> Tensor:
    """Combine two operands; with floats, a number becomes a setting where such a function exists."""
    a, b = tensors_of(function, a, b)
    dtype = result_type(a, b)
    if not is_float(dtype):
        if dtype == "bool" and function not in _OF_BOOLEANS:
            raise dtype_error(function, f"booleans have none; {_INSTEAD.get(function, 'use .long()')}")
        return integral(function, dtype, *integer_operands(function, (a, b), dtype))
    if is_number(b) and right_scalar is not None:
        return elementwise(right_scalar, as_float(a), alpha=sign * to_float(b))
    if is_number(a) and left_scalar is not None:
        return elementwise(left_scalar, as_float(b), alpha=to_float(a))
    return elementwise(function, as_float(a), as_float(b))


_OF_BOOLEANS = ("add", "mul", "maximum", "minimum")
_INSTEAD = {"sub": "use ^ (logical_xor), or .long()", "neg": "use ~ (logical_not), or .long()"}


def _unary(function: str, input: Any) -> Tensor:
    x = as_tensor(input, function)
    if is_float(x.dtype):
        return elementwise(function, x)
    if x.dtype == "bool":
        return x
    return x if x.dtype == "uint8" and function == "abs" else integral(function, x.dtype, x)


def _scaled(op: str, other: Any, alpha: Any) -> Any:
    if is_number(alpha) and alpha == 1:
        return other
    if not is_number(alpha):
        raise dtype_error(op, f"expected a number for alpha, got {alpha!r}")
    return other * alpha if is_number(other) else mul(as_tensor(other, op), alpha)


@operator("input", "other")
def add(input: Any, other: Any, alpha: float = 1) -> Tensor:
    """Return input + alpha other; integers stay integers and wrap around where the sum does not fit.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.add(np.ones((2, 3)), np.arange(3)).tolist()
    [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    """
    return _binary("add", input, _scaled("add", other, alpha), "add_scalar", "add_scalar")


@operator("input", "other")
def sub(input: Any, other: Any, alpha: float = 1) -> Tensor:
    """Return input - alpha other.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.sub(1, [0.5, 2]).tolist()
    [0.5, -1.0]
    """
    return _binary("sub", input, _scaled("sub", other, alpha), "add_scalar", "rsub_scalar", sign=-1.0)


@operator("input", "other")
def mul(input: Any, other: Any) -> Tensor:
    """Return input * other.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.mul([1, 2], [3, 4]).tolist()
    [3, 8]
    """
    return _binary("mul", input, other, "mul_scalar", "mul_scalar")


def _truncated(a: Any, b: Any) -> Tensor:
    """Return a / b rounded towards zero: the quotient of the sizes, with the sign of the quotient."""
    dtype = result_type(a, b)
    if is_float(dtype):
        return elementwise("trunc", elementwise("div", as_float(a), as_float(b)))
    x, y = integer_operands("div", (a, b), dtype)
    quotient = integral("floor_divide", dtype, x, y)
    rest = integral("remainder", dtype, x, y)
    zero = as_tensor(0)
    negative = integral("greater", "bool", zero, integral("bit_xor", "int64", x, y))
    up = integral("bit_and", "bool", negative, integral("not_equal", "bool", rest, zero))
    return integral("add", dtype, quotient, up)


@operator("input", "other")
def div(input: Any, other: Any, rounding_mode: str | None = None) -> Tensor:
    """Return input / other as float32; division by zero gives infinities and NaN as in numpy.

    With rounding_mode "floor" the result is that of `floor_divide`; with "trunc" it is rounded towards zero,
    and integers stay integers.

    Raises:
        ValueError: shapes that do not broadcast, or an unknown rounding mode.

    >>> from cnncore import ops
    >>> ops.div([1, 2], 4).tolist()
    [0.25, 0.5]
    """
    if rounding_mode == "floor":
        floored: Tensor = floor_divide(input, other)
        return floored
    if rounding_mode not in (None, "trunc"):
        raise shape_error("div", f"expected rounding_mode None, 'floor' or 'trunc', got {rounding_mode!r}")
    a, b = tensors_of("div", input, other)
    if rounding_mode == "trunc":
        return _truncated(a, b)
    a, b = (x if is_number(x) else as_float(x) for x in (a, b))
    return _binary("div", a, b, None, "rdiv_scalar")


@operator("input", "other")
def maximum(input: Any, other: Any) -> Tensor:
    """Return the larger of two values for each element; NaN where either is NaN.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.maximum([1, 5], 3).tolist()
    [3, 5]
    """
    return _binary("maximum", input, other, "max_scalar", "max_scalar")


@operator("input", "other")
def minimum(input: Any, other: Any) -> Tensor:
    """Return the smaller of two values for each element; NaN where either is NaN.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.minimum([1, 5], 3).tolist()
    [1, 3]
    """
    return _binary("minimum", input, other, "min_scalar", "min_scalar")


@operator("input", "other")
def floor_divide(input: Any, other: Any) -> Tensor:
    """Return input / other rounded down, as Python's ``//``.

    Division by zero gives infinities and NaN, of integers 0. The gradient is zero. `input` is
    `floor_divide(input, other) * other + remainder(input, other)` up to rounding.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.floor_divide([7, -7], 2).tolist()
    [3, -4]
    """
    return _binary("floor_divide", input, other, None, None)


@operator("input", "other")
def remainder(input: Any, other: Any) -> Tensor:
    """Return the remainder of floor division, as Python's ``%``.

    It is NaN where `other` is 0 or `input` infinite, of integers 0. It has the sign of `other`, and large
    quotients cost no accuracy. The gradient by `input` is 1, that by `other` -floor(input / other).

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.remainder([7, -7], 3).tolist()
    [1, 2]
    """
    return _binary("remainder", input, other, None, None)


def _to_number(x: Tensor, exponent: float) -> Tensor:
    if exponent == 3:
        return elementwise("mul", elementwise("square", x), x)
    function = {2: "square", 0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}.get(exponent)
    return elementwise(function, x) if function else elementwise("pow_scalar", x, alpha=exponent)


@operator("input", "exponent")
def pow(input: Any, exponent: Any) -> Tensor:
    """Return input ** exponent; integers have no negative powers unless the exponent is a tensor: 1 / x cut
    to an integer.

    Raises:
        ValueError: shapes that do not broadcast, or a negative power of integers.

    >>> from cnncore import ops
    >>> ops.pow([1, 2, 3], 2).tolist()
    [1, 4, 9]
    """
    a, b = tensors_of("pow", input, exponent)
    if not is_float(result_type(a, b)):
        if is_number(b) and b < 0:
            raise shape_error("pow", f"integers have no negative powers, got {b}; use .float()")
        return _binary("pow", a, b, None, None)
    if is_number(b):
        return _to_number(as_float(a), to_float(b))
    return _binary("pow", a, b, None, None)


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
    [4, 9]
    """
    return _unary("abs", input)


@operator("input")
def neg(input: Any) -> Tensor:
    """Return -input.

    Raises:
        TypeError: booleans.

    >>> from cnncore import ops
    >>> ops.neg([-4, 9]).tolist()
    [4, -9]
    """
    x = as_tensor(input, "neg")
    if x.dtype == "bool":
        raise dtype_error("neg", f"booleans have none; {_INSTEAD['neg']}")
    return _unary("neg", x)


@operator("input")
def square(input: Any) -> Tensor:
    """Return input * input.

    >>> from cnncore import ops
    >>> ops.square([-4, 9]).tolist()
    [16, 81]
    """
    x = as_tensor(input, "square")
    if is_float(x.dtype):
        return elementwise("square", x)
    x = cast(x, "int64") if x.dtype == "bool" else x
    return integral("mul", x.dtype, x, x)
