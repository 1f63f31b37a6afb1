# SPDX-License-Identifier: Apache-2.0
"""Activations."""

from __future__ import annotations

from typing import Any

from ... import ops
from ..table import later, operator, same, tensor

for _name in ("relu6", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "mish", "selu"):
    same(getattr(ops, _name), _name)
same(ops.leaky_relu, "leaky_relu")
same(ops.softplus, "softplus")
same(ops.celu, "celu")
same(ops.hardshrink, "hardshrink")
same(ops.softshrink, "softshrink")
same(ops.glu, "glu")
same(ops.prelu, "prelu")
same(ops.gelu, "gelu")
same(ops.logsigmoid, "log_sigmoid")


@operator("relu")
def relu(input: Any) -> Any:
    x = tensor(input)
    return ops.relu(x) if x.dtype in ("float32", "bool") else ops.maximum(x, 0)


@operator("threshold")
def threshold(input: Any, threshold: Any, value: Any) -> Any:
    x = tensor(input)
    return ops.threshold(x, threshold, value) if x.dtype == "float32" else ops.where(x <= threshold, value, x)


@operator("hardtanh")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Clamp; between 0 and 6 by the activation that convolutions apply themselves."""
    if (min_val, max_val) == (0, 6):
        return ops.relu6(input)
    return ops.hardtanh(input, min_val, max_val)


@operator("clamp", "clamp.Tensor")
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    if tensor(input).dtype == "float32" and min == 0 and max in (6, None):
        return ops.relu(input) if max is None else ops.relu6(input)
    return ops.clamp(input, min, max)


@operator("clamp_min")
def clamp_min(input: Any, min: Any) -> Any:
    return clamp(input, min)


@operator("clamp_max")
def clamp_max(input: Any, max: Any) -> Any:
    return clamp(input, None, max)


@operator("elu")
def elu(input: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    if (scale, input_scale) == (1, 1):
        return ops.elu(input, alpha)
    x = tensor(input)
    return ops.where(x > 0, x * scale, ops.expm1(x * input_scale) * (alpha * scale))


@operator("log_sigmoid_forward")
def log_sigmoid_forward(input: Any) -> tuple[Any, ...]:
    # The second result is scratch memory that the gradient on a CPU reads.
    return ops.logsigmoid(input), later(lambda: ops.exp(-ops.abs(tensor(input))))


@operator("_prelu_kernel")
def prelu_kernel(input: Any, weight: Any) -> Any:
    x = tensor(input)
    return ops.where(x > 0, x, x * tensor(weight))


@operator("dropout")
def dropout(input: Any, p: float, train: bool) -> Any:
    return ops.dropout(input, p, train)


@operator("feature_dropout")
def feature_dropout(input: Any, p: float, train: bool) -> Any:
    return ops.dropout2d(input, p, train)


@operator("alpha_dropout")
def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    return ops.alpha_dropout(input, p, train)


@operator("softmax", "_softmax", "softmax.int")
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    return ops.softmax(input, dim)


@operator("log_softmax", "_log_softmax", "log_softmax.int")
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    return ops.log_softmax(input, dim)
