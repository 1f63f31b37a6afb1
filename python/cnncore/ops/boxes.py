# SPDX-License-Identifier: Apache-2.0
"""Boxes: conversions, areas, overlaps of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, is_tracing, shape_error
from .arithmetic import maximum, minimum
from .arrange import stack
from .build import cast, elementwise, reshape_to, window, with_layout
from .check import float_tensor, integers, real
from .comparison import where
from .detach import detach
from .elementary import atan
from .reduce import any as any_of
from .rounding import clamp
from .sort import amax, amin

__all__ = [
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "masks_to_boxes",
    "remove_small_boxes",
]

Columns = tuple[Any, Any, Any, Any]

_FORMATS = ("xyxy", "xywh", "cxcywh")


def box_tensor(boxes: Any, op: str, what: str = "boxes") -> Tensor:
    """Return boxes (..., 4) as a float32 tensor in C order."""
    x = float_tensor(boxes, op)
    if x.ndim < 1 or x.shape[-1] != 4:
        raise shape_error(op, f"expected {what} (..., 4), got {x.shape}")
    return with_layout(x, Layout.C)


def _check_format(fmt: Any, name: str, op: str) -> None:
    if fmt not in _FORMATS:
        raise shape_error(op, f"expected {name} {', '.join(map(repr, _FORMATS))}, got {fmt!r}")


def columns(boxes: Tensor, shape: Shape | None = None) -> Columns:
    """Return the four numbers of boxes (..., 4), each of shape (...) or of the one given."""
    lead = boxes.shape[:-1]
    starts = ((0,) * len(lead), (1,) * boxes.ndim, (*lead, 1))
    found = [window(boxes, (*starts[0], i), *starts[1:]) for i in range(4)]
    first, second, third, fourth = (reshape_to(x, lead if shape is None else shape, Layout.C) for x in found)
    return first, second, third, fourth


def _corners(box: Columns, fmt: str) -> Columns:
    """Return (x1, y1, x2, y2)."""
    a, b, c, d = box
    if fmt == "xywh":
        return a, b, a + c, b + d
    if fmt == "cxcywh":
        return a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    return box


@operator("boxes")
def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Tensor:
    """Return boxes in another format.

    Args:
        boxes: (..., 4).
        in_fmt: "xyxy" (two corners), "xywh" (upper left corner, width, height) or "cxcywh" (center, width,
            height).
        out_fmt: likewise.

    Raises:
        ValueError: an unknown format.

    >>> from cnncore import ops
    >>> ops.box_convert([[1.0, 2.0, 5.0, 4.0]], "xyxy", "cxcywh").tolist()
    [[3.0, 3.0, 4.0, 2.0]]
    """
    op = "box_convert"
    x = box_tensor(boxes, op)
    _check_format(in_fmt, "in_fmt", op)
    _check_format(out_fmt, "out_fmt", op)
    if in_fmt == out_fmt:
        return x
    left, top, right, bottom = _corners(columns(x), in_fmt)
    numbers: Sequence[Any] = (left, top, right, bottom)
    if out_fmt == "xywh":
        numbers = (left, top, right - left, bottom - top)
    elif out_fmt == "cxcywh":
        numbers = ((left + right) * 0.5, (top + bottom) * 0.5, right - left, bottom - top)
    converted: Tensor = stack(numbers, -1)
    return converted


def _area(box: Columns, fmt: str) -> Any:
    a, b, c, d = box
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


@operator("boxes")
def box_area(boxes: Any, fmt: str = "xyxy") -> Tensor:
    """Return the areas (...) of boxes (..., 4) in format "xyxy", "xywh" or "cxcywh".

    Raises:
        ValueError: boxes that are no (..., 4), or an unknown format.

    >>> from cnncore import ops
    >>> ops.box_area([[1.0, 2.0, 5.0, 4.0]]).tolist()
    [8.0]
    """
    op = "box_area"
    _check_format(fmt, "fmt", op)
    area: Tensor = _area(columns(box_tensor(boxes, op)), fmt)
    return area


def _pairs(op: str, boxes1: Any, boxes2: Any) -> tuple[Columns, Columns]:
    """Return the columns of boxes (..., N, 4) and (..., M, 4) as (..., N, 1) and (..., 1, M)."""
    a, b = box_tensor(boxes1, op, "boxes1"), box_tensor(boxes2, op, "boxes2")
    if a.ndim < 2 or b.ndim != a.ndim or a.shape[:-2] != b.shape[:-2]:
        raise shape_error(
            op,
            f"expected boxes1 (..., N, 4) and boxes2 (..., M, 4) of one batch, got {a.shape} and {b.shape}",
        )
    return columns(a, (*a.shape[:-1], 1)), columns(b, (*b.shape[:-2], 1, b.shape[-2]))


def shared(low: Any, high: Any, other_low: Any, other_high: Any) -> Any:
    """Return the length of what two stretches share."""
    return elementwise("max_scalar", minimum(high, other_high) - maximum(low, other_low), alpha=0.0)


def hull(low: Any, high: Any, other_low: Any, other_high: Any) -> Any:
    """Return the length from the begin of the first of two stretches to the end of the last."""
    return elementwise("max_scalar", maximum(high, other_high) - minimum(low, other_low), alpha=0.0)


def _overlap(a: Columns, b: Columns, areas: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return intersection and union of boxes by their corners."""
    inter = shared(a[0], a[2], b[0], b[2]) * shared(a[1], a[3], b[1], b[3])
    return inter, areas[0] + areas[1] - inter


