# SPDX-License-Identifier: Apache-2.0
"""Sampling at computed places: grid sampling, regions of interest, deformable convolution, columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ... import ops
from ..bounds import require_result
from ..graph import Node
from ..table import host, traced
from .shaping import ints

Array = Any


# -- grids ----------------------------------------------------------------------------------------------


def _reflected(places: Array, low: float, high: float) -> Array:
    span = high - low
    if span <= 0:
        return np.zeros_like(places)
    distance = np.abs(places - low)
    turns, rest = np.floor(distance / span), np.fmod(distance, span)
    return np.where(turns % 2 == 0, low + rest, high - rest)


def _moved(places: Array, extent: int, padding: str, corners: bool) -> Array:
    """Return places where the padding mode moves them to."""
    if padding == "border":
        return np.clip(places, 0, extent - 1)
    if padding == "reflection":
        low, high = (0.0, extent - 1.0) if corners else (-0.5, extent - 0.5)
        return _reflected(places, low, high)
    return places


def _at(x: Array, places: Sequence[Array], padding: str, corners: bool) -> Array:
    """Return elements of one image (channels, spatial...) at whole places; zeros outside."""
    inside = np.ones(places[0].shape, bool)
    index = []
    for place, extent in zip(places, x.shape[1:], strict=True):
        if padding != "zeros":
            place = np.clip(np.rint(_moved(place, extent, padding, corners)), 0, extent - 1)
        inside &= (place >= 0) & (place <= extent - 1)
        index.append(np.clip(place, 0, extent - 1).astype(np.int64))
    chosen = (slice(None), *index)
    return np.where(inside, x[chosen], 0)


def _cubic_weights(part: Array) -> list[Array]:
    a = -0.75

    def near(t: Array) -> Array:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: Array) -> Array:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return [far(1 + part), near(part), near(1 - part), far(2 - part)]


def _taps(place: Array, mode: str) -> list[tuple[Array, Array]]:
    """Return (place, weight) of what is read along one axis."""
    if mode == "nearest":
        return [(np.rint(place), np.ones_like(place))]
    whole = np.floor(place)
    part = place - whole
    if mode == "cubic":
        return [(whole + i - 1, weight) for i, weight in enumerate(_cubic_weights(part))]
    return [(whole, 1 - part), (whole + 1, part)]


@traced("GridSample")
def traced_grid_sample(node: Node, x: Any, grid: Any) -> Any:
    mode = node.attr("mode", "linear")
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    if name == "bicubic" and x.ndim != 4:
        raise ValueError("cubic sampling of volumes is done outside")
    corners = bool(node.attr("align_corners", 0))
    return ops.grid_sample(x, grid, name, node.attr("padding_mode", "zeros"), corners)


@host("GridSample")
def grid_sample(node: Node, x: Array, grid: Array) -> Array:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(m := node.attr("mode", "linear"), m)
    padding = node.attr("padding_mode", "zeros")
    corners = bool(node.attr("align_corners", 0))
    extents = x.shape[2:]
    result = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for image, points, into in zip(x.astype(np.float64), grid.astype(np.float64), result, strict=True):
        places = []
        for i, extent in enumerate(extents):
            unit = points[..., len(extents) - 1 - i]
            place = (unit + 1) / 2 * (extent - 1) if corners else ((unit + 1) * extent - 1) / 2
            places.append(place if mode == "cubic" else _moved(place, extent, padding, corners))
        into[...] = _sampled(image, places, mode, padding, corners)
    return result.astype(x.dtype)


def _sampled(image: Array, places: list[Array], mode: str, padding: str, corners: bool) -> Array:
    by_axis = [_taps(place, mode) for place in places]
    total: Array = 0
    for choice in np.ndindex(*(len(taps) for taps in by_axis)):
        picked = [taps[i] for taps, i in zip(by_axis, choice, strict=True)]
        weight = prod((w for _, w in picked), start=np.ones(()))
        total = total + weight * _at(image, [place for place, _ in picked], padding, corners)
    return total


def _bilinear(image: Array, y: Array, x: Array) -> Array:
    """Return an image (channels, height, width) at places, zero outside."""
    return _sampled(image, [y, x], "linear", "zeros", True)


# -- regions of interest ----------------------------------------------------------------------------------


@host("RoiAlign")
def roi_align(node: Node, x: Array, rois: Array, batch: Array) -> Array:
    height, width = node.attr("output_height", 1), node.attr("output_width", 1)
    half = node.attr("coordinate_transformation_mode", "half_pixel") == "half_pixel" and node.opset >= 16
    offset, scale = (0.5 if half else 0.0), node.attr("spatial_scale", 1.0)
    require_result([len(rois), x.shape[1], height, width], np.dtype(np.float64).itemsize)
    result = np.zeros((len(rois), x.shape[1], height, width))
    for i, (roi, image) in enumerate(zip(rois.astype(np.float64) * scale - offset, ints(batch), strict=True)):
        x1, y1, x2, y2 = roi
        roi_width, roi_height = (x2 - x1, y2 - y1) if half else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        result[i] = _region(
            node, x[image].astype(np.float64), (y1, x1), (roi_height / height, roi_width / width)
        )
    return result.astype(x.dtype)


def _region(node: Node, image: Array, corner: tuple[float, float], bins: tuple[float, float]) -> Array:
    counts = [max(node.attr("sampling_ratio", 0) or int(np.ceil(size)), 1) for size in bins]
    outs = node.attr("output_height", 1), node.attr("output_width", 1)
    require_result([len(image), *counts, *outs], np.dtype(np.float64).itemsize)
    places = []
    for axis in range(2):
        step = (np.arange(counts[axis]) + 0.5) / counts[axis]
        place = corner[axis] + (np.arange(outs[axis])[:, None] + step) * bins[axis]
        places.append(place.reshape(-1))
    y, x = np.meshgrid(*places, indexing="ij")
    height, width = image.shape[1:]
    outside = (y < -1) | (y > height) | (x < -1) | (x > width)
    by_axis = [_taps(np.clip(place, 0, extent - 1), "linear") for place, extent in ((y, height), (x, width))]
    parts = [
        wy * wx * _at(image, [py, px], "zeros", True)
        for (py, wy), (px, wx) in product(by_axis[0], by_axis[1])
    ]
    # The largest is that of the weighted corners, not of their sums: so the operator is defined.
    largest = node.attr("mode", "avg") == "max"
    values = np.where(outside, 0, np.max(parts, 0) if largest else np.sum(parts, 0))
    values = values.reshape(-1, outs[0], counts[0], outs[1], counts[1])
    return values.max((2, 4)) if largest else values.mean((2, 4))


# -- deformable convolution -----------------------------------------------------------------------------


@host("DeformConv")
def deform_conv(node: Node, x: Array, w: Array, offset: Array, bias: Any = None, mask: Any = None) -> Array:
    if x.ndim != 4:
        raise ValueError(f"expected images (batch, channels, height, width), got {x.shape}")
    kernel = node.attr("kernel_shape", w.shape[2:])
    strides, dilations = node.attr("strides", (1, 1)), node.attr("dilations", (1, 1))
    pads, groups = node.attr("pads", (0, 0, 0, 0)), node.attr("group", 1)
    own = node.attr("offset_group", 1)
    outs = offset.shape[2:]
    taps = kernel[0] * kernel[1]
    shifts = offset.reshape(len(x), own, taps, 2, *outs).astype(np.float64)
    each = x.shape[1] // own
    columns = np.zeros((len(x), x.shape[1], taps, *outs))
    rows = np.arange(outs[0])[:, None] * strides[0] - pads[0]
    across = np.arange(outs[1]) * strides[1] - pads[1]
    for n, g, tap in np.ndindex(len(x), own, taps):
        ky, kx = divmod(tap, kernel[1])
        y = rows + ky * dilations[0] + shifts[n, g, tap, 0]
        z = across + kx * dilations[1] + shifts[n, g, tap, 1]
        part = _bilinear(x[n, g * each : (g + 1) * each].astype(np.float64), y, z)
        if mask is not None:
            part = part * mask.reshape(len(x), own, taps, *outs)[n, g, tap]
        columns[n, g * each : (g + 1) * each, tap] = part
    grouped = columns.reshape(len(x), groups, -1, *outs)
    weights = w.reshape(groups, w.shape[0] // groups, -1).astype(np.float64)
    result = np.einsum("gok,ngkhw->ngohw", weights, grouped).reshape(len(x), -1, *outs)
    if bias is not None:
        result = result + bias.reshape(-1, 1, 1)
    return result.astype(x.dtype)


# -- columns ----------------------------------------------------------------------------------------------


@host("Col2Im")
def col2im(node: Node, x: Array, image: Array, block: Array) -> Array:
    extents, kernel = ints(image), ints(block)
    rank = len(extents)
    strides, dilations = node.attr("strides", (1,) * rank), node.attr("dilations", (1,) * rank)
    pads = node.attr("pads", (0,) * (2 * rank))
    padded = [extents[i] + pads[i] + pads[i + rank] for i in range(rank)]
    outs = [(padded[i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    channels = x.shape[1] // prod(kernel)
    columns = x.reshape(len(x), channels, prod(kernel), *outs)
    require_result([len(x), channels, *padded], x.itemsize)
    total = np.zeros((len(x), channels, *padded), x.dtype)
    for number, tap in enumerate(np.ndindex(*kernel)):
        window = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, outs, strides, strict=True)
        )
        chosen = (slice(None), slice(None), *window)
        total[chosen] += columns[:, :, number]
    inner = (slice(None), slice(None), *(slice(pads[i], pads[i] + extents[i]) for i in range(rank)))
    return total[inner]


# -- boxes ------------------------------------------------------------------------------------------------


def _corners(node: Node, boxes: Array) -> Array:
    """Return boxes as (y1, x1, y2, x2) with the smaller corner first."""
    if node.attr("center_point_box", 0):
        x, y, w, h = boxes.T
        return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 1)
    y1, x1, y2, x2 = boxes.T
    return np.stack([np.minimum(y1, y2), np.minimum(x1, x2), np.maximum(y1, y2), np.maximum(x1, x2)], 1)


def _overlaps(box: Array, others: Array) -> Array:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), 1)
    area = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], 1) - common
    return np.where(area > 0, common / np.where(area > 0, area, 1), 0)


@host("NonMaxSuppression")
def non_max_suppression(
    node: Node, boxes: Array, scores: Array, most: Any = None, iou: Any = None, least: Any = None
) -> Array:
    limit = 0 if most is None else ints(most)[0]
    threshold = 0.0 if iou is None else float(np.asarray(iou).reshape(-1)[0])
    found: list[tuple[int, int, int]] = []
    for image, of_image in enumerate(boxes):
        corners = _corners(node, of_image.astype(np.float64))
        for kind, values in enumerate(scores[image]):
            order = np.argsort(-values, kind="stable")
            if least is not None:
                order = order[values[order] > np.asarray(least).reshape(-1)[0]]
            kept = 0
            while order.size and kept < limit:
                best, order = order[0], order[1:]
                found.append((image, kind, int(best)))
                kept += 1
                order = order[_overlaps(corners[best], corners[order]) <= threshold]
    return np.array(found, np.int64).reshape(-1, 3)
