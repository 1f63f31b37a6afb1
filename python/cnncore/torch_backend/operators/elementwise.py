# SPDX-License-Identifier: Apache-2.0
"""Functions of single elements."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...graph.dtype import promote
from ...graph.tensor import Tensor
from ...ops.conversions import converted
from ..table import Function, in_range, is_number, known_dtype, operator, same, tensor

_SAME = """
abs acos asin atan atan2 bitwise_and bitwise_not bitwise_or bitwise_xor ceil cos cosh erf erfc exp
exp2 expm1 floor frac isfinite isinf isnan lerp log log10 log1p log2 logical_and
logical_not logical_or logical_xor maximum minimum neg reciprocal round rsqrt sin
sinh sqrt square tan trunc where masked_fill mul div nan_to_num
"""
for _name in _SAME.split():
    same(getattr(ops, _name), _name)
for _name, _known in (
    ("true_divide", "div"),
    ("divide", "div"),
    ("multiply", "mul"),
    ("absolute", "abs"),
    ("negative", "neg"),
):
    same(getattr(ops, _known), _name)


def _with_number(function: Function) -> Function:
    """Return a function whose second argument, where it is a number, is wrapped around beside integers."""

    def computed(input: Any, other: Any, **settings: Any) -> Any:
        if is_number(other):
            other = in_range(other, tensor(input).dtype)
        return function(input, other, **settings)

    return computed


for _name, _known in (
    ("eq", "equal"),
    ("ne", "not_equal"),
    ("lt", "less"),
    ("le", "less_equal"),
    ("gt", "greater"),
    ("ge", "greater_equal"),
    ("remainder", "remainder"),
    ("floor_divide", "floor_divide"),
    ("div.Tensor_mode", "div"),
    ("div.Scalar_mode", "div"),
):
    same(_with_number(getattr(ops, _known)), _name)


@operator("sign", "sgn")
def sign(input: Any) -> Any:
    x = tensor(input)
    found = ops.sign(x)
    return ops.where(ops.isnan(x), 0.0, found) if x.dtype == "float32" else found


@operator("add")
def add(input: Any, other: Any, alpha: Any = 1) -> Any:
    return ops.add(input, other) if alpha == 1 else ops.add(input, other, alpha)


@operator("sub")
def sub(input: Any, other: Any, alpha: Any = 1) -> Any:
    return ops.sub(input, other) if alpha == 1 else ops.sub(input, other, alpha)


@operator("rsub")
def rsub(input: Any, other: Any, alpha: Any = 1) -> Any:
    return sub(other, input, alpha)


@operator("pow")
def power(input: Any, exponent: Any) -> Any:
    if is_number(exponent) and exponent == 2 and tensor(input).dtype == "float32":
        return ops.square(input)
    return ops.pow(input, exponent)


@operator("addcmul")
def addcmul(input: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    product = ops.mul(tensor1, tensor2)
    return ops.add(input, product if value == 1 else ops.mul(product, value))


@operator("addcdiv")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    quotient = ops.div(tensor1, tensor2)
    return ops.add(input, quotient if value == 1 else ops.mul(quotient, value))


@operator("fmod")
def fmod(input: Any, other: Any) -> Any:
    x, y = tensor(input), other if is_number(other) else tensor(other)
    if is_number(y):
        y = in_range(y, x.dtype)
    kinds = (x.dtype, type(y).__name__ if is_number(y) else y.dtype)
    if "float32" in kinds or "float" in kinds:
        size = ops.remainder(ops.abs(x), abs(y) if is_number(y) else ops.abs(y))
        return ops.where(x < 0, -size, size)
    rest = ops.remainder(x, y)  # of the divisor's sign
    crossed = ops.logical_xor(x < 0, tensor(y) < 0)
    return ops.where(ops.logical_and(rest != 0, crossed), rest - y, rest)


@operator("logaddexp")
def logaddexp(input: Any, other: Any) -> Any:
    a, b = tensor(input), tensor(other)
    distance = ops.where(a == b, 0.0, ops.abs(a - b))  # infinities that are equal
    return ops.maximum(a, b) + ops.log1p(ops.exp(-distance))


@operator("_to_copy", "to.dtype", "to.dtype_layout", "type_as")
def to(input: Any, *args: Any, dtype: Any = None) -> Any:
    x = tensor(input)
    for value in args:
        if isinstance(value, str):
            dtype = value
        elif isinstance(value, Tensor):
            dtype = value.dtype
    return x if dtype is None else converted(x, known_dtype(dtype))


@operator("bool")
def boolean(input: Any) -> Any:
    return converted(tensor(input), "bool")


@operator("result_type")
def result_type(input: Any, other: Any) -> str:
    return promote([tensor(input).dtype, tensor(other).dtype])


@operator("clone", "alias", "detach", "contiguous", "lift_fresh_copy", "lift_fresh", "to.device", "positive")
def unchanged(input: Any, *rest: Any) -> Any:
    return tensor(input)


@operator("copy")
def copy(input: Any, src: Any, non_blocking: bool = False) -> Any:
    x = tensor(input)
    return ops.expand(converted(tensor(src), x.dtype), x.shape)
