# SPDX-License-Identifier: Apache-2.0
"""A single-shot detector on scenes that it is shown being drawn: boxes of circles, squares and triangles.

Each cell of a coarse map says which kind of shape has its centre there, and how far its sides are: a
detector without anchors (Tian et al., 2019), focal loss for classes, generalised IoU for boxes. The figure
is COCO's mAP@50.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.train.metrics import mean_average_precision
from ported.example_data import quick_option

SIZE, STRIDE, KINDS = 96, 8, 3
CELLS = SIZE // STRIDE


def draw(count: int, rng: np.random.Generator) -> tuple[Any, list[dict[str, Any]]]:
    """Draw scenes of one to five shapes on noise; returns images (count, 3, 96, 96) and boxes with labels."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    images = rng.normal(0.4, 0.08, (count, 3, SIZE, SIZE)).astype(np.float32)
    targets = []
    for image in images:
        boxes, labels = [], []
        for _ in range(rng.integers(1, 6)):
            half, kind = rng.uniform(7, 17), int(rng.integers(KINDS))
            x, y = rng.uniform(half, SIZE - half, 2)
            if any(abs(x - (a + c) / 2) + abs(y - (b + d) / 2) < 24 for a, b, c, d in boxes):
                continue
            across, down = abs(columns - x), abs(rows - y)
            inside = np.hypot(across, down) < half if kind == 0 else np.maximum(across, down) < half
            if kind == 2:
                inside &= across < (rows - y + half) / 2
            image[:, inside] = rng.uniform(0, 1, 3)[:, None] + rng.normal(0, 0.05, (3, int(inside.sum())))
            boxes.append([x - half, y - half, x + half, y + half])
            labels.append(kind)
        targets.append({"boxes": np.array(boxes, np.float32), "labels": np.array(labels)})
    return images, targets


def assign(targets: list[dict[str, Any]]) -> tuple[Any, Any]:
    """The maps that the network should give: kinds (one-hot) and boxes in the cells of centres."""
    kinds = np.zeros((len(targets), CELLS, CELLS, KINDS), np.float32)
    boxes = np.zeros((len(targets), CELLS, CELLS, 4), np.float32)
    for i, target in enumerate(targets):
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            column, row = ((box[:2] + box[2:]) / 2 // STRIDE).astype(int)
            kinds[i, row, column, label] = 1
            boxes[i, row, column] = box
    return kinds, boxes


class Detector(nn.Module):
    """(batch, 3, 96, 96) -> scores (batch, 12, 12, 3) and boxes (batch, 12, 12, 4) in pixels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 24, 48, 48, 64, 64)
        layers = [nn.Conv2dNormActivation(a, b, 3, 1 + (a == b)) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*layers, nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        self.kinds, self.sides = nn.Conv2d(64, KINDS, 1), nn.Conv2d(64, 4, 1)
        nn.init.constant_(self.kinds.bias, -4.0)  # few cells have a shape (Lin et al., 2017)
        centres = (np.arange(CELLS, dtype=np.float32) + 0.5) * STRIDE
        x, y = np.meshgrid(centres, centres)
        self.register_buffer("centres", np.stack([x, y, x, y], -1), persistent=False)

    def forward(self, x: Any) -> Any:
        features = self.body(x)
        sides = 16 * ops.exp(ops.clamp(ops.permute(self.sides(features), (0, 2, 3, 1)), -3, 3))
        signs = np.array([-1, -1, 1, 1], np.float32)
        return ops.permute(self.kinds(features), (0, 2, 3, 1)), self.centres + signs * sides


def loss(model: Detector, x: Any, kinds: Any, boxes: Any) -> Any:
    scores, found = model(x)
    of_kinds = ops.sigmoid_focal_loss(scores, kinds, reduction="sum")
    overlap = ops.generalized_box_iou_loss(found.reshape((-1, 4)), boxes.reshape((-1, 4)))
    return (of_kinds + (overlap * kinds.sum(-1).reshape((-1,))).sum()) / kinds.sum()


def detect(model: Detector, x: Any) -> list[dict[str, Any]]:
    """The detections of each image, overlapping ones of a kind suppressed."""
    results = []
    for scores, boxes in zip(*model.predict(x), strict=True):
        scores, boxes = 1 / (1 + np.exp(-scores.reshape(-1, KINDS))), boxes.reshape(-1, 4)
        cells, kinds = np.nonzero(scores > 0.05)
        kept = ops.batched_nms(boxes[cells], scores[cells, kinds], kinds, 0.5)
        cells, kinds = cells[kept], kinds[kept]
        results.append({"boxes": boxes[cells], "scores": scores[cells, kinds], "labels": kinds})
    return results


def main(quick: bool = False) -> float:
    """Return mAP@50 on scenes that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model, steps, batch = Detector(), 12 if quick else 700, 32
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    step = cc.train_step(lambda x, kinds, boxes: loss(model, x, kinds, boxes), optimizer)
    for _ in range(steps):
        x, targets = draw(batch, rng)
        value = step(x, *assign(targets))
        schedule.step()
    x, targets = draw(32 if quick else 300, rng)
    figures = mean_average_precision(detect(model.eval(), x), targets)
    print(f"loss {value:.3f}, mAP@50 {figures['map_50']:.3f}, mAP {figures['map']:.3f}")
    return figures["map_50"]


if __name__ == "__main__":
    main(quick_option())
