# SPDX-License-Identifier: Apache-2.0
"""Boxes and pooled regions of images, one pair, bin and sample after the other."""

from __future__ import annotations

from math import atan, ceil, floor, pi
from typing import Any

import numpy as np

from .arrays import Array, float64


def kept(boxes: Any, scores: Any, threshold: float, groups: Any = None) -> list[int]:
    """Indices of boxes that stay: float32 arithmetic, as the threshold decides on it."""
    boxes = np.asarray(boxes, np.float32)
    found: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        clear = True
        for j in found:
            if groups is not None and groups[i] != groups[j]:
                continue
            sides = np.maximum(
                np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2]), 0
            )
            areas = [np.prod(box[2:] - box[:2]) for box in (boxes[j], boxes[i])]
            inter = sides[0] * sides[1]
            clear = clear and not inter / (areas[0] + areas[1] - inter) > threshold
        if clear:
            found.append(i)
    return found


def _length(first: Any, second: Any, axis: int, around: bool) -> float:
    lows, highs = (first[axis], second[axis]), (first[axis + 2], second[axis + 2])
    return max(max(highs) - min(lows) if around else min(highs) - max(lows), 0.0)


def overlap(a: Any, b: Any, kind: str, eps: float = 0.0) -> float:
    """IoU, or its generalized, distance or complete form, of two boxes; `eps` is added to areas, too."""
    inter = _length(a, b, 0, False) * _length(a, b, 1, False)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    iou = inter / (union + eps)
    across, down = _length(a, b, 0, True), _length(a, b, 1, True)
    if kind == "generalized":
        return float(iou - (across * down - union) / (across * down + eps))
    if kind in ("distance", "complete"):
        centers = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
        distance = centers / (across**2 + down**2 + 1e-7)
        if kind == "distance":
            return float(iou - distance)
        angles = [atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
        v = 4 / pi**2 * (angles[0] - angles[1]) ** 2
        return float(iou - distance - v * v / (1 - iou + v + 1e-7))
    return float(iou)


def pairs(a: Any, b: Any, kind: str) -> Array:
    return np.array([[overlap(x, y, kind) for y in float64(b)] for x in float64(a)])


def corners(boxes: Any, fmt: str) -> Array:
    a, b, c, d = np.moveaxis(float64(boxes), -1, 0)
    if fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif fmt == "cxcywh":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return np.stack([a, b, c, d], -1)


def converted(boxes: Any, source: str, target: str) -> Array:
    a, b, c, d = np.moveaxis(corners(boxes, source), -1, 0)
    if target == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif target == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return np.stack([a, b, c, d], -1)


def _bilinear(image: Array, y: float, x: float) -> Array:
    """The channels of (C, H, W) at a place; 0 beyond a pixel outside."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    i, j = floor(y), floor(x)
    below, right = min(i + 1, height - 1), min(j + 1, width - 1)
    upper = (1 - x + j) * image[:, i, j] + (x - j) * image[:, i, right]
    lower = (1 - x + j) * image[:, below, j] + (x - j) * image[:, below, right]
    return (1 - y + i) * upper + (y - i) * lower


def roi_align(
    x: Any,
    rois: Any,
    bins: tuple[int, int],
    scale: float = 1.0,
    samples: int = -1,
    aligned: bool = False,
    by_bin: bool = False,
) -> Array:
    x, rois = float64(x), float64(rois)
    channels = x.shape[1] // (bins[0] * bins[1]) if by_bin else x.shape[1]
    result = np.zeros((len(rois), channels, *bins))
    for k, (image, *box) in enumerate(rois):
        left, top, right, bottom = (n * scale - (0.5 if aligned else 0.0) for n in box)
        sizes = (bottom - top, right - left)
        each = [(n if aligned else max(n, 1.0)) / count for n, count in zip(sizes, bins, strict=True)]
        counts = [samples if samples > 0 else max(ceil(n), 0) for n in each]
        for row, column in np.ndindex(*bins):
            source = x[int(image)]
            if by_bin:
                source = source.reshape(channels, bins[0] * bins[1], *source.shape[1:])[
                    :, row * bins[1] + column
                ]
            for i, j in np.ndindex(*counts):
                y = top + (row + (i + 0.5) / counts[0]) * each[0]
                place = left + (column + (j + 0.5) / counts[1]) * each[1]
                result[k, :, row, column] += _bilinear(source, y, place) / (counts[0] * counts[1])
    return result


def _rounded(value: float) -> int:
    return floor(value + 0.5) if value >= 0 else ceil(value - 0.5)


def roi_bins(x: Any, rois: Any, bins: tuple[int, int], scale: float, by_bin: bool) -> Array:
    """The largest values of bins, or with `by_bin` the means of bins with channels of their own."""
    x, rois = float64(x), float64(rois)
    channels = x.shape[1] // (bins[0] * bins[1]) if by_bin else x.shape[1]
    result = np.zeros((len(rois), channels, *bins))
    for k, (image, *box) in enumerate(rois):
        left, top, right, bottom = (_rounded(n * scale) for n in box)
        sizes = (max(bottom - top + (not by_bin), 1), max(right - left + (not by_bin), 1))
        for row, column in np.ndindex(*bins):
            spans = []
            for start, n, bin_, count, extent in zip(
                (top, left), sizes, (row, column), bins, x.shape[2:], strict=True
            ):
                ends = start + n * bin_ // count, start - (-n * (bin_ + 1) // count)
                spans.append(slice(*(min(max(end, 0), extent) for end in ends)))
            part = x[(int(image), slice(None), *spans)]
            if by_bin:
                part = part.reshape(channels, bins[0] * bins[1], *part.shape[1:])[:, row * bins[1] + column]
            if part.size:
                result[k, :, row, column] = part.mean((1, 2)) if by_bin else part.max((1, 2))
    return result


def deform_conv2d(
    x: Any,
    offset: Any,
    weight: Any,
    bias: Any = None,
    mask: Any = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Array:
    """Every tap of every output pixel reads between pixels of the image in a frame of zeros."""
    x, offset, weight = float64(x), float64(offset), float64(weight)
    outputs, _, *kernel = weight.shape
    taps = kernel[0] * kernel[1]
    count = offset.shape[1] // (2 * taps)
    groups = x.shape[1] // weight.shape[1]
    moves = offset.reshape(len(x), count, taps, 2, *offset.shape[2:])
    factors = (
        np.ones(moves[:, :, :, 0].shape) if mask is None else float64(mask).reshape(moves[:, :, :, 0].shape)
    )
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    met = np.zeros((*x.shape[:2], taps, *offset.shape[2:]))
    images, rows, columns = np.ogrid[: len(x), : met.shape[3], : met.shape[4]]
    for channel, tap in np.ndindex(x.shape[1], taps):
        own = channel // (x.shape[1] // count)
        y = rows * stride - padding + tap // kernel[1] * dilation + moves[:, own, tap, 0] + 1
        place = columns * stride - padding + tap % kernel[1] * dilation + moves[:, own, tap, 1] + 1
        for i, j in np.ndindex(2, 2):
            row, column = np.floor(y).astype(int) + i, np.floor(place).astype(int) + j
            near = (1 - np.abs(y - row)) * (1 - np.abs(place - column))
            at = [
                np.clip(n, 0, extent - 1) for n, extent in zip((row, column), framed.shape[2:], strict=True)
            ]
            met[:, channel, tap] += near * framed[images, channel, at[0], at[1]] * factors[:, own, tap]
    grouped = met.reshape(len(x), groups, -1, *met.shape[3:])
    filters = weight.reshape(groups, outputs // groups, -1)
    y = np.einsum("goc,ngchw->ngohw", filters, grouped).reshape(len(x), outputs, *met.shape[3:])
    return y if bias is None else y + float64(bias)[:, None, None]
