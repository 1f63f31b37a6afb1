# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest

from cnncore.train.metrics import MeanAveragePrecision, mean_average_precision

Entry = dict[str, Any]


def found(boxes: Any, scores: Any, labels: Any) -> Entry:
    return {
        "boxes": np.array(boxes, float).reshape(-1, 4),
        "scores": np.array(scores),
        "labels": np.array(labels),
    }


def true(boxes: Any, labels: Any, **more: Any) -> Entry:
    return {"boxes": np.array(boxes, float).reshape(-1, 4), "labels": np.array(labels), **more}


BOX, FAR = [0, 0, 40, 40], [100, 100, 140, 140]


def test_a_wrong_detection_before_and_after_a_right_one() -> None:
    target = [true([BOX, FAR], [1, 1])]
    # Right, wrong, right: precisions 1, 1/2, 2/3; up to recall 1/2 (51 of 101 recalls) it is 1, beyond 2/3.
    figures = mean_average_precision(
        [found([BOX, [200, 0, 240, 40], FAR], [0.9, 0.8, 0.7], [1, 1, 1])], target
    )
    assert figures["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101, rel=1e-14)
    assert (figures["mar_1"], figures["mar_10"], figures["mar_100"]) == (0.5, 1.0, 1.0)
    # The wrong one is the most likely.
    figures = mean_average_precision([found([[200, 0, 240, 40], BOX], [0.9, 0.8], [1, 1])], target)
    assert figures["map_50"] == pytest.approx(51 / 101 / 2, rel=1e-14)
    assert (figures["mar_1"], figures["mar_10"]) == (0.0, 0.5)


def test_thresholds_of_overlap() -> None:
    # 30 of 40 columns: an overlap of 0.75 is enough for 0.5 to 0.75, six of ten thresholds.
    figures = mean_average_precision([found([[0, 0, 30, 40]], [1.0], [0])], [true([BOX], [0])])
    assert (figures["map_50"], figures["map_75"]) == (1.0, 1.0)
    assert figures["map"] == pytest.approx(0.6)


def test_areas_crowds_and_classes_that_do_not_occur() -> None:
    small, large = [0, 0, 10, 10], [0, 0, 200, 200]
    figures = mean_average_precision(
        [found([small, large, BOX], [0.9, 0.9, 0.9], [1, 1, 7])], [true([small, large], [1, 1])]
    )
    assert (figures["map"], figures["map_small"], figures["map_large"]) == (1.0, 1.0, 1.0)
    assert math.isnan(figures["map_medium"])
    crowd = true([BOX, FAR], [1, 1], iscrowd=np.array([0, 1]))
    figures = mean_average_precision([found([FAR, FAR, BOX], [0.9, 0.8, 0.7], [1, 1, 1])], [crowd])
    assert figures["map"] == 1.0


def test_nothing() -> None:
    assert all(math.isnan(figure) for figure in mean_average_precision([], []).values())
    assert mean_average_precision([found([], [], [])], [true([BOX], [1])])["map"] == 0.0
    assert math.isnan(mean_average_precision([found([BOX], [0.9], [1])], [true([], [])])["map"])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="expected boxes, scores, labels in each output, got boxes, labels"):
        mean_average_precision([true([BOX], [1])], [true([BOX], [1])])
    with pytest.raises(ValueError, match="expected a row of scores for each of 1 boxes, got 2"):
        mean_average_precision([found([BOX], [0.9, 0.8], [1])], [true([BOX], [1])])
    with pytest.raises(ValueError, match="map: expected as many outputs as targets, got 1 and 0"):
        mean_average_precision([found([BOX], [0.9], [1])], [])


def drawn(rng: np.random.Generator, images: int) -> tuple[list[Entry], list[Entry]]:
    outputs, targets = [], []
    for _ in range(images):
        count = rng.integers(0, 8)
        corner = rng.integers(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + rng.choice([8, 20, 60, 150], (count, 2))], axis=1)
        labels = rng.integers(0, 3, count)
        targets.append(true(boxes, labels, iscrowd=rng.random(count) < 0.15))
        kept = np.repeat(np.arange(count), rng.integers(0, 4, count))
        moved = boxes[kept] + rng.integers(-3, 4, (len(kept), 4))
        stray = rng.integers(0, 200, (rng.integers(0, 3), 2))
        moved = np.concatenate([moved, np.concatenate([stray, stray + 30], axis=1)])
        classes = np.concatenate([labels[kept], rng.integers(0, 3, len(stray))])
        scores = rng.integers(1, 20, len(moved)) / 20
        outputs.append(found(moved, scores, classes))
    return outputs, targets


def test_as_in_the_reference_implementation() -> None:
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    names = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
    names += ("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")
    for seed in range(5):
        outputs, targets = drawn(np.random.default_rng(seed), 12)
        counted = MeanAveragePrecision()
        for start in range(0, 12, 5):
            counted.update(outputs[start : start + 5], targets[start : start + 5])
        ours = counted.result()
        objects, detections = [], []
        for image, (output, target) in enumerate(zip(outputs, targets, strict=True)):
            for box, label, crowd in zip(target["boxes"], target["labels"], target["iscrowd"], strict=True):
                x, y, w, h = [float(v) for v in (*box[:2], *(box[2:] - box[:2]))]
                entry = {"bbox": [x, y, w, h], "area": w * h, "iscrowd": int(crowd), "image_id": image}
                objects.append({**entry, "category_id": int(label), "id": len(objects) + 1})
            for box, label, score in zip(output["boxes"], output["labels"], output["scores"], strict=True):
                x, y, w, h = [float(v) for v in (*box[:2], *(box[2:] - box[:2]))]
                entry = {"bbox": [x, y, w, h], "score": float(score), "image_id": image}
                detections.append({**entry, "category_id": int(label)})
        with contextlib.redirect_stdout(io.StringIO()):
            reference = coco.COCO()
            reference.dataset = {
                "images": [{"id": i} for i in range(12)],
                "categories": [{"id": c} for c in range(3)],
                "annotations": objects,
                "info": {},
            }
            reference.createIndex()
            run = evaluation.COCOeval(reference, reference.loadRes(detections), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        for name, theirs in zip(names, run.stats, strict=True):
            assert ours[name] == pytest.approx(theirs, rel=1e-12) or (theirs == -1 and math.isnan(ours[name]))
