# SPDX-License-Identifier: Apache-2.0
"""Activations, softmax, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ..emitting import is_training
from ..graph import Node
from ..table import host, traced
from .shaping import axis_of

Array = Any

for _name, _function in (
    ("Relu", ops.relu),
    ("Sigmoid", ops.sigmoid),
    ("Tanh", ops.tanh),
    ("Softplus", lambda x: ops.softplus(x)),
    ("Softsign", ops.softsign),
    ("HardSwish", ops.hardswish),
    ("Mish", ops.mish),
):

    @traced(_name)
    def _activation(node: Node, x: Any, function: Any = _function) -> Any:
        return function(x)


for _name, _array_function in (
    ("Relu", lambda x: np.maximum(x, x.dtype.type(0))),
    ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ("Tanh", np.tanh),
):

    @host(_name)
    def _host_activation(node: Node, x: Array, function: Any = _array_function) -> Array:
        return function(x)


@traced("LeakyRelu")
def leaky_relu(node: Node, x: Any) -> Any:
    return ops.leaky_relu(x, node.attr("alpha", 0.01))


@traced("PRelu")
def prelu(node: Node, x: Any, slope: Any) -> Any:
    if slope.size == 1:
        return ops.prelu(x, ops.reshape(slope, (1,)))
    channels = x.shape[1] if x.ndim > 1 else 0
    by_channel = (channels,) if node.opset < 7 else (channels, *[1] * (x.ndim - 2))
    if x.ndim > 2 and tuple(slope.shape) in (by_channel, (1, *by_channel)):
        return ops.prelu(x, ops.reshape(slope, (channels,)))
    return ops.relu(x) - slope * ops.relu(-x)


@host("PRelu")
def host_prelu(node: Node, x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


@traced("Elu")
def elu(node: Node, x: Any) -> Any:
    return ops.elu(x, node.attr("alpha", 1.0))


@traced("Celu")
def celu(node: Node, x: Any) -> Any:
    return ops.celu(x, node.attr("alpha", 1.0))


@traced("Selu")
def selu(node: Node, x: Any) -> Any:
    alpha, gamma = node.attr("alpha", 1.6732632423543772), node.attr("gamma", 1.0507009873554805)
    return ops.elu(x, alpha) * gamma


@traced("Gelu")
def gelu(node: Node, x: Any) -> Any:
    return ops.gelu(x, node.attr("approximate", "none"))


@traced("Swish")
def swish(node: Node, x: Any) -> Any:
    alpha = node.attr("alpha", 1.0)
    return ops.silu(x) if alpha == 1.0 else x * ops.sigmoid(x * alpha)


@traced("HardSigmoid")
def hard_sigmoid(node: Node, x: Any) -> Any:
    alpha, beta = node.attr("alpha", 0.2), node.attr("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return ops.hardsigmoid(x)
    return ops.clamp(x * alpha + beta, 0.0, 1.0)


@traced("ThresholdedRelu")
def thresholded_relu(node: Node, x: Any) -> Any:
    return ops.threshold(x, node.attr("alpha", 1.0), 0.0)


@traced("Shrink")
def shrink(node: Node, x: Any) -> Any:
    bias, limit = node.attr("bias", 0.0), node.attr("lambd", 0.5)
    below, above = ops.less(x, -limit), ops.greater(x, limit)
    return ops.where(below, x + bias, ops.where(above, x - bias, 0.0))


@host("Shrink")
def host_shrink(node: Node, x: Array) -> Array:
    bias, limit = node.attr("bias", 0.0), node.attr("lambd", 0.5)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0)).astype(x.dtype)


def _softmax(name: str, function: Any) -> None:
    @traced(name)
    def softmax(node: Node, x: Any) -> Any:
        if node.opset >= 13:
            return function(x, axis_of(node.attr("axis", -1), x.ndim))
        axis = axis_of(node.attr("axis", 1), x.ndim) if x.ndim > 1 else 0
        if axis == x.ndim - 1:
            return function(x, axis)
        # Before opset 13, all axes from this one on are one.
        flat = ops.reshape(x, (*x.shape[:axis], -1))
        return ops.reshape(function(flat, axis), x.shape)


_softmax("Softmax", ops.softmax)
_softmax("LogSoftmax", ops.log_softmax)


@host("Softmax")
def host_softmax(node: Node, x: Array) -> Array:
    axis = axis_of(node.attr("axis", -1 if node.opset >= 13 else 1), x.ndim)
    axes = (axis,) if node.opset >= 13 else tuple(range(axis, x.ndim))
    powers = np.exp(x - x.max(axes, keepdims=True))
    return powers / powers.sum(axes, keepdims=True)


@traced("Dropout", static=(1, 2))
def dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    if node.opset < 12:
        share, active = node.attr("ratio", 0.5), is_training()
    else:
        share = 0.5 if ratio is None else float(np.asarray(ratio).reshape(-1)[0])
        asked = training is not None and bool(np.asarray(training).reshape(-1)[0])
        if asked and node.attr("seed") is not None:
            raise ValueError("numbers of a given seed are drawn outside")
        active = asked or (training is None and is_training())
    active = active and share > 0.0
    if node.wants(1):
        kept = ops.dropout(ops.ones_like(x), share, training=active)
        return x * kept, ops.not_equal(kept, 0.0)
    return ops.dropout(x, share, training=active) if active else x


@host("Dropout")
def host_dropout(node: Node, x: Array, ratio: Any = None, training: Any = None) -> tuple[Array, Array]:
    """Draw as onnx does for a seed; without training, nothing is dropped."""
    share = node.attr("ratio", 0.5) if ratio is None else float(ratio.reshape(-1)[0])
    if training is None or not training.reshape(-1)[0] or share == 0.0:
        return x, np.ones(x.shape, bool)
    kept = np.random.RandomState(node.attr("seed")).uniform(0, 1, x.shape) >= share
    return (x * kept / (1 - share)).astype(x.dtype), kept


@host("HardSigmoid")
def host_hard_sigmoid(node: Node, x: Array) -> Array:
    return np.clip(x * node.attr("alpha", 0.2) + node.attr("beta", 0.5), 0, 1).astype(x.dtype)


@host("HardSwish")
def host_hardswish(node: Node, x: Array) -> Array:
    return (x * np.clip(x / 6 + 0.5, 0, 1)).astype(x.dtype)


@host("Swish")
def host_swish(node: Node, x: Array) -> Array:
    return (x / (1 + np.exp(-node.attr("alpha", 1.0) * x))).astype(x.dtype)


@host("Softplus")
def host_softplus(node: Node, x: Array) -> Array:
    return np.logaddexp(x.dtype.type(0), x)


@host("Mish")
def host_mish(node: Node, x: Array) -> Array:
    return (x * np.tanh(np.logaddexp(0, x))).astype(x.dtype)
