# SPDX-License-Identifier: Apache-2.0
"""Boxes and regions of images, and bags of embeddings, as ONNX nodes."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ...graph.tensor import Node
from ...ops.embedding_bag import EmbeddingBag
from ...ops.nms import Nms
from ...ops.roi import RoiAlign
from .writer import Writer, exporter

_LOWEST = float(np.finfo(np.float32).min)


@exporter(Nms)
def suppression(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, (threshold, most) = node.inputs, node.attrs
    boxes, scores = w.get(inputs.boxes), w.get(inputs.scores)
    count = inputs.boxes.shape[0]
    w.fixed((count,), None if twin is None else twin.inputs.boxes.shape[:1])
    if inputs.groups is not None:
        # Boxes of different groups lie apart: each group has a place of its own.
        ends = [w.reduced(op, boxes, [0, 1]) for op in ("ReduceMax", "ReduceMin")]
        room = w.add("Add", [w.add("Sub", ends), w.scalar(1.0)])
        groups = w.add("Cast", [w.get(inputs.groups)], to=TensorProto.FLOAT)
        offsets = w.add("Unsqueeze", [w.add("Mul", [groups, room]), w.ints([1])])
        boxes = w.add("Add", [boxes, offsets])
    number = inputs.number.source
    if not isinstance(number, np.ndarray) or int(number.reshape(-1)[0]) < count:
        given = w.add("Less", [w.ints(range(count)), w.get(inputs.number)])
        scores = w.add("Where", [given, scores, w.scalar(-np.inf)])
    boxes = w.add("Unsqueeze", [boxes, w.ints([0])])
    scores = w.add("Unsqueeze", [scores, w.ints([0, 1])])
    limits = [w.ints([most]), w.constant(np.array([threshold], np.float32))]
    limits.append(w.constant(np.array([_LOWEST], np.float32)))
    found = w.add("NonMaxSuppression", [boxes, scores, *limits])
    kept = w.add("Reshape", [w.add("Gather", [found, w.ints([2])], axis=1), w.ints([-1])])
    filled = w.add("Concat", [kept, w.constant(np.full(most, -1, np.int64))], axis=0)
    first = w.add("Slice", [filled, w.ints([0]), w.ints([most]), w.ints([0])])
    return str(w.add("Reshape", [first, w.ints([most])]))


@exporter(RoiAlign)
def roi_align(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, attrs = node.inputs, node.attrs
    half = attrs.offset == 0.5 and not attrs.at_least_one
    if attrs.by_bin or not attrs.sampled or not (half or (attrs.offset == 0.0 and attrs.at_least_one)):
        raise ValueError(f"[{w.path}] this pooling of regions has no form in ONNX")
    if w.opset < 16:
        raise ValueError(f"[{w.path}] roi_align needs opset 16, got {w.opset}")
    rois, axis = w.get(inputs.rois), w.ints([1])
    boxes = w.add("Slice", [rois, w.ints([1]), w.ints([5]), axis])
    image = w.add("Reshape", [w.add("Gather", [rois, w.ints([0])], axis=1), w.ints([-1])])
    return str(
        w.add(
            "RoiAlign",
            [w.get(inputs.input), boxes, w.add("Cast", [image], to=TensorProto.INT64)],
            coordinate_transformation_mode="half_pixel" if half else "output_half_pixel",
            output_height=attrs.bins[0],
            output_width=attrs.bins[1],
            sampling_ratio=attrs.samples,
            spatial_scale=attrs.scale,
        )
    )


@exporter(EmbeddingBag)
def embedding_bag(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, (mode, padding) = node.inputs, node.attrs
    offsets = inputs.offsets.source
    bags, count = inputs.offsets.shape[0], inputs.indices.shape[0]
    size, rest = divmod(count, bags)
    if not isinstance(offsets, np.ndarray) or rest or not np.array_equal(offsets, np.arange(bags) * size):
        raise ValueError(f"[{w.path}] bags of different sizes have no form in ONNX")
    if padding >= 0:
        raise ValueError(f"[{w.path}] bags with entries that do not count have no form that is written here")
    features = inputs.weight.shape[1]
    rows = w.add("Gather", [w.get(inputs.weight), w.get(inputs.indices)], axis=0)
    if inputs.factors is not None:
        rows = w.add("Mul", [rows, w.add("Unsqueeze", [w.get(inputs.factors), w.ints([1])])])
    rows = w.add("Reshape", [rows, w.ints([bags, size, features])])
    return w.reduced({"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[mode], rows, [1])
