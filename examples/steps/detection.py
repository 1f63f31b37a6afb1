# SPDX-License-Identifier: Apache-2.0
"""A detector in one stage (Redmon et al., 2016): each cell of a grid says what lies there, and where."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.nn import functional as F  # noqa: N812
from cnncore.train import metrics

SIZE, CELL = 48, 8
GRID = SIZE // CELL


def conv(before: int, after: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


def scenes(x: Any, y: Any, count: int, rng: np.random.Generator) -> tuple[Any, list[dict[str, Any]]]:
    """Images with one to three digits of 8 to 16 pixels, and their boxes and classes."""
    images, targets = np.zeros((count, 1, SIZE, SIZE), np.float32), []
    for image in images:
        boxes, labels = [], []
        for _ in range(rng.integers(1, 4)):
            number, size = rng.integers(len(x)), rng.integers(8, 17)
            top, left = rng.integers(SIZE - size + 1, size=2)
            if image[0, top : top + size, left : left + size].any():
                continue
            image[:, top : top + size, left : left + size] = data.resize(x[number], (size, size))
            boxes.append([left, top, left + size, top + size])
            labels.append(y[number])
        targets.append({"boxes": np.array(boxes, np.float32), "labels": np.array(labels)})
    return images, targets


def encode(targets: list[dict[str, Any]]) -> tuple[Any, Any, Any]:
    """For each cell whether an object's middle lies in it, its class, and its place and size in cells."""
    there = np.zeros((len(targets), GRID, GRID), np.float32)
    label, code = np.zeros(there.shape, np.int64), np.zeros((len(targets), 4, GRID, GRID), np.float32)
    for number, target in enumerate(targets):
        for (left, top, right, bottom), name in zip(target["boxes"], target["labels"], strict=True):
            x, y = (left + right) / 2 / CELL, (top + bottom) / 2 / CELL
            row, column = int(y), int(x)
            there[number, row, column], label[number, row, column] = 1, name
            size = np.log([(right - left) / CELL, (bottom - top) / CELL])
            code[number, :, row, column] = x - column - 0.5, y - row - 0.5, *size
    return there, label, code


def loss(output: Any, there: Any, label: Any, code: Any) -> Any:
    """Whether there is something counts in all cells, what and where only in those that have something."""
    presence = F.binary_cross_entropy_with_logits(output[:, 0], there)
    classes = F.cross_entropy(output[:, 5:], label, reduction="none")
    places = F.smooth_l1_loss(output[:, 1:5], code, reduction="none").sum(1)
    return 5 * presence + ((classes + 5 * places) * there).sum() / there.sum().clamp(min=1)


def detect(output: Any) -> list[dict[str, Any]]:
    """Boxes, classes and scores of each image, what overlaps a better one left out."""
    scores = 1 / (1 + np.exp(-output[:, 0]))
    rows, columns = np.mgrid[:GRID, :GRID]
    x, y = columns + 0.5 + output[:, 1], rows + 0.5 + output[:, 2]
    half = np.exp(output[:, 3:5].clip(-4, 4)) / 2
    boxes = np.stack([x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]], -1) * CELL
    found = []
    for box, score, label in zip(boxes, scores, output[:, 5:].argmax(1), strict=True):
        likely = score > 0.1
        kept = np.asarray(cc.ops.nms(box[likely], score[likely], 0.4)) if likely.any() else []
        found.append(
            {"boxes": box[likely][kept], "scores": score[likely][kept], "labels": label[likely][kept]}
        )
    return found


def main(quick: bool = False) -> float:
    """Return the mean average precision at an overlap of a half."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = data.digits()
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        conv(1, 16, 1), conv(16, 32, 2), conv(32, 64, 2), conv(64, 64, 2), conv(64, 64, 1),
        nn.Conv2d(64, 5 + 10, 1),
    )  # fmt: skip
    steps = 300 if quick else 1500
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps + 1)
    step = cc.train_step(lambda images, *wanted: loss(model(images), *wanted), optimizer)
    for number in range(steps):
        images, targets = scenes(x, y, 32, rng)
        value = step(images, *encode(targets))
        schedule.step()
        if number % 50 == 0:
            print(f"step {number}  loss {value:.4f}")
    images, targets = scenes(x_test, y_test, 200, rng)
    found = detect(np.asarray(model.eval()(images)))
    figures = metrics.mean_average_precision(found, targets)
    print(f"mean average precision {figures['map']:.3f}, with half an overlap {figures['map_50']:.3f}")
    return figures["map_50"]


if __name__ == "__main__":
    main("--quick" in sys.argv)
