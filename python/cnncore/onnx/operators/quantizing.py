# SPDX-License-Identifier: Apache-2.0
"""Quantized tensors: conversions, and products and convolutions of integers, which are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ...ops.conversions import converted as as_dtype
from ..dtypes import numpy_type
from ..graph import Node
from ..table import host, traced
from .casting import cast_array
from .shaping import axis_of
from .windows import geometry, windows_of

Array = Any

LIMITS = {
    "uint8": (0, 255),
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
    "uint4": (0, 15),
    "int4": (-8, 7),
    "uint2": (0, 3),
    "int2": (-2, 1),
    "int32": (-(2**31), 2**31 - 1),
}


def scales_along(node: Node, x: Any, scale: Array) -> Array:
    """Return scales or zero points in a shape that goes with x: one, one an axis's element, or blocks."""
    if scale.ndim == 0 or (scale.size == 1 and scale.ndim <= 1):
        return scale.reshape(())
    axis = axis_of(node.attr("axis", 1), x.ndim)
    if scale.ndim == 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        return scale.reshape(shape)
    block = node.attr("block_size", 0)
    if not block:
        return scale
    wide = np.repeat(scale, block, axis)
    return np.take(wide, range(x.shape[axis]), axis)


def _quantized(node: Node, x: Array, scale: Array, zero: Any, target: str) -> Array:
    ratio = x.astype(np.float32) / scales_along(node, x, scale).astype(np.float32)
    if target not in LIMITS:
        return cast_array(ratio, target, bool(node.attr("saturate", 1)))
    shift = 0 if zero is None else scales_along(node, x, zero.astype(np.int32))
    low, high = LIMITS[target]
    return np.clip(np.rint(ratio) + shift, low, high).astype(np.int32).astype(numpy_type(target))


@host("QuantizeLinear")
def host_quantize(node: Node, x: Array, scale: Array, zero: Any = None) -> Array:
    return _quantized(node, x, scale, zero, node.output_types[0] or "uint8")


@traced("QuantizeLinear", static=(1, 2))
def quantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    target = node.output_types[0]
    if target not in ("uint8", "int8"):
        raise ValueError("other types than uint8 and int8 are computed outside")
    ratio = x / scales_along(node, x, scale).astype(np.float32)
    whole = ops.round(ratio)
    if zero is not None and zero.any():
        whole = whole + scales_along(node, x, zero).astype(np.float32)
    low, high = LIMITS[target]
    return as_dtype(as_dtype(ops.clamp(whole, float(low), float(high)), "int32"), target)


@host("DequantizeLinear")
def host_dequantize(node: Node, x: Array, scale: Array, zero: Any = None) -> Array:
    kind = np.int32 if node.input_types[0] in LIMITS else np.float32
    wide = x.astype(kind)
    if zero is not None:
        wide = wide - scales_along(node, x, zero.astype(kind))
    return wide.astype(np.float32) * scales_along(node, x, scale).astype(np.float32)


@traced("DequantizeLinear", kinds="i", static=(1, 2))
def dequantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    if node.input_types[0] not in ("uint8", "int8"):
        raise ValueError("other types than uint8 and int8 are computed outside")
    value = as_dtype(x, "float32")
    if zero is not None and zero.any():
        value = value - scales_along(node, x, zero).astype(np.float32)
    return value * scales_along(node, x, scale).astype(np.float32)


@host("DynamicQuantizeLinear")
def dynamic_quantize(node: Node, x: Array) -> tuple[Array, Array, Array]:
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(255))
    if scale == 0:
        return np.zeros(x.shape, np.uint8), np.array(scale), np.array(0, np.uint8)
    zero = np.uint8(np.clip(np.rint(-np.float32(low) / scale), 0, 255))
    y = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    return y, np.array(scale, np.float32), np.array(zero, np.uint8)


def _rows(zero: Any, rank: int) -> Array:
    """Return a zero point or scale of the left operand: one, or one a row."""
    if zero is None:
        return np.array(0)
    return zero.reshape(*zero.shape, 1) if zero.ndim == 1 and zero.size > 1 and rank > 1 else zero


def _product(a: Array, b: Array, a_zero: Any, b_zero: Any) -> Array:
    """Return the exact product of two integer tensors less their zero points.

    Sums of fewer than 2^37 products of 8-bit numbers are exact in float64.
    """
    left = a.astype(np.float64) - _rows(a_zero, a.ndim)
    right = b.astype(np.float64) - (0 if b_zero is None else b_zero.astype(np.float64))
    return np.matmul(left, right).astype(np.int64)


@host("MatMulInteger")
def matmul_integer(node: Node, a: Array, b: Array, a_zero: Any = None, b_zero: Any = None) -> Array:
    return _product(a, b, a_zero, b_zero).astype(np.int32)


def _requantized(total: Array, factor: Array, zero: Array, target: np.dtype[Any]) -> Array:
    low, high = LIMITS[target.name]
    return np.clip(np.rint(total * factor) + zero.astype(np.int64), low, high).astype(target)


@host("QLinearMatMul")
def qlinear_matmul(node: Node, *inputs: Array) -> Array:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    total = _product(a, b, a_zero, b_zero)
    factor = (
        _rows(a_scale.astype(np.float64), a.ndim) * b_scale.astype(np.float64) / y_scale.astype(np.float64)
    )
    if y_zero.dtype.name not in LIMITS:
        return cast_array((total * factor + y_zero.astype(np.float64)).astype(np.float32), y_zero.dtype.name)
    return _requantized(total, factor, y_zero, y_zero.dtype)


def _convolved(node: Node, x: Array, w: Array, x_zero: Any, w_zero: Any) -> Array:
    """Return the exact convolution of integers less their zero points; padding is the zero point."""
    shape = geometry(node, x.shape[2:], node.attr("kernel_shape", w.shape[2:]))
    rank, groups = len(shape.kernel), node.attr("group", 1)
    left = x.astype(np.float64) - (0 if x_zero is None else float(x_zero.reshape(-1)[0]))
    right = w.astype(np.float64)
    if w_zero is not None:
        right = right - w_zero.astype(np.float64).reshape(-1, *[1] * (w.ndim - 1))
    windows = windows_of(left, shape, 0.0)
    channels, outputs = x.shape[1] // groups, w.shape[0] // groups
    axes = [1, *range(2 + rank, 2 + 2 * rank)]
    found = [
        np.tensordot(
            windows[:, g * channels : (g + 1) * channels],
            right[g * outputs : (g + 1) * outputs],
            (axes, range(1, 2 + rank)),
        )
        for g in range(groups)
    ]
    return np.moveaxis(np.concatenate(found, -1), -1, 1).astype(np.int64)


@host("ConvInteger")
def conv_integer(node: Node, x: Array, w: Array, x_zero: Any = None, w_zero: Any = None) -> Array:
    return _convolved(node, x, w, x_zero, w_zero).astype(np.int32)


@host("QLinearConv")
def qlinear_conv(node: Node, *inputs: Any) -> Array:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = inputs[:8]
    bias = inputs[8] if len(inputs) > 8 else None
    total = _convolved(node, x, w, x_zero, w_zero)
    channels: Sequence[int] = (-1, *[1] * (x.ndim - 2))
    if bias is not None:
        total = total + bias.astype(np.int64).reshape(channels)
    factor = x_scale.astype(np.float64) * w_scale.astype(np.float64) / y_scale.astype(np.float64)
    factor = factor.reshape(channels) if factor.size > 1 else factor.reshape(())
    return _requantized(total, factor, y_zero, y_zero.dtype)
