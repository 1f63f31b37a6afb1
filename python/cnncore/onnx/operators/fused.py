# SPDX-License-Identifier: Apache-2.0
"""Operators that stand for groups of nodes; `onnx.patterns` puts them in their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ..emitting import is_training
from ..graph import Node
from ..patterns.matching import DOMAIN
from ..table import host, traced
from .convolution import conv
from .one_hot import hot_places, rows_at
from .quantizing import LIMITS, scales_along
from .shaping import axis_of, ints, pad, pad_widths, resolved_shape

Array = Any

_FUNCTIONS: dict[str, Any] = {"Mul": ops.mul, "Add": ops.add, "Sub": ops.sub}


# -- norms ------------------------------------------------------------------------------------------------


@traced("RowNorm", domain=DOMAIN)
def row_norm(node: Node, x: Any, weight: Any, bias: Any) -> Any:
    """Normalize over axes; weight and bias are broadcast."""
    axes = sorted(axis_of(axis, x.ndim) for axis in node.attr("axes"))
    eps, centred = node.attr("epsilon"), node.attr("centred")
    if centred and x.ndim > 3 and axes == list(range(2, x.ndim)):
        return _affine(ops.instance_norm(x, eps=eps), weight, bias)
    if axes != list(range(axes[0], x.ndim)):
        return _affine(_row_norm_of_axes(x, tuple(axes), eps, centred), weight, bias)
    shape = tuple(x.shape[axes[0] :])
    own_weight = _of_shape(shape, weight)
    if not centred:
        y = ops.rms_norm(x, shape, own_weight, eps)
        return _affine(y, None if own_weight is not None else weight, bias)
    own_bias = _of_shape(shape, bias) if own_weight is not None or weight is None else None
    y = ops.layer_norm(x, shape, own_weight, own_bias, eps)
    return _affine(y, None if own_weight is not None else weight, None if own_bias is not None else bias)


def _of_shape(shape: tuple[int, ...], value: Any) -> Any:
    """Return a value in the shape of what is normalized, if it has one number for each element of that."""
    if value is None:
        return None
    extents = tuple(value.shape)
    axes = len(extents) - len(shape)
    if axes < 0 or extents != (*[1] * axes, *shape):
        return None
    return ops.reshape(value, shape) if axes else value


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _row_norm_of_axes(x: Any, axes: tuple[int, ...], eps: float, centred: bool) -> Any:
    if centred:
        variance, mean = ops.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) * ops.rsqrt(variance + eps)
    return x * ops.rsqrt(ops.mean(ops.square(x), axes, True) + eps)


@traced("GroupNorm", static=(1, 2), domain=DOMAIN)
def group_norm(node: Node, x: Any, first: Any, last: Any, weight: Any, bias: Any) -> Any:
    """Reshape to (n, groups, -1), normalize each row, reshape; weight and bias are broadcast."""
    eps = node.attr("epsilon")
    rows = resolved_shape(x.shape, ints(first), node.attr("allowzero")[0])
    wanted = resolved_shape(rows, ints(last), node.attr("allowzero")[1])
    if wanted != tuple(x.shape) or len(rows) != 3 or rows[0] != x.shape[0] or x.shape[1] % rows[1]:
        y = ops.reshape(ops.instance_norm(ops.reshape(x, rows), eps=eps), wanted)
        return _affine(y, weight, bias)
    scale, shift = (None if v is None else _of_channels(x.shape, v) for v in (weight, bias))
    if (scale is None) != (weight is None) or (shift is None) != (bias is None):
        return _affine(ops.group_norm(x, rows[1], eps=eps), weight, bias)
    return ops.group_norm(x, rows[1], scale, shift, eps)


# -- convolutions and products ------------------------------------------------------------------------


@traced("PaddedConv", static=(1,), domain=DOMAIN)
def padded_conv(node: Node, x: Any, pads: Any, weight: Any, bias: Any) -> Any:
    """Pad with zeros, and convolve."""
    widths, _ = pad_widths(node, x.shape, (pads,))
    rank = x.ndim - 2
    own = tuple(node.attr("pads", (0,) * (2 * rank)))
    if any(map(any, widths[:2])) or any(min(pair) < 0 for pair in widths) or len(own) != 2 * rank:
        return conv(node, pad(node, x, pads), weight, bias)
    wide = [own[i] + widths[2 + i % rank][i // rank] for i in range(2 * rank)]
    return conv(node.with_attributes(pads=tuple(wide)), x, weight, bias)


def _of_channels(shape: Sequence[int], value: Any) -> Any:
    """Return a value that is broadcast along the channels as a vector; None if it is not."""
    rank = len(shape)
    extents = (1,) * (rank - len(value.shape)) + tuple(value.shape)
    if rank < 3 or extents != (1, shape[1], *[1] * (rank - 2)):
        return None
    return ops.reshape(value, (shape[1],))


@traced("ChannelAffine", domain=DOMAIN)
def channel_affine(node: Node, x: Any, *operands: Any) -> Any:
    """Multiply by constants, add and subtract them; those of channels join the convolution before them."""
    functions = node.attr("functions")
    numbers = [
        float(v.reshape(-1)[0]) if isinstance(v, np.ndarray) and v.size == 1 else None for v in operands
    ]
    vectors = [_of_channels(x.shape, v) if n is None else n for n, v in zip(numbers, operands, strict=True)]
    if x.ndim < 3 or any(vector is None for vector in vectors) or any(v.ndim > x.ndim for v in operands):
        for function, operand in zip(functions, operands, strict=True):
            x = _FUNCTIONS[function](x, operand)
        return x
    scale: Any = 1.0
    shift: Any = 0.0
    for function, vector in zip(functions, vectors, strict=True):
        if function == "Mul":
            scale, shift = scale * vector, shift * vector
        else:
            shift = shift + vector if function == "Add" else shift - vector
    channels = x.shape[1]
    scale, shift = (np.full(channels, v, np.float32) if isinstance(v, float) else v for v in (scale, shift))
    mean, variance = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return ops.batch_norm(x, mean, variance, scale, shift, False, 0.1, 0.0)


@traced("Linear", domain=DOMAIN)
def linear(node: Node, x: Any, matrix: Any, bias: Any) -> Any:
    """x @ matrix + bias."""
    places = hot_places(x)
    if places is not None:
        return rows_at(matrix, places) + bias
    if is_training() or len(matrix.shape) != 2 or tuple(bias.shape) != tuple(matrix.shape[1:]):
        return ops.matmul(x, matrix) + bias  # without a turned copy of the matrix in each step
    return ops.linear(x, ops.permute(matrix, (1, 0)), bias)


@host("Linear", domain=DOMAIN)
def host_linear(node: Node, x: Array, matrix: Array, bias: Array) -> Array:
    return np.matmul(x, matrix) + bias


# -- channels that change places --------------------------------------------------------------------------


def _exchanged(
    node: Node, shape: Sequence[int], first: Any, last: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes before and after the exchange."""
    keeps = node.attr("allowzero")
    split = resolved_shape(shape, ints(first), keeps[0])
    return split, resolved_shape([split[axis] for axis in node.attr("perm")], ints(last), keeps[1])


