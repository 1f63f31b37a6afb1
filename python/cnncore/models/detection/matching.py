# SPDX-License-Identifier: Apache-2.0
"""Boxes as numbers that a network gives, and which of them belong to which objects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops

Weights = tuple[float, float, float, float]

_LARGEST = math.log(1000 / 16)
"""Logarithm of the largest growth of a box."""

_BITS = 16


def column(boxes: Any, number: int) -> Any:
    """Return one coordinate of boxes (..., 4) as (..., 1)."""
    return boxes[..., number : number + 1]


def _centred(boxes: Any) -> tuple[Any, Any, Any, Any]:
    """Return centres and extents of boxes (x1, y1, x2, y2)."""
    width, height = column(boxes, 2) - column(boxes, 0), column(boxes, 3) - column(boxes, 1)
    return column(boxes, 0) + 0.5 * width, column(boxes, 1) + 0.5 * height, width, height


def encode(boxes: Any, anchors: Any, weights: Weights) -> Any:
    """Return (..., 4) numbers that `decode` turns into `boxes` beside `anchors`.

    >>> boxes, anchors = np.array([[1.0, 2.0, 5.0, 4.0]]), np.array([[0.0, 0.0, 4.0, 4.0]])
    >>> encode(boxes, anchors, (1.0, 1.0, 1.0, 1.0)).round(3).tolist()
    [[0.25, 0.25, 0.0, -0.6930000185966492]]
    """
    x, y, width, height = _centred(boxes)
    ax, ay, awidth, aheight = _centred(anchors)
    wx, wy, ww, wh = weights
    parts = [
        wx * (x - ax) / awidth,
        wy * (y - ay) / aheight,
        ww * ops.log(width / awidth),
        wh * ops.log(height / aheight),
    ]
    return ops.concat(parts, dim=-1)


def decode(codes: Any, anchors: Any, weights: Weights) -> Any:
    """Return the boxes (..., 4) that numbers (..., 4) say beside anchors.

    >>> anchors = np.array([[0.0, 0.0, 4.0, 4.0]], np.float32)
    >>> decode(np.float32([[0.25, 0.25, 0.0, 0.0]]), anchors, (1.0, 1.0, 1.0, 1.0)).tolist()
    [[1.0, 1.0, 5.0, 5.0]]
    """
    ax, ay, awidth, aheight = _centred(anchors)
    wx, wy, ww, wh = weights
    x, y = column(codes, 0) / wx * awidth + ax, column(codes, 1) / wy * aheight + ay
    half_width = 0.5 * (ops.exp(ops.clamp(column(codes, 2) / ww, max=_LARGEST)) * awidth)
    half_height = 0.5 * (ops.exp(ops.clamp(column(codes, 3) / wh, max=_LARGEST)) * aheight)
    return ops.concat([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def clip(boxes: Any, size: Any) -> Any:
    """Cut boxes (..., 4) off at an image's borders; `size` is (2,): height and width."""
    limits = ops.concat([size[1:2], size[0:1], size[1:2], size[0:1]], dim=0)
    return ops.minimum(ops.maximum(boxes, 0.0), limits)


def large(boxes: Any, least: float) -> Any:
    """Return whether boxes (count, 4) are at least that wide and high, (count,)."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return ops.logical_and(width >= least, height >= least)


def overlaps(objects: Any, labels: Any, boxes: Any) -> Any:
    """Return the IoU of objects (objects, 4) and boxes (boxes, 4); -1 for label 0, which is no object."""
    real = ops.reshape(labels > 0, (-1, 1))
    return ops.where(real, ops.box_iou(objects, boxes), -1.0)


def match(quality: Any, low: float, high: float, keep_best: bool) -> tuple[Any, Any]:
    """Return the best object of each box, (boxes,), and whether it is matched: 1, 0 (no) or -1 (in between).

    Args:
        quality: `overlaps`.
        low, high: a box is matched from `high` on, and not below `low`.
        keep_best: whether the boxes that overlap an object most are matched, however little.
    """
    values, objects = ops.max(quality, 0)
    matched = ops.where(values >= high, 1.0, ops.where(values < low, 0.0, -1.0))
    if keep_best:
        most = ops.amax(quality, 1, keepdim=True)
        best = ops.any(ops.logical_and(quality == most, most > -0.5), 0)
        matched = ops.where(best, 1.0, matched)
    return objects, matched


def match_each(quality: Any, threshold: float) -> tuple[Any, Any]:
    """As `match`, where each object has the box that overlaps it most, too, whatever that overlaps else."""
    objects, matched = match(quality, threshold, threshold, False)
    count, boxes = quality.shape
    first = ops.reshape(ops.argmax(quality, 1), (count, 1)) == np.arange(boxes).reshape(1, boxes)
    real = ops.amax(quality, 1, keepdim=True) > -0.5
    own = ops.where(ops.logical_and(first, real), np.arange(count).reshape(count, 1), -1)
    last = ops.amax(own, 0)
    return ops.where(last >= 0, last, objects), ops.where(last >= 0, 1.0, matched)


def random_order(chosen: Any) -> Any:
    """Return ranks (count,) in random order, where elements that `chosen` is false for are last."""
    bits = ops.dropout(np.ones((_BITS, chosen.shape[0]), np.float32), 0.5, True)
    keys = ops.sum((bits > 0) * np.exp2(-np.arange(1.0, _BITS + 1)).astype(np.float32).reshape(-1, 1), 0)
    return rank(ops.where(chosen, keys, -1.0))


def rank(values: Any) -> Any:
    """Return the place of each value when they fall, along the last axis."""
    return ops.argsort(ops.argsort(values, -1, descending=True, stable=True), -1, stable=True)


def sample(matched: Any, count: int, positive_fraction: float) -> tuple[Any, Any]:
    """Return masks (boxes,) of random matched and unmatched boxes, `count` together where there are enough.

    Args:
        matched: 1, 0 or -1 (neither), (boxes,).
        positive_fraction: the largest part of matched ones.
    """
    positive, negative = matched > 0.5, ops.logical_and(matched > -0.5, matched < 0.5)
    most = int(count * positive_fraction)
    positive = ops.logical_and(positive, random_order(positive) < most)
    others = count - ops.sum(ops.where(positive, 1.0, 0.0))
    return positive, ops.logical_and(negative, random_order(negative) < others)


def best(boxes: Any, scores: Any, groups: Any, threshold: float, count: int) -> tuple[Any, Any, Any]:
    """Return `count` boxes, scores and groups without those that overlap with better ones of their group.

    Args:
        boxes: (candidates, 4).
        scores: (candidates,); below 0 where there is no candidate.
        groups: (candidates,) integers.
        threshold: the largest IoU of boxes of a group.

    Returns:
        (count, 4), (count,) and (count,), by falling score; zeros where there are fewer.
    """
    kept = ops.batched_nms(boxes, scores, groups, threshold, max_output=count)
    places = ops.clamp(kept, min=0)
    found = ops.index_select(scores, 0, places)
    real = ops.logical_and(kept >= 0, found >= 0)
    return (
        ops.where(ops.reshape(real, (-1, 1)), ops.index_select(boxes, 0, places), 0.0),
        ops.where(real, found, 0.0),
        ops.where(real, ops.index_select(groups, 0, places), 0),
    )
