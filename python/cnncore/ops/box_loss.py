# SPDX-License-Identifier: Apache-2.0
"""Losses of boxes by how they overlap with others."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import shape_error
from .boxes import Columns, box_tensor, columns, far_apart, hull, shape_penalty, shared
from .check import real
from .reduction import check_reduction, reduced

__all__ = ["complete_box_iou_loss", "distance_box_iou_loss", "generalized_box_iou_loss"]


def _both(op: str, boxes1: Any, boxes2: Any, reduction: Any) -> tuple[Columns, Columns, str]:
    a, b = box_tensor(boxes1, op, "boxes1"), box_tensor(boxes2, op, "boxes2")
    if a.shape != b.shape:
        raise shape_error(op, f"expected boxes1 and boxes2 of one shape, got {a.shape} and {b.shape}")
    return columns(a), columns(b), check_reduction(reduction, op)


def _overlap(a: Columns, b: Columns) -> tuple[Any, Any]:
    inter = shared(a[0], a[2], b[0], b[2]) * shared(a[1], a[3], b[1], b[3])
    return inter, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter


@operator("boxes1", "boxes2")
def generalized_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """Return 1 - the generalized IoU of boxes, pair by pair (Rezatofighi et al., 2019).

    Args:
        boxes1: (..., 4) of (x1, y1, x2, y2).
        boxes2: of the same shape.
        reduction: "none", "mean" or "sum".
        eps: added to divisors.

    Raises:
        ValueError: boxes that are not as many on both sides, an `eps` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.generalized_box_iou_loss([0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]).item(), 4)
    1.5
    """
    op = "generalized_box_iou_loss"
    a, b, reduction = _both(op, boxes1, boxes2, reduction)
    least = real(eps, "eps", op, 0)
    inter, union = _overlap(a, b)
    around = hull(a[0], a[2], b[0], b[2]) * hull(a[1], a[3], b[1], b[3])
    return reduced(1 - (inter / (union + least) - (around - union) / (around + least)), reduction)


@operator("boxes1", "boxes2")
def distance_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """Return 1 - the distance IoU of boxes, pair by pair (Zheng et al., 2020).

    Args:
        boxes1: (..., 4) of (x1, y1, x2, y2).
        boxes2: of the same shape.
        reduction: "none", "mean" or "sum".
        eps: added to divisors.

    Raises:
        ValueError: boxes that are not as many on both sides, an `eps` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.distance_box_iou_loss([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]).item(), 4)
    1.2
    """
    op = "distance_box_iou_loss"
    a, b, reduction = _both(op, boxes1, boxes2, reduction)
    least = real(eps, "eps", op, 0)
    inter, union = _overlap(a, b)
    return reduced(1 - inter / (union + least) + far_apart(a, b, least), reduction)


@operator("boxes1", "boxes2")
def complete_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """Return 1 - the complete IoU of boxes, pair by pair (Zheng et al., 2020).

    The weight of the penalty for different ratios of the sides counts as a constant in gradients.

    Args:
        boxes1: (..., 4) of (x1, y1, x2, y2).
        boxes2: of the same shape.
        reduction: "none", "mean" or "sum".
        eps: added to divisors.

    Raises:
        ValueError: boxes that are not as many on both sides, an `eps` below 0 or an unknown reduction.

    >>> from cnncore import ops
    >>> round(ops.complete_box_iou_loss([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]).item(), 4)
    1.2
    """
    op = "complete_box_iou_loss"
    a, b, reduction = _both(op, boxes1, boxes2, reduction)
    least = real(eps, "eps", op, 0)
    inter, union = _overlap(a, b)
    iou = inter / (union + least)
    return reduced(1 - iou + far_apart(a, b, least) + shape_penalty(a, b, iou, least), reduction)
