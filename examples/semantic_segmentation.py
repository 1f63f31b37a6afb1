# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation of drawn streets: sky, ground, road, trees, houses and cars, each pixel one of them.

Colours say little: trees are as green as the ground, houses and cars have any colour. The network sees the
surroundings of a pixel by dilated convolutions of several rates side by side, and the whole image by its mean
(DeepLabV3, Chen et al., 2017); a finer map draws the outlines (DeepLabV3+, 2018). The figure is the mean IoU
of the classes, beside that of the class whose mean colour is nearest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.train.metrics import MeanIoU
from ported.example_data import options, save_picture

HEIGHT, WIDTH = 64, 96
NAMES = ("sky", "ground", "road", "tree", "house", "car")
SKY, GROUND, ROAD, TREE, HOUSE, CAR = range(6)
PALETTE = np.array(
    [[0.5, 0.7, 1], [0.6, 0.8, 0.4], [0.5, 0.5, 0.5], [0, 0.4, 0.1], [0.8, 0.4, 0.2], [1, 0, 0]]
)
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH] + 0.5


def draw(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw streets (count, 3, 64, 96) and the class of each pixel."""
    images = np.empty((count, 3, HEIGHT, WIDTH), np.float32)
    classes = np.empty((count, HEIGHT, WIDTH), np.int64)
    for image, kinds in zip(images, classes, strict=True):
        horizon, far, near = rng.uniform(0.3, 0.5) * HEIGHT, *rng.uniform(0.2, 0.8, 2) * WIDTH
        depth = (ROWS - horizon) / (HEIGHT - horizon)
        off_road = abs(COLUMNS - far - (near - far) * depth) / (0.02 + 0.2 * depth.clip(0)) / WIDTH
        kinds[:] = np.where(depth < 0, SKY, np.where(off_road < 1, ROAD, GROUND))
        green = np.array([0.3, 0.5, 0.2]) + rng.normal(0, 0.1, 3)
        colours = {SKY: rng.uniform(0.4, 1, 3), GROUND: green, ROAD: rng.uniform(0.2, 0.6) + np.zeros(3)}
        for kind, colour in colours.items():
            image[:, kinds == kind] = colour[:, None]
        for close in np.sort(rng.uniform(0.05, 0.8, rng.integers(4, 10))):
            kind, base, size = (
                int(rng.integers(TREE, CAR + 1)),
                horizon + close * (HEIGHT - horizon),
                6 + 24 * close,
            )
            middle, half = far + (near - far) * close, (0.02 + 0.2 * close) * WIDTH
            side = rng.uniform(-0.6, 0.6) if kind == CAR else rng.choice([-1, 1]) * rng.uniform(1.6, 5)
            across, up = abs(COLUMNS - middle - side * half) / size, (base - ROWS) / size
            if kind == TREE:
                shape = np.hypot(across / 0.35, (up - 0.9) / 0.5) < 1
                shape |= (across < 0.07) & (up > 0) & (up < 0.9)
            elif kind == HOUSE:
                shape = (across < 0.5) & (up > 0) & (up < 0.6 + 0.4 * (0.5 - across))
            else:
                shape = (across < np.where(up < 0.18, 0.3, 0.2)) & (up > 0) & (up < 0.32)
            kinds[shape] = kind
            colour = green + rng.normal(0, 0.06, 3) if kind == TREE else rng.uniform(0, 1, 3)
            image[:, shape] = colour[:, None] * (1.1 - 0.3 * up[shape])
        image += rng.normal(0, 0.06, image.shape)
    return images, classes


class Network(nn.Module):
    """(batch, 3, height, width) -> scores (batch, 6, height, width)."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Conv2dNormActivation
        self.fine = nn.Sequential(layer(3, 24, 3), layer(24, 32, 3, 2), layer(32, 32, 3))
        self.coarse = nn.Sequential(layer(32, 64, 3, 2), layer(64, 64, 3), layer(64, 64, 3, dilation=2))
        self.rates = nn.ModuleList(layer(64, 32, 3, dilation=rate) for rate in (1, 3, 6))
        self.whole = layer(64, 32, 1, norm_layer=None)
        self.joined = layer(4 * 32, 48, 1)
        self.head = nn.Sequential(layer(48 + 32, 48, 3), nn.Conv2d(48, len(NAMES), 1))

    def forward(self, x: Any) -> Any:
        fine = self.fine(x)
        coarse = self.coarse(fine)
        whole = self.whole(ops.adaptive_avg_pool2d(coarse, 1)) * ops.ones_like(coarse[:, :1])
        seen = self.joined(ops.cat([rate(coarse) for rate in self.rates] + [whole], 1))
        seen = ops.interpolate(seen, size=fine.shape[2:], mode="bilinear")
        return ops.interpolate(self.head(ops.cat([seen, fine], 1)), size=x.shape[2:], mode="bilinear")


def main(quick: bool = False, epochs: int = 10, picture: str | None = None) -> float:
    """Return the mean IoU on streets that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    count, epochs, batch = (16, 1, 8) if quick else (800, epochs, 16)
    (x, y), (x_test, y_test) = draw(count, rng), draw(count // 8, rng)
    model = Network()
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=epochs * count // batch)
    trainer = cc.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, metrics=None, scheduler=schedule, schedule_by="step"
    )
    trainer.fit(x, y, epochs=epochs, batch_size=batch, verbose=0 if quick else 2)
    found = trainer.predict(x_test)
    score = float(MeanIoU()(found, y_test))
    means = np.stack([x.transpose(0, 2, 3, 1)[y == kind].mean(0) for kind in range(len(NAMES))])
    distances = ((x_test[:, None] - means[None, :, :, None, None]) ** 2).sum(2)
    print(f"mean IoU {score:.3f}; of the nearest colours {float(MeanIoU()(-distances, y_test)):.3f}")
    maps = (PALETTE[kinds].transpose(0, 3, 1, 2) for kinds in (y_test[:4], found[:4].argmax(1)))
    save_picture(picture, np.concatenate([x_test[:4], *maps]), columns=min(4, len(x_test)))
    return score


if __name__ == "__main__":
    main(**options(epochs=10))
