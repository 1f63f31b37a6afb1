# SPDX-License-Identifier: Apache-2.0
"""Pooling: windows and whole images."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ... import ops
from ..bounds import require_result
from ..dtypes import FLOATS
from ..graph import Node
from ..table import host, traced
from .convolution import convolve
from .shaping import pad_constant
from .windows import Geometry, geometry, windows_of

Array = Any

_MAX: dict[int, Any] = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
_AVERAGE: dict[int, Any] = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}


def _geometry(node: Node, x: Any) -> Geometry:
    shape = geometry(node, x.shape[2:], node.attr("kernel_shape"))
    if len(shape.kernel) not in _MAX:
        raise ValueError(f"expected 1 to 3 spatial axes, got input of shape {tuple(x.shape)}")
    return shape


def _is_plain(node: Node, shape: Geometry) -> bool:
    """Whether torch's pooling means the same: padding alike on both sides, at most half a window."""
    return shape.begin == shape.asked_end and all(
        2 * begin <= kernel for begin, kernel in zip(shape.begin, shape.kernel, strict=True)
    )


def _ceils(node: Node) -> bool:
    return bool(node.attr("ceil_mode", 0)) and node.attr("auto_pad", "NOTSET") == "NOTSET"


def _padded(x: Any, shape: Geometry, value: float) -> Any:
    return pad_constant(x, [(0, 0), (0, 0), *shape.pads], value)


@traced("MaxPool")
def max_pool(node: Node, x: Any) -> Any:
    shape = _geometry(node, x)
    function = _MAX[len(shape.kernel)]
    if node.wants(1):
        if not _is_plain(node, shape) or node.attr("storage_order", 0):
            raise ValueError("such indices are computed outside")
        settings = (shape.kernel, shape.strides, shape.begin, shape.dilations, _ceils(node))
        y, places = function(x, *settings, return_indices=True)
        # Places within a map, to which come the maps before it.
        maps = np.arange(x.shape[0] * x.shape[1]) * prod(x.shape[2:])
        return y, places + maps.reshape(*x.shape[:2], *[1] * len(shape.kernel))
    if _is_plain(node, shape):
        return function(x, shape.kernel, shape.strides, shape.begin, shape.dilations, _ceils(node))
    return function(_padded(x, shape, -np.inf), shape.kernel, shape.strides, 0, shape.dilations)


@host("MaxPool")
def host_max_pool(node: Node, x: Array) -> Any:
    shape = geometry(node, x.shape[2:], node.attr("kernel_shape"))
    least = -np.inf if x.dtype.name in FLOATS else np.iinfo(x.dtype).min
    rank = len(shape.kernel)
    windows = windows_of(x, shape, least)
    flat = windows.reshape(*windows.shape[: 2 + rank], -1)
    best = np.argmax(flat, -1)
    values = np.take_along_axis(flat, best[..., None], -1)[..., 0]
    return (values, _places(node, x.shape, shape, best)) if node.wants(1) else values


def _places(node: Node, full: Sequence[int], shape: Geometry, best: Array) -> Array:
    """Return where in the whole tensor the largest elements of windows lie."""
    spatial = full[2:]
    rank = len(spatial)
    taps = np.unravel_index(best, shape.kernel)
    order = range(rank) if not node.attr("storage_order", 0) else range(rank - 1, -1, -1)
    place = np.zeros_like(best)
    for axis in order:
        along = np.arange(shape.out[axis]).reshape(-1, *[1] * (rank - 1 - axis)) * shape.strides[axis]
        place = place * spatial[axis] + along - shape.begin[axis] + taps[axis] * shape.dilations[axis]
    maps = np.arange(full[0] * full[1]).reshape(full[0], full[1], *[1] * rank)
    return (place + maps * prod(spatial)).astype(np.int64)


