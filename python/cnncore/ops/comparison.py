# SPDX-License-Identifier: Apache-2.0
"""Comparisons, what is made of their results, and choosing by them. Booleans have no gradient."""

from __future__ import annotations

from math import inf
from typing import Any

from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error
from .build import cast, elementwise, integral
from .check import as_float, float_tensor, is_number, real
from .promotion import integer_operands, result_type, tensors_of

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "where",
]


def _compare(function: str, a: Any, b: Any) -> Tensor:
    operands = tensors_of(function, a, b)
    if is_float(result_type(*operands)):
        return cast(elementwise(function, *(as_float(x) for x in operands)), "bool")
    return integral(function, "bool", *(as_tensor(x, function) for x in operands))


@operator("input", "other")
def greater(input: Any, other: Any) -> Tensor:
    """Return whether input > other, for each element.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.greater([1, 5], 3).tolist()
    [False, True]
    """
    return _compare("greater", input, other)


@operator("input", "other")
def greater_equal(input: Any, other: Any) -> Tensor:
    """Return whether input >= other, for each element.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.greater_equal([1, 3], 3).tolist()
    [False, True]
    """
    return _compare("greater_equal", input, other)


@operator("input", "other")
def less(input: Any, other: Any) -> Tensor:
    """Return whether input < other, for each element.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.less([1, 5], 3).tolist()
    [True, False]
    """
    return _compare("greater", other, input)


@operator("input", "other")
def less_equal(input: Any, other: Any) -> Tensor:
    """Return whether input <= other, for each element.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.less_equal([3, 5], 3).tolist()
    [True, False]
    """
    return _compare("greater_equal", other, input)


@operator("input", "other")
def equal(input: Any, other: Any) -> Tensor:
    """Return whether input == other, for each element: integers exactly, with a float as float32.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.equal([1, 3], 3).tolist()
    [False, True]
    """
    return _compare("equal", input, other)


@operator("input", "other")
def not_equal(input: Any, other: Any) -> Tensor:
    """Return whether input != other, for each element; NaN differs from everything.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.not_equal([1, 3], 3).tolist()
    [True, False]
    """
    return _compare("not_equal", input, other)


eq, ne, gt, ge, lt, le = equal, not_equal, greater, greater_equal, less, less_equal
"""torch's short names."""


def truth(x: Tensor) -> Tensor:
    """Return 1.0 where `x` is not zero, 0.0 elsewhere."""
    if is_float(x.dtype):
        return elementwise("not_equal", x, as_float(0.0))
    return cast(cast(x, "bool"), "float32")


def _logical(function: str, *operands: Any) -> Tensor:
    tensors = tensors_of(function, *operands)
    return cast(elementwise(function, *(truth(as_tensor(x, function)) for x in tensors)), "bool")


@operator("input", "other")
def logical_and(input: Any, other: Any) -> Tensor:
    """Return whether both are not zero.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.logical_and([True, True], [True, False]).tolist()
    [True, False]
    """
    return _logical("logical_and", input, other)


@operator("input", "other")
def logical_or(input: Any, other: Any) -> Tensor:
    """Return whether either is not zero.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.logical_or([False, True], False).tolist()
    [False, True]
    """
    return _logical("logical_or", input, other)


@operator("input", "other")
def logical_xor(input: Any, other: Any) -> Tensor:
    """Return whether one is zero and the other is not.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.logical_xor([True, False], True).tolist()
    [False, True]
    """
    return _logical("logical_xor", input, other)


@operator("input")
def logical_not(input: Any) -> Tensor:
    """Return whether an element is zero.

    >>> from cnncore import ops
    >>> ops.logical_not([2, 0]).tolist()
    [False, True]
    """
    return _logical("logical_not", input)


def _bitwise(op: str, function: str, logical: str, *operands: Any) -> Tensor:
    tensors = tensors_of(op, *operands)
    dtype = result_type(*tensors)
    if is_float(dtype):
        raise dtype_error(op, "expected integers or booleans, got float32; compare first, as in x > 0")
    if dtype == "bool":
        return _logical(logical, *tensors)
    return integral(function, dtype, *integer_operands(op, tensors, dtype))


@operator("input", "other")
def bitwise_and(input: Any, other: Any) -> Tensor:
    """Return the bits that both have: `logical_and` of booleans.

    Raises:
        TypeError: an operand of float32.
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.bitwise_and([6, 5], 3).tolist()
    [2, 1]
    """
    return _bitwise("bitwise_and", "bit_and", "logical_and", input, other)