@traced("Exchange", static=(1, 2), domain=DOMAIN)
def exchange(node: Node, x: Any, first: Any, last: Any) -> Any:
    """Reshape, exchange axes, reshape."""
    dims = tuple(node.attr("perm"))
    split, joined = _exchanged(node, x.shape, first, last)
    if x.ndim > 2 and len(split) > 3 and split[0] == x.shape[0]:
        shuffled = joined == tuple(x.shape) and split[1] * split[2] == x.shape[1]
        if shuffled and dims == (0, 2, 1, *range(3, len(split))):
            return ops.channel_shuffle(x, split[1])
        square = len(split) == 6 and split[2] == split[3] and split[4:] == tuple(x.shape[2:])
        if square and dims == (0, 1, 4, 2, 5, 3):
            factor = split[2]
            if joined == (split[0], split[1], split[4] * factor, split[5] * factor):
                return ops.pixel_shuffle(x, factor)
    return ops.reshape(ops.permute(ops.reshape(x, split), dims), joined)


@host("Exchange", domain=DOMAIN)
def host_exchange(node: Node, x: Array, first: Array, last: Array) -> Array:
    split, joined = _exchanged(node, x.shape, first, last)
    return x.reshape(split).transpose(node.attr("perm")).reshape(joined)


# -- quantizing -------------------------------------------------------------------------------------------


@traced("Rounding", static=(1, 2), domain=DOMAIN)
def rounding(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    """Quantize and dequantize in floats: whole numbers of 8 bits are exact in them."""
    factor = scales_along(node, x, scale).astype(np.float32)
    low, high = LIMITS[node.attr("type")]
    shift = None if zero is None or not zero.any() else scales_along(node, x, zero).astype(np.float32)
    whole = ops.round(x / factor)
    whole = whole if shift is None else whole + shift
    whole = ops.clamp(whole, float(low), float(high))
    return (whole if shift is None else whole - shift) * factor


@host("Rounding", domain=DOMAIN)
def host_rounding(node: Node, x: Array, scale: Array, zero: Any = None) -> Array:
    factor = scales_along(node, x, scale).astype(np.float32)
    low, high = LIMITS[node.attr("type")]
    shift = 0.0 if zero is None else scales_along(node, x, zero).astype(np.float32)
    return ((np.clip(np.rint(x / factor) + shift, low, high) - shift) * factor).astype(np.float32)
