# SPDX-License-Identifier: Apache-2.0
"""Segmentation of volumes by a small 3-D U-Net (Cicek et al., 2016): tubes and balls in noisy scans, drawn
here.

The loss is cross-entropy plus Dice, as is usual where most voxels are background. The figure is the mean
IoU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.train.metrics import MeanIoU
from ported.example_data import quick_option

SIZE = 32


def draw(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw scans (count, 1, 32, 32, 32) and the class of each voxel: nothing, tube, ball."""
    grid = np.stack(np.mgrid[:SIZE, :SIZE, :SIZE], -1).astype(np.float32)
    classes = np.zeros((count, SIZE, SIZE, SIZE), np.int64)
    for volume in classes:
        for _ in range(2):
            point, direction = rng.uniform(8, 24, 3), rng.normal(size=3)
            along = (grid - point) @ (direction / np.linalg.norm(direction))
            away = ((grid - point) ** 2).sum(-1) - along**2
            volume[away < rng.uniform(2.5, 4) ** 2] = 1
        for _ in range(2):
            centre, radius = rng.uniform(6, 26, 3), rng.uniform(4, 7)
            volume[((grid - centre) ** 2).sum(-1) < radius**2] = 2
    light = np.array([0.2, 0.6, 0.75], np.float32)[classes]
    return (light + rng.normal(0, 0.15, light.shape).astype(np.float32))[:, None], classes


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers = [nn.Conv3dNormActivation(inputs, outputs, 3), nn.Conv3dNormActivation(outputs, outputs, 3)]
    return nn.Sequential(*layers)


class UNet3d(nn.Module):
    """(batch, 1, depth, height, width) -> (batch, classes, depth, height, width)."""

    def __init__(self, classes: int, width: int = 12) -> None:
        super().__init__()
        self.down = nn.ModuleList([block(1, width), block(width, 2 * width)])
        self.bottom = block(2 * width, 4 * width)
        self.grow = nn.ModuleList([nn.ConvTranspose3d(2 * n * width, n * width, 2, 2) for n in (2, 1)])
        self.up = nn.ModuleList([block(2 * n * width, n * width) for n in (2, 1)])
        self.head = nn.Conv3d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        kept = []
        for part in self.down:
            kept.append(part(x))
            x = ops.max_pool3d(kept[-1], 2)
        x = self.bottom(x)
        for grow, part, other in zip(self.grow, self.up, reversed(kept), strict=True):
            x = part(ops.concat([grow(x), other], 1))
        return self.head(x)


def loss(output: Any, target: Any) -> Any:
    return ops.cross_entropy(output, target) + nn.DiceLoss()(ops.softmax(output, 1)[:, 1:], planes(target))


def planes(target: Any) -> Any:
    """The masks (batch, 2, ...) of the classes that are something."""
    masks = [ops.equal(target, kind).float() for kind in (1, 2)]
    return ops.stack(masks, 1)


def main(quick: bool = False) -> float:
    """Return the mean IoU on scans that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model = UNet3d(3)
    trainer = cc.Trainer(model, loss, optim.AdamW(model.parameters(), lr=3e-3), metrics=None)
    x, y = draw(4 if quick else 80, rng)
    trainer.fit(x, y, epochs=1 if quick else 6, batch_size=2, verbose=0 if quick else 1)
    x, y = draw(2 if quick else 20, rng)
    score = float(MeanIoU()(trainer.predict(x, batch_size=2), y))
    print(f"mean IoU {score:.3f}")
    return score


if __name__ == "__main__":
    main(quick_option())
