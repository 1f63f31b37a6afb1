# SPDX-License-Identifier: Apache-2.0
"""Resize and Upsample in all modes: each axis reads some elements for each element of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ..bounds import require_result
from ..graph import Node
from ..table import host, traced
from .shaping import axis_of, ints

Array = Any


class Axis(NamedTuple):
    """How one axis is resized: where elements of the result lie in the input, what they read, with which
    weights, both (result, taps), and which of them lie outside of it."""

    axis: int
    extent: int
    places: Array
    indices: Array
    weights: Array
    outside: Array


# -- what is asked for ----------------------------------------------------------------------------------


class Request(NamedTuple):
    axes: tuple[int, ...]
    extents: tuple[int, ...]
    scales: tuple[float, ...]
    roi: tuple[float, ...]


def _request(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> Request:
    if node.op == "Upsample" or node.opset < 11:
        given = node.attr("scales") if node.opset < 9 else rest[0]
        roi, scales, sizes = None, given, None
    else:
        roi, scales, sizes = (*rest, None, None, None)[:3]
    axes = tuple(axis_of(axis, len(shape)) for axis in node.attr("axes", range(len(shape))))
    if scales is not None and np.size(scales):
        factors = [float(s) for s in np.asarray(scales).reshape(-1)]
        if len(factors) != len(axes) or min(factors) <= 0:
            raise ValueError(f"expected {len(axes)} positive scales, got {factors}")
        extents = [int(np.floor(shape[a] * f)) for a, f in zip(axes, factors, strict=True)]
    elif sizes is not None and np.size(sizes):
        extents = list(ints(sizes))
        if len(extents) != len(axes):
            raise ValueError(f"expected {len(axes)} sizes, got {extents}")
        factors = [n / shape[a] for a, n in zip(axes, extents, strict=True)]
        policy = node.attr("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            extents = [int(np.floor(shape[a] * factor + 0.5)) for a in axes]
    else:
        raise ValueError("expected scales or sizes")
    if min(extents) < 1:
        raise ValueError(f"cannot resize shape {tuple(shape)} to {extents}")
    resized = dict(zip(axes, extents, strict=True))
    require_result([resized.get(axis, extent) for axis, extent in enumerate(shape)])
    corners = (0.0,) * len(axes) + (1.0,) * len(axes)
    if roi is not None and np.size(roi) == 2 * len(axes):
        corners = tuple(float(v) for v in np.asarray(roi).reshape(-1))
    return Request(axes, tuple(extents), tuple(factors), corners)


def _places(transform: str, extent: int, out: int, scale: float, start: float, end: float) -> Array:
    """Return where in the input each element of the result lies."""
    x = np.arange(out, dtype=np.float64)
    if transform == "asymmetric":
        return x / scale
    if transform == "align_corners":
        # The whole extent of the result may have a fraction, which is cut off.
        return x * ((extent - 1) / (scale * extent - 1)) if out > 1 else np.zeros(1)
    if transform == "tf_half_pixel_for_nn":
        return (x + 0.5) / scale
    if transform == "tf_crop_and_resize":
        if out == 1:
            return np.array([0.5 * (start + end) * (extent - 1)])
        return start * (extent - 1) + x * (end - start) * (extent - 1) / (out - 1)
    if transform == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    places = (x + 0.5) / scale - 0.5
    if transform == "half_pixel_symmetric":
        places += extent / 2 * (1 - out / (scale * extent))
    return places


# -- what is read ---------------------------------------------------------------------------------------


def _nearest(places: Array, mode: str) -> Array:
    whole = np.floor(places)
    part = places - whole
    up = {
        "floor": np.zeros_like(part, bool),
        "ceil": part > 0,
        "round_prefer_ceil": part >= 0.5,
        "round_prefer_floor": part > 0.5,
    }[mode]
    return (whole + up).astype(np.int64)[:, None]


def _triangle(x: Array) -> Array:
    return np.clip(1 - np.abs(x), 0, 1)


def _cubic(a: float) -> Callable[[Array], Array]:
    def weigh(x: Array) -> Array:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return weigh


def _taps(node: Node, extent: int, places: Array, scale: float) -> tuple[Array, Array]:
    mode = node.attr("mode", "nearest")
    if mode == "nearest":
        default = "round_prefer_floor" if node.op == "Resize" and node.opset >= 11 else "floor"
        indices = _nearest(places, node.attr("nearest_mode", default))
        return np.clip(indices, 0, extent - 1), np.ones(indices.shape)
    reach = 2 if mode == "cubic" else 1
    weigh = _cubic(node.attr("cubic_coeff_a", -0.75)) if mode == "cubic" else _triangle
    narrow = min(scale, 1.0) if node.attr("antialias", 0) else 1.0
    first = int(np.floor(-reach / narrow)) + 1
    before = np.ceil(places) - 1
    indices = before[:, None] + np.arange(first, 2 - first)
    weights = weigh((indices - places[:, None]) * narrow)
    if node.attr("exclude_outside", 0):
        weights = np.where((indices < 0) | (indices >= extent), 0.0, weights)
    weights = weights / weights.sum(1, keepdims=True)
    return np.clip(indices, 0, extent - 1).astype(np.int64), weights


def _axes(node: Node, shape: Sequence[int], rest: Sequence[Any]) -> list[Axis]:
    request = _request(node, shape, rest)
    old = node.op == "Upsample" or node.opset < 11
    transform = "asymmetric" if old else node.attr("coordinate_transformation_mode", "half_pixel")
    count = len(request.axes)
    found = []
    for i, axis in enumerate(request.axes):
        extent, out, scale = shape[axis], request.extents[i], request.scales[i]
        if extent == out and scale == 1.0 and transform != "tf_crop_and_resize":
            continue
        places = _places(transform, extent, out, scale, request.roi[i], request.roi[i + count])
        indices, weights = _taps(node, extent, places, scale)
        outside = (
            (places < 0) | (places > extent - 1) if transform == "tf_crop_and_resize" else places != places
        )
        found.append(Axis(axis, out, places, indices, weights, outside))
    return found


# -- results ----------------------------------------------------------------------------------------------


@host("Resize", "Upsample")
def host_resize(node: Node, x: Array, *rest: Any) -> Array:
    result = x.astype(np.float64)
    axes = _axes(node, x.shape, rest)
    for axis in axes:
        shape = [1] * x.ndim
        shape[axis.axis] = axis.extent
        result = sum(
            np.take(result, axis.indices[:, t], axis.axis) * axis.weights[:, t].reshape(shape)
            for t in range(axis.indices.shape[1])
        )
    result = np.where(_outside(axes, x.ndim), node.attr("extrapolation_value", 0.0), result)
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(x.dtype)


def _outside(axes: Sequence[Axis], rank: int) -> Array:
    found = np.zeros((1,) * rank, bool)
    for axis in axes:
        shape = [1] * rank
        shape[axis.axis] = axis.extent
        found = found | axis.outside.reshape(shape)
    return found


@traced("Resize", "Upsample", static=(1, 2, 3))
def resize(node: Node, x: Any, *rest: Any) -> Any:
    axes = _axes(node, x.shape, rest)
    native = _native(node, x, axes)
    if native is not None:
        return native
    for axis in axes:
        x = _resized(x, axis)
    outside = _outside(axes, x.ndim)
    if outside.any():
        kept = np.broadcast_to(outside, x.shape)
        return ops.where(np.ascontiguousarray(kept), float(node.attr("extrapolation_value", 0.0)), x)
    return x


def _resized(x: Any, axis: Axis) -> Any:
    shape = [1] * x.ndim
    shape[axis.axis] = axis.extent
    total = None
    for t in range(axis.indices.shape[1]):
        weights = axis.weights[:, t].astype(np.float32)
        if not weights.any():
            continue
        part = ops.index_select(x, axis.axis, axis.indices[:, t])
        if not (weights == 1.0).all():
            part = part * weights.reshape(shape)
        total = part if total is None else total + part
    return total


_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def _native(node: Node, x: Any, axes: Sequence[Axis]) -> Any:
    """Resize by `ops.interpolate` where that means the same, else return None."""
    spatial = range(2, x.ndim)
    if not axes or any(a.axis < 2 or a.outside.any() for a in axes) or x.ndim not in _LINEAR:
        return None
    by_axis = {axis.axis: axis for axis in axes}
    size = tuple(by_axis[i].extent if i in by_axis else x.shape[i] for i in spatial)
    mode = node.attr("mode", "nearest")
    if mode == "nearest":
        if all(_reads_floor(axis, x.shape[axis.axis]) for axis in axes):
            return ops.interpolate(x, size, mode="nearest")
        return None
    if node.attr("antialias", 0) or node.attr("exclude_outside", 0):
        return None
    if mode == "cubic" and (x.ndim != 4 or node.attr("cubic_coeff_a", -0.75) != -0.75):
        return None
    name = "bicubic" if mode == "cubic" else _LINEAR[x.ndim]
    for corners in (False, True):
        if all(_lies(axis, x.shape[axis.axis], corners) for axis in axes):
            return ops.interpolate(x, size, mode=name, align_corners=corners)
    return None


def _reads_floor(axis: Axis, extent: int) -> bool:
    return bool((axis.indices[:, 0] == np.arange(axis.extent) * extent // axis.extent).all())


def _lies(axis: Axis, extent: int, corners: bool) -> bool:
    transform = "align_corners" if corners else "half_pixel"
    usual = _places(transform, extent, axis.extent, axis.extent / extent, 0.0, 1.0)
    return bool(np.allclose(axis.places, usual, rtol=0, atol=1e-6))