@operator("boxes1", "boxes2")
def box_iou(boxes1: Any, boxes2: Any, fmt: str = "xyxy") -> Tensor:
    """Return the intersection over the union of all pairs of boxes.

    Args:
        boxes1: (..., N, 4).
        boxes2: (..., M, 4).
        fmt: "xyxy", "xywh" or "cxcywh".

    Returns:
        (..., N, M); NaN for two boxes without area.

    Raises:
        ValueError: boxes that are no (..., 4), or an unknown format.

    >>> from cnncore import ops
    >>> ops.box_iou([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0], [4.0, 4.0, 5.0, 5.0]]).round(4).tolist()
    [[0.33329999446868896, 0.0]]
    """
    op = "box_iou"
    _check_format(fmt, "fmt", op)
    a, b = _pairs(op, boxes1, boxes2)
    inter, union = _overlap(_corners(a, fmt), _corners(b, fmt), (_area(a, fmt), _area(b, fmt)))
    iou: Tensor = inter / union
    return iou


@operator("boxes1", "boxes2")
def generalized_box_iou(boxes1: Any, boxes2: Any) -> Tensor:
    """Return the generalized IoU of all pairs of boxes (Rezatofighi et al., 2019).

    It is the IoU minus the share of the smallest box around both that neither of them covers.

    Args:
        boxes1: (..., N, 4) of (x1, y1, x2, y2).
        boxes2: (..., M, 4).

    Returns:
        (..., N, M).

    Raises:
        ValueError: boxes that are no (..., 4), or an `eps` below 0.

    >>> from cnncore import ops
    >>> ops.generalized_box_iou([[0.0, 0.0, 1.0, 1.0]], [[3.0, 0.0, 4.0, 1.0]]).tolist()
    [[-0.5]]
    """
    a, b = _pairs("generalized_box_iou", boxes1, boxes2)
    inter, union = _overlap(a, b, (_area(a, "xyxy"), _area(b, "xyxy")))
    around = hull(a[0], a[2], b[0], b[2]) * hull(a[1], a[3], b[1], b[3])
    giou: Tensor = inter / union - (around - union) / around
    return giou


def far_apart(a: Columns, b: Columns, eps: float) -> Any:
    """Return the squared distance of centers over the squared diagonal of the box around both, plus eps."""
    across, down = hull(a[0], a[2], b[0], b[2]), hull(a[1], a[3], b[1], b[3])
    x = ((a[0] + a[2]) - (b[0] + b[2])) * 0.5
    y = ((a[1] + a[3]) - (b[1] + b[3])) * 0.5
    return (x * x + y * y) / (across * across + down * down + eps)


