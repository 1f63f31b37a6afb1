# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt

import numpy as np
from onnx import TensorProto

from ...graph.tensor import Node
from ...ops.elementwise import Elementwise
from .writer import Writer, exporter

TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}

NAMES = {
    "none": "Identity",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "exp": "Exp",
    "erf": "Erf",
    "log": "Log",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "neg": "Neg",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "reciprocal": "Reciprocal",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "pow": "Pow",
    "prelu": "PRelu",
}
"""Functions that an operator computes as it is."""

WITH_NUMBER = {
    "add_scalar": ("Add", False),
    "mul_scalar": ("Mul", False),
    "rsub_scalar": ("Sub", True),
    "rdiv_scalar": ("Div", True),
    "pow_scalar": ("Pow", False),
    "max_scalar": ("Max", False),
    "min_scalar": ("Min", False),
}
"""Functions of a tensor and alpha: the operator, and whether alpha comes first."""

COMPARISONS = {
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}

Compose = Callable[[Writer, "list[str]", float, float], str]


def _gelu(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    error = w.add("Erf", [w.add("Div", [x[0], w.scalar(sqrt(2.0))])])
    return str(w.add("Mul", [w.add("Mul", [x[0], w.add("Add", [error, w.scalar(1.0)])]), w.scalar(0.5)]))


def _gelu_tanh(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    cube = w.add("Mul", [w.add("Pow", [x[0], w.scalar(3.0)]), w.scalar(0.044715)])
    inner = w.add("Mul", [w.add("Add", [x[0], cube]), w.scalar(sqrt(2.0 / pi))])
    outer = w.add("Add", [w.add("Tanh", [inner]), w.scalar(1.0)])
    return str(w.add("Mul", [w.add("Mul", [x[0], outer]), w.scalar(0.5)]))


def _times(op: str) -> Compose:
    return lambda w, x, alpha, beta: w.add("Mul", [x[0], w.add(op, [x[0]])])


def _hardswish(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    if w.opset >= 14:
        return str(w.add("HardSwish", x))
    return str(w.add("Mul", [x[0], w.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)]))


def _mish(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    return str(w.add("Mul", [x[0], w.add("Tanh", [w.add("Softplus", [x[0]])])]))


def _clip(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    low = "" if alpha == -np.inf else w.scalar(alpha)
    high = "" if beta == np.inf else w.scalar(beta)
    return str(w.add("Clip", [x[0], low, high] if high else [x[0], low]))


def _truth(w: Writer, name: str) -> str:
    return str(w.add("Cast", [name], to=TensorProto.BOOL))


def _remainder(w: Writer, x: list[str], alpha: float, beta: float) -> str:
    whole = w.add("Floor", [w.add("Div", x)])
    return str(w.add("Sub", [x[0], w.add("Mul", [whole, x[1]])]))


COMPOSED: dict[str, Compose] = {
    "leaky_relu": lambda w, x, a, b: w.add("LeakyRelu", x, alpha=float(a)),
    "elu": lambda w, x, a, b: w.add("Elu", x, alpha=float(a)),
    "relu6": lambda w, x, a, b: _clip(w, x, 0.0, 6.0),
    "clamp": _clip,
    "hardsigmoid": lambda w, x, a, b: w.add("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "silu": _times("Sigmoid"),
    "hardswish": _hardswish,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
    "expm1": lambda w, x, a, b: w.add("Sub", [w.add("Exp", x), w.scalar(1.0)]),
    "exp2": lambda w, x, a, b: w.add("Pow", [w.scalar(2.0), x[0]]),
    "log1p": lambda w, x, a, b: w.add("Log", [w.add("Add", [x[0], w.scalar(1.0)])]),
    "log2": lambda w, x, a, b: w.add("Div", [w.add("Log", x), w.scalar(log(2.0))]),
    "log10": lambda w, x, a, b: w.add("Div", [w.add("Log", x), w.scalar(log(10.0))]),
    "rsqrt": lambda w, x, a, b: w.add("Reciprocal", [w.add("Sqrt", x)]),
    "erfc": lambda w, x, a, b: w.add("Sub", [w.scalar(1.0), w.add("Erf", x)]),
    "relu_backward": lambda w, x, a, b: w.add(
        "Where", [w.add("Greater", [x[1], w.scalar(0.0)]), x[0], w.scalar(0.0)]
    ),
    "square": lambda w, x, a, b: w.add("Mul", [x[0], x[0]]),
    "trunc": lambda w, x, a, b: w.add("Mul", [w.add("Sign", x), w.add("Floor", [w.add("Abs", x)])]),
    "scaled_add": lambda w, x, a, b: w.add("Mul", [w.add("Add", x), w.scalar(a)]),
    "scaled_mul": lambda w, x, a, b: w.add("Mul", [w.add("Mul", [x[0], w.scalar(a)]), x[1]]),
    "shifted_mul": lambda w, x, a, b: w.add("Mul", [w.add("Add", [x[0], w.scalar(a)]), x[1]]),
    "fma": lambda w, x, a, b: w.add("Add", [w.add("Mul", x[:2]), x[2]]),
    "hypot": lambda w, x, a, b: w.add(
        "Sqrt", [w.add("Add", [w.add("Mul", [x[0], x[0]]), w.add("Mul", [x[1], x[1]])])]
    ),
    "floor_divide": lambda w, x, a, b: w.add("Floor", [w.add("Div", x)]),
    "remainder": _remainder,
}


def activate(w: Writer, name: str, function: str, alpha: float) -> str:
    """Add an activation."""
    return name if function == "none" else written(w, function, [name], alpha, 0.0)


def written(w: Writer, function: str, inputs: list[str], alpha: float, beta: float) -> str:
    """Add the nodes of a function of float32 tensors; return the result's name.

    Raises:
        ValueError: the function has no form in ONNX.
    """
    if function in NAMES:
        return str(w.add(NAMES[function], inputs))
    if function in WITH_NUMBER:
        op, first = WITH_NUMBER[function]
        number = w.scalar(alpha)
        return str(w.add(op, [number, inputs[0]] if first else [inputs[0], number]))
    if function in COMPOSED:
        return str(COMPOSED[function](w, inputs, alpha, beta))
    raise ValueError(f"[{w.path}] {function} has no form in ONNX that is written here")


@exporter(Elementwise)
def elementwise(w: Writer, node: Node, twin: Node | None) -> str:
    function, alpha, beta, dtype = node.attrs
    inputs = [w.get(tensor) for tensor in node.inputs]
    if function == "cast":
        return str(w.add("Cast", inputs, to=TYPES[dtype]))
    if function == "select":
        return str(w.add("Where", [_truth(w, inputs[0]), *inputs[1:]]))
    if function in ("logical_not", "not_equal"):
        truth = _truth(w, inputs[0]) if function == "logical_not" else w.add("Equal", inputs)
        return str(w.add("Cast", [w.add("Not", [truth])], to=TYPES[node.output.dtype]))
    if function in COMPARISONS:
        if function.startswith("logical"):
            inputs = [_truth(w, name) for name in inputs]
        found = w.add(COMPARISONS[function], inputs)
        return str(w.add("Cast", [found], to=TYPES[node.output.dtype]))
    if node.output.dtype != "float32":
        plain = {"add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum"}
        if function not in plain:
            raise ValueError(f"[{w.path}] {function} of {node.output.dtype} is not written as ONNX here")
    return written(w, function, inputs, alpha, beta)
