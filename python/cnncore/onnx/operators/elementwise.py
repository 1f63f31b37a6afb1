# SPDX-License-Identifier: Apache-2.0
"""Arithmetic, comparisons, logic and elementary functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ... import ops
from ...ops.shape import Expand
from ..dtypes import FLOATS, INTEGERS, name_of, numpy_type
from ..graph import Node
from ..table import host, traced
from .casting import cast_array
from .shaping import axis_of

Array = Any


def _simple(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, *inputs: function(*inputs)


def _aligned(node: Node, a: Any, b: Any) -> Any:
    """Return the second operand so that it goes with the first: before opset 7 it begins at an axis."""
    axis = node.attr("axis")
    if node.opset >= 7 or axis is None or len(b.shape) == len(a.shape):
        return b
    behind = len(a.shape) - axis_of(axis, len(a.shape)) - len(b.shape)
    shape = (*b.shape, *[1] * behind)
    return b.reshape(shape) if isinstance(b, np.ndarray) else ops.reshape(b, shape)


def _binary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, a, b: function(*_narrow(a, _aligned(node, a, b)))


def _narrow(a: Any, b: Any) -> tuple[Any, Any]:
    """Return operands without the copies that an Expand before them would make of one."""
    for first, second in ((a, b), (b, a)):
        made_by = getattr(first, "node", None)
        if made_by is None or not isinstance(made_by.op, Expand):
            continue
        source = made_by.inputs.input
        if np.broadcast_shapes(source.shape, second.shape) == tuple(first.shape):
            return (source, second) if first is a else (second, source)
    return a, b


_BOTH: tuple[tuple[str, Callable[..., Any], Callable[..., Any], str], ...] = (
    ("Add", ops.add, np.add, "fi"),
    ("Sub", ops.sub, np.subtract, "fi"),
    ("Mul", ops.mul, np.multiply, "fi"),
    ("Equal", ops.equal, np.equal, "fib"),
    ("Greater", ops.greater, np.greater, "fi"),
    ("GreaterOrEqual", ops.greater_equal, np.greater_equal, "fi"),
    ("Less", ops.less, np.less, "fi"),
    ("LessOrEqual", ops.less_equal, np.less_equal, "fi"),
    ("And", ops.logical_and, np.logical_and, "b"),
    ("Or", ops.logical_or, np.logical_or, "b"),
    ("Xor", ops.logical_xor, np.logical_xor, "b"),
    ("Not", ops.logical_not, np.logical_not, "b"),
    ("Abs", ops.abs, np.abs, "f"),
    ("Neg", ops.neg, np.negative, "fi"),
    ("Exp", ops.exp, np.exp, "f"),
    ("Log", ops.log, np.log, "f"),
    ("Sqrt", ops.sqrt, np.sqrt, "f"),
    ("Reciprocal", ops.reciprocal, np.reciprocal, "f"),
    ("Floor", ops.floor, np.floor, "f"),
    ("Ceil", ops.ceil, np.ceil, "f"),
    ("Round", ops.round, np.round, "f"),
    ("Sign", ops.sign, np.sign, "f"),
    ("Sin", ops.sin, np.sin, "f"),
    ("Cos", ops.cos, np.cos, "f"),
    ("Tan", ops.tan, np.tan, "f"),
    ("Sinh", ops.sinh, np.sinh, "f"),
    ("Cosh", ops.cosh, np.cosh, "f"),
    ("Asin", ops.asin, np.arcsin, "f"),
    ("Acos", ops.acos, np.arccos, "f"),
    ("Atan", ops.atan, np.arctan, "f"),
    ("IsNaN", ops.isnan, np.isnan, "f"),
)
for _name, _in_program, _in_numpy, _kinds in _BOTH:
    _of = _simple if getattr(_in_numpy, "nin", 1) == 1 else _binary
    traced(_name, kinds=_kinds)(_of(_in_program))
    host(_name)(_of(_in_numpy))

_ARRAYS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("Asinh", np.arcsinh),
    ("Acosh", np.arccosh),
    ("Atanh", np.arctanh),
    ("BitwiseAnd", np.bitwise_and),
    ("BitwiseOr", np.bitwise_or),
    ("BitwiseXor", np.bitwise_xor),
    ("BitwiseNot", np.invert),
)
for _name, _array_function in _ARRAYS:
    host(_name)(_simple(_array_function))


@traced("Asinh")
def asinh(node: Node, x: Any) -> Any:
    size = ops.abs(x)
    return ops.mul(ops.sign(x), ops.log1p(size + size * size / (1.0 + ops.sqrt(size * size + 1.0))))


@traced("Acosh")
def acosh(node: Node, x: Any) -> Any:
    return ops.log(x + ops.sqrt((x - 1.0) * (x + 1.0)))


@traced("Atanh")
def atanh(node: Node, x: Any) -> Any:
    return 0.5 * (ops.log1p(x) - ops.log1p(-x))


@traced("Div")
def div(node: Node, a: Any, b: Any) -> Any:
    return ops.div(*_narrow(a, _aligned(node, a, b)))


@host("Div")
def host_div(node: Node, a: Array, b: Array) -> Array:
    b = _aligned(node, a, b)
    if a.dtype.kind not in "iu":
        return a / b
    if not np.all(b):
        raise ValueError("integers divided by zero")
    quotient = np.abs(a) // np.abs(b) if a.dtype.kind == "i" else a // b
    return np.where((a < 0) != (b < 0), -quotient, quotient) if a.dtype.kind == "i" else quotient


@host("Mod")
def mod(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and not np.all(b):
        raise ValueError("integers divided by zero")
    return np.fmod(a, b) if node.attr("fmod", 0) else np.mod(a, b)


@traced("Pow")
def power(node: Node, a: Any, b: Any) -> Any:
    if isinstance(b, np.ndarray) and b.size == 1:
        # A number that is known: squares and roots are computed as such.
        return ops.pow(a, float(b.reshape(-1)[0])) if b.ndim <= a.ndim else ops.pow(a, b.astype(np.float32))
    return ops.pow(a, b)


@host("Pow")
def host_power(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and b.dtype.kind in "iu" and b.size and b.min() >= 0:
        return np.power(a, b.astype(a.dtype) if a.dtype.kind == "i" else b)
    return np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)


def _folded(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, *inputs: reduce(function, inputs)


_FOLDED: tuple[tuple[str, Callable[..., Any], Callable[..., Any]], ...] = (
    ("Sum", ops.add, np.add),
    ("Max", ops.maximum, np.maximum),
    ("Min", ops.minimum, np.minimum),
)
for _name, _in_program, _in_numpy in _FOLDED:
    traced(_name, kinds="fi")(_folded(_in_program))
    host(_name)(_folded(_in_numpy))


@traced("Mean")
def mean(node: Node, *inputs: Any) -> Any:
    return reduce(ops.add, inputs) / float(len(inputs))


@host("Mean")
def host_mean(node: Node, *inputs: Array) -> Array:
    return reduce(np.add, inputs) / inputs[0].dtype.type(len(inputs))


@traced("Where", kinds="fib")
def where(node: Node, condition: Any, a: Any, b: Any) -> Any:
    return ops.where(condition, a, b)


@host("Where")
def host_where(node: Node, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


@traced("Clip", kinds="fi")
def clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    low, high = _limits(node, low, high)
    if node.input_types[0] in INTEGERS:
        x = x if low is None else ops.maximum(x, low)
        return x if high is None else ops.minimum(x, high)
    low, high = (float(v.reshape(-1)[0]) if isinstance(v, np.ndarray) else v for v in (low, high))
    if low == 0.0 and high is None:
        return ops.relu(x)
    if (low, high) == (0.0, 6.0):
        return ops.relu6(x)
    if low is None and high is None:
        return x
    return ops.clamp(x, low, high)


def _limits(node: Node, low: Any, high: Any) -> tuple[Any, Any]:
    if node.opset < 11:
        return node.attr("min"), node.attr("max")
    return low, high


@host("Clip")
def host_clip(node: Node, x: Array, low: Any = None, high: Any = None) -> Array:
    low, high = _limits(node, low, high)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@traced("IsInf")
def isinf(node: Node, x: Any) -> Any:
    large = float(np.finfo(np.float32).max)
    above, below = node.attr("detect_positive", 1), node.attr("detect_negative", 1)
    if above and below:
        return ops.isinf(x)
    if above:
        return ops.greater(x, large)
    return ops.less(x, -large) if below else ops.zeros_like(x, "bool")


@host("IsInf")
def host_isinf(node: Node, x: Array) -> Array:
    infinite = np.isinf(x)
    if not node.attr("detect_positive", 1):
        infinite &= x < 0
    if not node.attr("detect_negative", 1):
        infinite &= x > 0
    return infinite


@traced("Erf")
def erf(node: Node, x: Any) -> Any:
    return ops.erf(x)


@host("Erf")
def host_erf(node: Node, x: Array) -> Array:
    from math import erf as of_number

    return np.vectorize(of_number, otypes=[np.float64])(x).astype(x.dtype) if x.size else x


@host("BitShift")
def bit_shift(node: Node, x: Array, by: Array) -> Array:
    width = x.dtype.itemsize * 8
    within = np.minimum(by, width - 1)
    if node.attr("direction") == "LEFT":
        return np.where(by >= width, 0, np.left_shift(x, within)).astype(x.dtype)
    beyond = 0 if x.dtype.kind == "u" else -1 * (x < 0)
    return np.where(by >= width, beyond, np.right_shift(x, within)).astype(x.dtype)


@host("BitCast")
def bit_cast(node: Node, x: Array) -> Array:
    target = numpy_type(name_of(node.attr("to")) or "")
    return np.ascontiguousarray(x).view(target).reshape(x.shape)


@traced("Cast", kinds="fib")
def cast(node: Node, x: Any) -> Any:
    return _cast(node, x)


@traced("CastLike", kinds="fib")
def cast_like(node: Node, x: Any, like: Any) -> Any:
    return _cast(node, x)


def _cast(node: Node, x: Any) -> Any:
    from ...ops.conversions import converted

    source, target = node.input_types[0], node.output_types[0]
    if target is None or (target in FLOATS and source in FLOATS and target != "float32" and source != target):
        raise ValueError("rounding to shorter floats is done outside")
    return converted(x, "float32" if target in FLOATS else target)


@host("Cast", "CastLike")
def host_cast(node: Node, x: Array, like: Any = None) -> Array:
    if node.output_types[0] is None:
        raise ValueError("unknown target type")
    return cast_array(x, node.output_types[0], bool(node.attr("saturate", 1)), node.attr("round_mode", "up"))


@host("Identity")
def identity(node: Node, x: Any) -> Any:
    return x


traced("Identity", kinds="fib")(identity)