def shape_penalty(a: Columns, b: Columns, iou: Any, eps: float) -> Any:
    """Return how much the ratios of the sides differ, weighted by the overlap."""
    angles = [atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    off = angles[0] - angles[1]
    v = off * off * (4 / pi**2)
    return detach(v / (1 - iou + v + eps)) * v


@operator("boxes1", "boxes2")
def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Tensor:
    """Return the distance IoU of all pairs of boxes (Zheng et al., 2020).

    It is the IoU minus the squared distance of the centers over the squared diagonal of the box around both.

    Args:
        boxes1: (..., N, 4) of (x1, y1, x2, y2).
        boxes2: (..., M, 4).
        eps: added to the squared diagonal.

    Returns:
        (..., N, M).

    Raises:
        ValueError: boxes that are no (..., 4), or an `eps` below 0.

    >>> from cnncore import ops
    >>> ops.distance_box_iou([[0.0, 0.0, 1.0, 1.0]], [[1.0, 0.0, 2.0, 1.0]]).round(4).tolist()
    [[-0.20000000298023224]]
    """
    op = "distance_box_iou"
    a, b = _pairs(op, boxes1, boxes2)
    inter, union = _overlap(a, b, (_area(a, "xyxy"), _area(b, "xyxy")))
    diou: Tensor = inter / union - far_apart(a, b, real(eps, "eps", op, 0))
    return diou


@operator("boxes1", "boxes2")
def complete_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Tensor:
    """Return the complete IoU of all pairs of boxes (Zheng et al., 2020).

    It is the distance IoU minus a penalty for different ratios of the sides.

    Args:
        boxes1: (..., N, 4) of (x1, y1, x2, y2).
        boxes2: (..., M, 4).
        eps: added to divisors.

    Returns:
        (..., N, M).

    Raises:
        ValueError: boxes that are no (..., 4), or an `eps` below 0.

    >>> from cnncore import ops
    >>> ops.complete_box_iou([[0.0, 0.0, 1.0, 1.0]], [[1.0, 0.0, 2.0, 1.0]]).round(4).tolist()
    [[-0.20000000298023224]]
    """
    op = "complete_box_iou"
    a, b = _pairs(op, boxes1, boxes2)
    inter, union = _overlap(a, b, (_area(a, "xyxy"), _area(b, "xyxy")))
    iou, least = inter / union, real(eps, "eps", op, 0)
    ciou: Tensor = iou - far_apart(a, b, least) - shape_penalty(a, b, iou, least)
    return ciou


@operator("boxes")
def clip_boxes_to_image(boxes: Any, size: Sequence[int]) -> Tensor:
    """Return boxes with what lies outside of an image cut off.

    Args:
        boxes: (..., 4) of (x1, y1, x2, y2).
        size: (height, width) of the image.

    Raises:
        ValueError: boxes that are no (..., 4), or a size of other than two integers.

    >>> from cnncore import ops
    >>> ops.clip_boxes_to_image([[-1.0, 2.0, 5.0, 9.0]], (8, 4)).tolist()
    [[0.0, 2.0, 4.0, 8.0]]
    """
    op = "clip_boxes_to_image"
    height, width = integers(size, 2, "size", op, 0)
    left, top, right, bottom = columns(box_tensor(boxes, op))
    left, right = (clamp(x, 0.0, float(width)) for x in (left, right))
    top, bottom = (clamp(y, 0.0, float(height)) for y in (top, bottom))
    clipped: Tensor = stack((left, top, right, bottom), -1)
    return clipped


@operator("boxes")
def _large(boxes: Any, min_size: float) -> Tensor:
    left, top, right, bottom = columns(box_tensor(boxes, "remove_small_boxes"))
    large: Tensor = minimum(right - left, bottom - top) >= min_size
    return large


def remove_small_boxes(boxes: Any, min_size: float) -> Any:
    """Return the indices of boxes whose sides are both at least `min_size` long.

    Args:
        boxes: (count, 4) of (x1, y1, x2, y2).
        min_size: length.

    Raises:
        ValueError: inside a traced function, where shapes do not depend on values.

    >>> from cnncore import ops
    >>> ops.remove_small_boxes([[0.0, 0.0, 1.0, 5.0], [0.0, 0.0, 3.0, 3.0]], 2.0).tolist()
    [1]
    """
    op = "remove_small_boxes"
    if is_tracing():
        raise shape_error(
            op,
            "how many boxes are left is not known while a function is traced: call it on the arrays that "
            "the compiled function returns, or use a mask, such as boxes[:, 2] - boxes[:, 0] >= min_size",
        )
    return np.flatnonzero(_large(boxes, real(min_size, "min_size", op)))


@operator("masks")
def masks_to_boxes(masks: Any) -> Tensor:
    """Return the boxes (count, 4) around masks: (x1, y1, x2, y2) of the outermost pixels that are not 0.

    Args:
        masks: (count, height, width); one that is 0 everywhere gives a box of zeros.

    Raises:
        ValueError: masks that are no (count, height, width).

    >>> from cnncore import ops
    >>> ops.masks_to_boxes([[[0, 0, 0], [0, 1, 1]]]).tolist()
    [[1.0, 1.0, 2.0, 1.0]]
    """
    op = "masks_to_boxes"
    x = as_tensor(masks, op)
    if x.ndim != 3:
        raise shape_error(op, f"expected masks (count, height, width), got {x.shape}")
    inside = cast(with_layout(x, Layout.C), "bool")
    ends: list[Any] = []
    for dim in (1, 2):
        hit = any_of(inside, dim)
        extent = hit.shape[1]
        places = as_tensor(np.arange(extent, dtype=np.float32))
        first = amin(where(hit, places, float(extent)), 1)
        ends.append((where(first < extent, first, 0.0), amax(where(hit, places, 0.0), 1)))
    (left, right), (top, bottom) = ends
    boxes: Tensor = stack((left, top, right, bottom), -1)
    return boxes
