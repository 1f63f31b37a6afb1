# SPDX-License-Identifier: Apache-2.0
"""Quantized operators that onnxruntime's quantizer writes (domain com.microsoft), in numpy.

Each computes the operator on dequantized values in float64, and quantizes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Node
from ..table import host
from .quantizing import LIMITS
from .windows import geometry, windows_of

Array = Any

DOMAIN = "com.microsoft"


def _real(x: Array, scale: Array, zero: Any) -> Array:
    shift = 0 if zero is None or not zero.size else zero.astype(np.int64)
    return (x.astype(np.int64) - shift) * scale.astype(np.float64)


def _quantized(y: Array, scale: Array, zero: Any, kind: np.dtype[Any]) -> Array:
    low, high = LIMITS[kind.name]
    shift = 0 if zero is None or not zero.size else int(zero.reshape(-1)[0])
    return np.clip(np.rint(y / float(scale.reshape(-1)[0])) + shift, low, high).astype(kind)


def _binary(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def compute(node: Node, *inputs: Any) -> Array:
        a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = (*inputs, None)[:8]
        return _quantized(
            function(_real(a, a_scale, a_zero), _real(b, b_scale, b_zero)), scale, zero, a.dtype
        )

    return compute


host("QLinearAdd", domain=DOMAIN)(_binary(np.add))
host("QLinearMul", domain=DOMAIN)(_binary(np.multiply))


def _unary(function: Callable[[Node, Array], Array]) -> Callable[..., Array]:
    def compute(node: Node, *inputs: Any) -> Array:
        x, x_scale, x_zero, scale, zero = (*inputs, None)[:5]
        return _quantized(function(node, _real(x, x_scale, x_zero)), scale, zero, x.dtype)

    return compute


def _sigmoid(node: Node, x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _leaky(node: Node, x: Array) -> Array:
    return np.where(x < 0, x * node.attr("alpha", 0.01), x)


def _softmax(node: Node, x: Array) -> Array:
    axes: Any = node.attr("axis", -1)
    if node.attr("opset", 13) < 13:
        axes = tuple(range(axes % x.ndim, x.ndim))
    powers = np.exp(x - x.max(axes, keepdims=True))
    return powers / powers.sum(axes, keepdims=True)


def _first_channels(node: Node, x: Array) -> Array:
    return np.moveaxis(x, -1, 1) if node.attr("channels_last", 0) else x


def _last_channels(node: Node, y: Array) -> Array:
    return np.moveaxis(y, 1, -1) if node.attr("channels_last", 0) else y


def _global_average(node: Node, x: Array) -> Array:
    x = _first_channels(node, x)
    return _last_channels(node, x.mean(tuple(range(2, x.ndim)), keepdims=True))


def _average(node: Node, x: Array) -> Array:
    x = _first_channels(node, x)
    shape = geometry(node, x.shape[2:], node.attr("kernel_shape"))
    axes = tuple(range(2 + len(shape.kernel), 2 + 2 * len(shape.kernel)))
    total = windows_of(x, shape, 0.0).sum(axes)
    counted = np.ones((1, 1, *x.shape[2:]))
    count = windows_of(counted, shape, float(node.attr("count_include_pad", 0))).sum(axes)
    return _last_channels(node, total / count)


host("QLinearSigmoid", domain=DOMAIN)(_unary(_sigmoid))
host("QLinearLeakyRelu", domain=DOMAIN)(_unary(_leaky))
host("QLinearSoftmax", domain=DOMAIN)(_unary(_softmax))
host("QLinearGlobalAveragePool", domain=DOMAIN)(_unary(_global_average))
host("QLinearAveragePool", domain=DOMAIN)(_unary(_average))


@host("QLinearConcat", domain=DOMAIN)
def qlinear_concat(node: Node, scale: Array, zero: Array, *inputs: Any) -> Array:
    parts = [_real(*inputs[i : i + 3]) for i in range(0, len(inputs), 3)]
    return _quantized(np.concatenate(parts, node.attr("axis")), scale, zero, zero.dtype)


@host("QGemm", domain=DOMAIN)
def qgemm(node: Node, *inputs: Any) -> Array:
    a, a_scale, a_zero, b, b_scale, b_zero, c, scale, zero = (*inputs, None, None, None)[:9]
    left, right = a.astype(np.float64) - float(a_zero), b.astype(np.float64)
    if node.attr("transA", 0):
        left = left.T
    of_columns = b_zero.astype(np.float64)
    if node.attr("transB", 0):
        right = right.T
    total = left @ (right - of_columns)
    if c is not None:
        total = total + c
    y = total * (node.attr("alpha", 1.0) * a_scale.astype(np.float64) * b_scale.astype(np.float64))
    return y.astype(np.float32) if scale is None else _quantized(y, scale, zero, zero.dtype)