@operator("input", "other")
def bitwise_or(input: Any, other: Any) -> Tensor:
    """Return the bits that either has: `logical_or` of booleans.

    Raises:
        TypeError: an operand of float32.
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.bitwise_or([6, 5], 3).tolist()
    [7, 7]
    """
    return _bitwise("bitwise_or", "bit_or", "logical_or", input, other)


@operator("input", "other")
def bitwise_xor(input: Any, other: Any) -> Tensor:
    """Return the bits that one of them has: `logical_xor` of booleans.

    Raises:
        TypeError: an operand of float32.
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.bitwise_xor([6, 5], 3).tolist()
    [5, 6]
    """
    return _bitwise("bitwise_xor", "bit_xor", "logical_xor", input, other)


@operator("input")
def bitwise_not(input: Any) -> Tensor:
    """Return the other bits: `logical_not` of booleans.

    Raises:
        TypeError: an input of float32.

    >>> from cnncore import ops
    >>> ops.bitwise_not([0, 5]).tolist()
    [-1, -6]
    """
    return _bitwise("bitwise_not", "bit_not", "logical_not", input)


@operator("condition", "input", "other")
def where(condition: Any, input: Any, other: Any) -> Tensor:
    """Return `input` where `condition` is not zero, `other` elsewhere.

    Args:
        condition: booleans or numbers.
        input: tensor or number.
        other: tensor or number; all three are broadcast, and the last two decide the result's type.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.where([True, False], [1, 2], -1).tolist()
    [1, -1]
    """
    given = [x if is_number(x) else as_tensor(x, "where") for x in (input, other)]
    dtype = result_type(*given)
    chosen = as_tensor(condition, "where")
    if is_float(dtype):
        return elementwise("select", *(float_tensor(x, "where") for x in (chosen, *given)))
    if is_float(chosen.dtype):
        chosen = cast(chosen, "bool")
    return integral("select", dtype, chosen, *integer_operands("where", given, dtype))


@operator("input")
def isnan(input: Any) -> Tensor:
    """Return whether an element is NaN.

    >>> from cnncore import ops
    >>> ops.isnan([1.0, float("nan")]).tolist()
    [False, True]
    """
    x = float_tensor(input, "isnan")
    return cast(elementwise("not_equal", x, x), "bool")


@operator("input")
def isinf(input: Any) -> Tensor:
    """Return whether an element is infinite.

    >>> from cnncore import ops
    >>> ops.isinf([1.0, float("-inf")]).tolist()
    [False, True]
    """
    x = elementwise("abs", float_tensor(input, "isinf"))
    return cast(elementwise("equal", x, as_float(inf)), "bool")


@operator("input")
def isfinite(input: Any) -> Tensor:
    """Return whether an element is neither infinite nor NaN.

    >>> from cnncore import ops
    >>> ops.isfinite([1.0, float("inf"), float("nan")]).tolist()
    [True, False, False]
    """
    x = elementwise("abs", float_tensor(input, "isfinite"))
    return cast(elementwise("greater", as_float(inf), x), "bool")


@operator("input", "other")
def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return whether |input - other| <= atol + rtol |other|, or the two are equal, NaN with `equal_nan`.

    Raises:
        ValueError: a tolerance below 0, or shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.isclose([1.0, 2.0], [1.000001, 2.1]).tolist()
    [True, False]
    """
    a, b = float_tensor(input, "isclose"), float_tensor(other, "isclose")
    relative, absolute = (real(tol, name, "isclose", 0) for tol, name in ((rtol, "rtol"), (atol, "atol")))
    limit = elementwise("mul_scalar", elementwise("abs", b), alpha=relative)
    limit = elementwise("add_scalar", limit, alpha=absolute)
    distance = elementwise("abs", elementwise("sub", a, b))
    finite = elementwise("greater", as_float(inf), distance)
    near = elementwise("logical_and", elementwise("greater_equal", limit, distance), finite)
    near = elementwise("logical_or", near, elementwise("equal", a, b))
    if equal_nan:
        both = elementwise("logical_and", elementwise("not_equal", a, a), elementwise("not_equal", b, b))
        near = elementwise("logical_or", near, both)
    return cast(near, "bool")
