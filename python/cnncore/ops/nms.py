# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph.arrays import to_array
from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor
from ..graph.trace import as_tensor, dtype_error, emit, is_tracing, shape_error
from .build import cast, with_layout
from .check import float_tensor, integers, real

__all__ = ["batched_nms", "nms"]


class NmsInputs(NamedTuple):
    boxes: Tensor
    scores: Tensor
    number: Tensor
    groups: Tensor | None = None


class NmsAttributes(NamedTuple):
    """`most` indices are made, the last ones -1 where fewer boxes stay."""

    iou_threshold: float
    most: int


class Nms(Op):
    """[boxes (N, 4), scores (N,), number (), groups (N,)?] -> [indices (most,)], of the first `number`."""

    name = "nms"
    differentiable = False
    Inputs = NmsInputs
    Attributes = NmsAttributes

    def infer(self, inputs: NmsInputs, attrs: NmsAttributes) -> list[Spec | None]:
        return [((attrs.most,), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return -1.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"iou_threshold": node.attrs.iou_threshold}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


@operator("boxes", "scores", "groups", "count")
def _suppressed(
    op: str, boxes: Any, scores: Any, groups: Any, count: Any, threshold: float, most: int
) -> Any:
    x, s = float_tensor(boxes, op), float_tensor(scores, op)
    if x.ndim != 2 or x.shape[1] != 4:
        raise shape_error(op, f"expected boxes (count, 4), got {x.shape}")
    if s.shape != x.shape[:1]:
        raise shape_error(op, f"expected scores ({x.shape[0]},), one a box, got {s.shape}")
    labels = None
    if groups is not None:
        labels = as_tensor(groups, op)
        if labels.dtype == "float32":
            raise dtype_error(op, f"expected integers for idxs, got floats of shape {labels.shape}")
        if labels.shape != s.shape:
            raise shape_error(op, f"expected idxs {s.shape}, one a box, got {labels.shape}")
        labels = cast(labels, "int64")
    number = as_tensor(np.array(x.shape[0]) if count is None else count, op)
    inputs = NmsInputs(with_layout(x, Layout.C), s, number, labels)
    return emit(Nms, inputs, NmsAttributes(threshold, most)).output


def _kept(op: str, boxes: Any, scores: Any, groups: Any, iou_threshold: Any, max_output: int | None) -> Any:
    threshold = real(iou_threshold, "iou_threshold", op)
    if not is_tracing():
        boxes, scores, groups = (v if v is None else to_array(v, op) for v in (boxes, scores, groups))
    if max_output is not None:
        (most,) = integers(max_output, 1, "max_output", op)
        return _suppressed(op, boxes, scores, groups, None, threshold, most)
    if is_tracing():
        raise shape_error(
            op,
            "how many boxes stay is not known while a function is traced: give max_output=, which makes so "
            f"many indices, the last of them -1 where fewer stay, or call {op} on the arrays that the "
            "compiled function returns",
        )
    arrays = [boxes, scores, groups]
    count = len(boxes) if boxes is not None and boxes.ndim else 0
    expected = ((count, 4), (count,), (count,))
    fit = all(
        value is None or (value.shape == shape and value.dtype.kind in kinds)
        for value, shape, kinds in zip(arrays, expected, ("biuf", "biuf", "biu"), strict=True)
    )
    # Programs are compiled for sizes: those of powers of two serve all numbers of boxes. What does not fit is
    # refused by its own shape.
    room = 1 << max(6, (count - 1).bit_length()) if fit else max(count, 1)
    if fit:
        arrays = [value if value is None else _padded(value, room) for value in arrays]
    boxes, scores, groups = arrays
    indices = _suppressed(op, boxes, scores, groups, np.array(count), threshold, room)
    return indices[: np.count_nonzero(indices >= 0)]


def _padded(array: Any, room: int) -> Any:
    wide = np.zeros((room, *array.shape[1:]), array.dtype)
    wide[: len(array)] = array
    return wide


def nms(boxes: Any, scores: Any, iou_threshold: float, max_output: int | None = None) -> Any:
    """Return the indices of boxes without those that overlap with a better one, by falling score.

    A box is left out where its intersection with a better one that stays is more than `iou_threshold` of
    their union. Of equal scores the first box is the better one. Arguments are those of torchvision.ops.

    Args:
        boxes: (count, 4) of (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2.
        scores: (count,).
        iou_threshold: from 0 to 1.
        max_output: how many indices to return; where fewer boxes stay the last ones are -1. Inside a traced
            function it is needed, since shapes do not depend on values there.

    Returns:
        int64 indices, as many as boxes stay, or `max_output`.

    Raises:
        ValueError: shapes that do not go together, or no `max_output` while a function is traced.

    >>> from cnncore import ops
    >>> boxes = [[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]]
    >>> ops.nms(boxes, [0.5, 0.9, 0.3], 0.5).tolist()
    [1, 2]
    >>> ops.nms(boxes, [0.5, 0.9, 0.3], 0.5, max_output=4).tolist()
    [1, 2, -1, -1]
    """
    return _kept("nms", boxes, scores, None, iou_threshold, max_output)


def batched_nms(
    boxes: Any, scores: Any, idxs: Any, iou_threshold: float, max_output: int | None = None
) -> Any:
    """Return the indices of boxes without those that overlap with a better one of their class.

    Args:
        boxes: (count, 4) of (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2.
        scores: (count,).
        idxs: (count,) integers: the boxes' classes.
        iou_threshold: from 0 to 1; see `nms`.
        max_output: how many indices to return, as of `nms`.

    Returns:
        int64 indices by falling score, as many as boxes stay, or `max_output`.

    Raises:
        ValueError: shapes that do not go together, or no `max_output` while a function is traced.
        TypeError: classes that are no integers.

    >>> from cnncore import ops
    >>> boxes = [[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [0.0, 0.0, 2.0, 2.1]]
    >>> ops.batched_nms(boxes, [0.5, 0.9, 0.3], [7, 7, 4], 0.5).tolist()
    [1, 2]
    """
    if idxs is None:
        raise dtype_error("batched_nms", "expected integers for idxs, got None")
    return _kept("batched_nms", boxes, scores, idxs, iou_threshold, max_output)
