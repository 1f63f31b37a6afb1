# SPDX-License-Identifier: Apache-2.0
"""Rounding to whole numbers, signs, and limits. Integers stay what they are."""

from __future__ import annotations

import sys
from math import inf
from typing import Any

from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error, shape_error
from .build import elementwise, integral
from .check import as_float, integer, is_number, real
from .promotion import integer_operands, result_type, tensors_of

__all__ = ["ceil", "clamp", "clip", "floor", "frac", "nan_to_num", "round", "sign", "trunc"]

_LARGEST = float.fromhex("0x1.fffffep127")


def _rounded(function: str, input: Any) -> Tensor:
    x = as_tensor(input, function)
    return elementwise(function, x) if is_float(x.dtype) else x


@operator("input")
def floor(input: Any) -> Tensor:
    """Return the largest whole number that is not above the input. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.floor([1.5, -1.5]).tolist()
    [1.0, -2.0]
    """
    return _rounded("floor", input)


@operator("input")
def ceil(input: Any) -> Tensor:
    """Return the smallest whole number that is not below the input. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.ceil([1.5, -1.5]).tolist()
    [2.0, -1.0]
    """
    return _rounded("ceil", input)


@operator("input")
def trunc(input: Any) -> Tensor:
    """Return the input without its fraction. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.trunc([1.5, -1.5]).tolist()
    [1.0, -1.0]
    """
    return _rounded("trunc", input)


@operator("input")
def round(input: Any, decimals: int = 0) -> Tensor:
    """Return the nearest whole number, the even one of two.

    With `decimals` it is the nearest multiple of 10**-decimals. The gradient is zero.

    Raises:
        TypeError: `decimals` is no integer.
        ValueError: `decimals` beyond a float's exponents.

    >>> from cnncore import ops
    >>> ops.round([0.5, 1.5, -2.6]).tolist()
    [0.0, 2.0, -3.0]
    """
    places = integer(decimals, "decimals", "round")
    most = sys.float_info.max_10_exp
    if abs(places) > most:
        raise shape_error("round", f"expected decimals from -{most} to {most}, got {decimals}")
    x = as_tensor(input, "round")
    if places == 0 or not is_float(x.dtype):
        return _rounded("round", x)
    scale = 10.0 ** abs(places)
    if places < 0:
        return elementwise(
            "mul_scalar", elementwise("round", elementwise("div", x, as_float(scale))), alpha=scale
        )
    return elementwise(
        "div", elementwise("round", elementwise("mul_scalar", x, alpha=scale)), as_float(scale)
    )


@operator("input")
def frac(input: Any) -> Tensor:
    """Return the fraction, with the input's sign: input - trunc(input). Its gradient is 1.

    Raises:
        TypeError: an input of integers.

    >>> from cnncore import ops
    >>> ops.frac([1.5, -1.25]).tolist()
    [0.5, -0.25]
    """
    x = as_tensor(input, "frac")
    if not is_float(x.dtype):
        raise dtype_error("frac", f"expected float32, got {x.dtype}")
    return elementwise("sub", x, elementwise("trunc", x))


@operator("input")
def sign(input: Any) -> Tensor:
    """Return -1, 0 or 1; NaN stays NaN. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.sign([-3, 0, 2]).tolist()
    [-1, 0, 1]
    """
    x = as_tensor(input, "sign")
    if is_float(x.dtype):
        return elementwise("sign", x)
    return x if x.dtype == "bool" else integral("sign", x.dtype, x)


def _below(x: Tensor, bound: Tensor) -> Tensor:
    """Return 1.0 where x < bound or the bound is NaN; a NaN in x is not below anything."""
    reached = elementwise("greater_equal", x, bound)
    return elementwise("logical_not", elementwise("logical_or", reached, elementwise("not_equal", x, x)))


def _float_clamp(x: Tensor, least: Any, most: Any) -> Tensor:
    if not all(is_number(bound) and bound == bound for bound in (least, most)):  # NaN is no bound to compare
        if least is not None:
            low = as_float(least)
            x = elementwise("select", _below(x, low), low, x)
        if most is not None:
            high = as_float(most)
            above = _below(elementwise("neg", x), elementwise("neg", high))
            x = elementwise("select", above, high, x)
        return x
    return elementwise("clamp", x, alpha=least, beta=most)


@operator("input", "min", "max")
def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """Return the input, but `min` where it is less, and `max` where it is more.

    Args:
        input: tensor of any shape.
        min: number or tensor, or None.
        max: number or tensor, or None; where it is less than `min` it counts. A bound of NaN gives NaN.

    The gradient goes to the input where it is neither less nor more, and to a tensor that replaced it.

    Raises:
        TypeError: neither `min` nor `max`.

    >>> from cnncore import ops
    >>> ops.clamp([-2, 0, 5], 0, 3).tolist(), ops.clamp([0.5, 2.0], max=1.0).tolist()
    ([0, 0, 3], [0.5, 1.0])
    """
    if min is None and max is None:
        raise dtype_error("clamp", "expected min or max, got neither")
    x, *bounds = tensors_of("clamp", input, *(b for b in (min, max) if b is not None))
    dtype = result_type(x, *bounds)
    least = bounds.pop(0) if min is not None else None
    most = bounds.pop(0) if max is not None else None
    if is_float(dtype):
        numbers = (least is None or is_number(least)) and (most is None or is_number(most))
        if numbers:
            least = -inf if least is None else least
            most = inf if most is None else most
        return _float_clamp(as_float(x), least, most)
    for function, bound in (("maximum", least), ("minimum", most)):
        if bound is not None:
            x = integral(function, dtype, *integer_operands("clamp", (x, bound), dtype))
    result: Tensor = x
    return result


@operator("input", "min", "max")
def clip(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """Return the input within limits; the same as `clamp`.

    Raises:
        TypeError: neither `min` nor `max`.

    >>> from cnncore import ops
    >>> ops.clip([-2, 0, 5], 0, 3).tolist()
    [0, 0, 3]
    """
    limited: Tensor = clamp(input, min, max)
    return limited


@operator("input")
def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return the input with numbers in place of NaN and infinities, by default 0 and the largest float32.

    Raises:
        ValueError: a replacement that is not finite.

    >>> from cnncore import ops
    >>> ops.nan_to_num([1.0, float("nan"), float("inf")], posinf=9.0).tolist()
    [1.0, 0.0, 9.0]
    """
    x = as_tensor(input, "nan_to_num")
    if not is_float(x.dtype):
        return x
    most = _LARGEST if posinf is None else real(posinf, "posinf", "nan_to_num")
    least = -_LARGEST if neginf is None else real(neginf, "neginf", "nan_to_num")
    y = elementwise("select", elementwise("equal", x, as_float(inf)), as_float(most), x)
    y = elementwise("select", elementwise("equal", x, as_float(-inf)), as_float(least), y)
    number = real(nan, "nan", "nan_to_num")
    return elementwise("select", elementwise("not_equal", x, x), as_float(number), y)