@traced("AveragePool")
def average_pool(node: Node, x: Any) -> Any:
    shape = _geometry(node, x)
    counts_padding = bool(node.attr("count_include_pad", 0))
    rank = len(shape.kernel)
    if _is_plain(node, shape) and max(shape.dilations) == 1:
        ceil = _ceils(node)
        return _AVERAGE[rank](x, shape.kernel, shape.strides, shape.begin, ceil, counts_padding)
    return window_sums(x, shape) / _counted(x.shape, shape, counts_padding)


def window_sums(x: Any, shape: Geometry) -> Any:
    """Return the sum of each window, channel by channel."""
    x = _padded(x, shape, 0.0)
    if max(shape.dilations) == 1:
        return _AVERAGE[len(shape.kernel)](x, shape.kernel, shape.strides) * float(prod(shape.kernel))
    channels = x.shape[1]
    ones = np.ones((channels, 1, *shape.kernel), np.float32)
    return convolve(x, ones, None, 0, stride=shape.strides, dilation=shape.dilations, groups=channels)


def _counted(full: Sequence[int], shape: Geometry, counts_padding: bool) -> Array:
    """Return how many elements each window has."""
    inside = np.ones((1, 1, *full[2:]), np.float32)
    if counts_padding:
        asked = tuple(zip(shape.begin, shape.asked_end, strict=True))
        inside = np.pad(inside, [(0, 0), (0, 0), *asked], constant_values=1)
        rest = [end - asked_end for end, asked_end in zip(shape.end, shape.asked_end, strict=True)]
        shape = shape._replace(begin=(0,) * len(rest), end=tuple(rest))
    windows = windows_of(inside, shape, 0.0)
    count: Array = windows.sum(tuple(range(2 + len(shape.kernel), windows.ndim)))
    return np.maximum(count, 1.0).astype(np.float32)


@traced("LpPool")
def lp_pool(node: Node, x: Any) -> Any:
    shape = _geometry(node, x)
    p = float(node.attr("p", 2))
    powers = ops.square(x) if p == 2.0 else ops.pow(ops.abs(x), p)
    total = window_sums(powers, shape)
    return ops.sqrt(ops.relu(total)) if p == 2.0 else ops.pow(total, 1.0 / p)


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, len(x.shape)))


_GLOBAL: dict[int, Any] = {3: ops.adaptive_avg_pool1d, 4: ops.adaptive_avg_pool2d, 5: ops.adaptive_avg_pool3d}


@traced("GlobalAveragePool")
def global_average_pool(node: Node, x: Any) -> Any:
    if x.ndim in _GLOBAL:
        return _GLOBAL[x.ndim](x, 1)
    return ops.mean(x, _spatial(x), True)


@traced("GlobalMaxPool")
def global_max_pool(node: Node, x: Any) -> Any:
    return ops.amax(x, _spatial(x), True)


@traced("GlobalLpPool")
def global_lp_pool(node: Node, x: Any) -> Any:
    p = float(node.attr("p", 2))
    return ops.pow(ops.sum(ops.pow(ops.abs(x), p), _spatial(x), True), 1.0 / p)


@host("MaxUnpool")
def max_unpool(node: Node, x: Array, indices: Array, output_shape: Any = None) -> Array:
    rank = x.ndim - 2
    kernel = node.attr("kernel_shape")
    strides, pads = node.attr("strides", (1,) * rank), node.attr("pads", (0,) * (2 * rank))
    usual = [(x.shape[2 + i] - 1) * strides[i] + kernel[i] - pads[i] - pads[i + rank] for i in range(rank)]
    for extents in ([*x.shape[:2], *usual], () if output_shape is None else output_shape):
        require_result(extents, x.itemsize)
    small = np.zeros((*x.shape[:2], *usual), x.dtype)
    if indices.size and not 0 <= indices.min() <= indices.max() < small.size:
        raise ValueError(f"indices outside the {small.size} elements of the result")
    small.reshape(-1)[indices.reshape(-1)] = x.reshape(-1)
    if output_shape is None:
        return small
    full = np.zeros(tuple(int(n) for n in output_shape), x.dtype)
    full[tuple(slice(0, n) for n in small.shape)] = small
    return full
