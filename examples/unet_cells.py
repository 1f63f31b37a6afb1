# SPDX-License-Identifier: Apache-2.0
"""Counting cells with a U-Net (Ronneberger et al., 2015): each pixel is background, cell or the border
between cells.

The pictures are drawn here: bright blobs of uneven shape on an uneven background, touching each other.
Borders are a class of their own, so that touching cells come apart; what is left of each is counted. The
figures are the mean IoU of the classes and the mean error of the counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import models, nn, optim
from cnncore.train.metrics import MeanIoU
from ported.example_data import quick_option

SIZE = 96


def draw(count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Draw pictures (count, 1, 96, 96), the class of each pixel, and the number of cells."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    images = np.empty((count, 1, SIZE, SIZE), np.float32)
    classes, cells = np.zeros((count, SIZE, SIZE), np.int64), rng.integers(5, 16, count)
    for picture, wanted in enumerate(cells):
        owner, nearest = np.full((SIZE, SIZE), -1), np.full((SIZE, SIZE), 1.0)
        centres: list[Any] = []
        while len(centres) < wanted:
            centre = rng.uniform(8, SIZE - 8, 2)
            if all(np.hypot(*(centre - other)) > 13 for other in centres):
                centres.append(centre)
        for number, (y, x) in enumerate(centres):
            angle = np.arctan2(rows - y, columns - x)
            radius = rng.uniform(7, 10) * (1 + 0.15 * np.sin(rng.integers(2, 4) * angle + rng.uniform(0, 6)))
            distance = np.hypot(rows - y, columns - x) / radius
            owner[distance < nearest] = number
            nearest = np.minimum(nearest, distance)
        inside = owner >= 0
        border = np.zeros_like(inside)
        for axis in (0, 1):
            for shift in (-2, -1, 1, 2):
                other = np.roll(owner, shift, axis)
                border |= inside & (other >= 0) & (other != owner)
        classes[picture] = np.where(border, 2, inside)
        light = 0.25 + 0.2 * np.sin(rows / rng.uniform(15, 40) + rng.uniform(0, 6))
        images[picture, 0] = light + 0.4 * inside * (1 - nearest**2 / 2) + rng.normal(0, 0.06, inside.shape)
    return images, classes, cells


def count_regions(cell: Any) -> int:
    """The number of 4-connected regions of more than 12 pixels: labels spread until nothing changes."""
    labels = np.where(cell, np.arange(1, cell.size + 1).reshape(cell.shape), 0)
    while True:
        spread = labels.copy()
        for axis, part in ((0, np.s_[1:]), (0, np.s_[:-1]), (1, np.s_[1:]), (1, np.s_[:-1])):
            here = (part,) if axis == 0 else (slice(None), part)
            there = np.s_[:-1] if part == np.s_[1:] else np.s_[1:]
            from_there = (there,) if axis == 0 else (slice(None), there)
            spread[here] = np.maximum(spread[here], labels[from_there])
        spread[~cell] = 0
        if np.array_equal(spread, labels):
            return int((np.unique(labels[labels > 0], return_counts=True)[1] > 12).sum())
        labels = spread


def main(quick: bool = False) -> float:
    """Return the mean IoU on pictures that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model = models.unet(1, 3, width=16)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    epochs, count = (1, 16) if quick else (10, 400)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * count // 8)
    loss = nn.CrossEntropyLoss(weight=np.array([1, 1, 2], np.float32))
    trainer = cc.Trainer(model, loss, optimizer, metrics=None, scheduler=schedule, schedule_by="step")
    x, y, _ = draw(count, rng)
    trainer.fit(x, y, epochs=epochs, batch_size=8, verbose=0 if quick else 1)
    x, y, cells = draw(4 if quick else 60, rng)
    found = trainer.predict(x)
    score = float(MeanIoU()(found, y))
    counted = np.array([count_regions(picture == 1) for picture in found.argmax(1)])
    off = abs(counted - cells).mean()
    print(f"mean IoU {score:.3f}; {cells.mean():.1f} cells a picture, counts are {off:.2f} off")
    return score


if __name__ == "__main__":
    main(quick_option())
