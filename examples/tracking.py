# SPDX-License-Identifier: Apache-2.0
"""Tracking by a siamese network: where in the next frame does it look like the object of the first one?

The features of the object are the weights of a convolution over the features of the search region, a
dynamic depthwise cross-correlation as in SiamRPN++ (Li et al., 2019). Sequences of textures that move and
grow are made here. The figure is the mean overlap (IoU) of the boxes on objects that were not seen in
training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim
from ported.example_data import quick_option

OBJECT, SEARCH, STRIDE = 32, 96, 4
CELLS = SEARCH // STRIDE


def textures(count: int, rng: np.random.Generator) -> Any:
    """Smooth random textures (count, 3, 32, 32) from 0 to 1: the objects."""
    coarse = rng.random((count, 3, 5, 5), np.float32)
    return np.clip(data.resize(coarse, (OBJECT, OBJECT)) * 1.6 - 0.3, 0, 1)


def frame(texture: Any, centre: Any, size: float, rng: np.random.Generator) -> Any:
    """A frame (3, 96, 96) of clutter with the object at `centre` (x, y), `size` pixels wide."""
    image = data.resize(rng.random((1, 3, 12, 12), np.float32), (SEARCH, SEARCH))[0]
    side = max(round(size), 4)
    patch = data.resize(texture[None], (side, side))[0] * np.float32(rng.uniform(0.8, 1.2))
    left, top = (round(c - side / 2) for c in centre)
    x, y = max(left, 0), max(top, 0)
    right, bottom = max(min(left + side, SEARCH), x), max(min(top + side, SEARCH), y)
    image[:, y:bottom, x:right] = patch[:, y - top : bottom - top, x - left : right - left]
    return image + rng.normal(0, 0.05, image.shape).astype(np.float32)


def pairs(count: int, objects: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    """Objects, search regions, the maps of their centres, and their sizes by 32 pixels, as logarithms."""
    chosen = objects[rng.integers(0, len(objects), count)]
    centres, sizes = rng.uniform(24, SEARCH - 24, (count, 2)), rng.uniform(22, 44, count)
    regions = np.stack([frame(*each, rng) for each in zip(chosen, centres, sizes, strict=True)])
    cells = (np.arange(CELLS) + 0.5) * STRIDE
    near = [(cells - centres[:, i, None]) ** 2 for i in (1, 0)]
    maps = np.exp(-(near[0][:, :, None] + near[1][:, None]) / (2 * STRIDE**2)).astype(np.float32)
    return chosen, regions, maps, np.log(sizes / OBJECT).astype(np.float32)


class Tracker(nn.Module):
    """(objects, regions) -> maps of where the centre is (batch, 24, 24), and of the object's size there."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2dNormActivation(3, 32, 3, 2), nn.Conv2dNormActivation(32, 48, 3, 2)]
        self.features = nn.Sequential(
            *layers, nn.Conv2dNormActivation(48, 48, 3), nn.Conv2d(48, 48, 3, padding=1)
        )
        self.head = nn.Sequential(nn.BatchNorm2d(48), nn.Conv2dNormActivation(48, 48, 3), nn.Conv2d(48, 2, 1))

    def forward(self, objects: Any, regions: Any) -> Any:
        template, search = self.features(objects), self.features(regions)
        batch, channels, cells, _ = search.shape
        kernel = template[:, :, 1:, 1:].reshape((batch * channels, 1, 7, 7))
        found = ops.conv2d(search.reshape((1, -1, cells, cells)), kernel, padding=3, groups=batch * channels)
        maps = self.head(found.reshape((batch, channels, cells, cells)) / 49)
        return maps[:, 0], maps[:, 1]


def loss(model: Tracker, objects: Any, regions: Any, maps: Any, sizes: Any) -> Any:
    where, size = model(objects, regions)
    wrong = (size - sizes.reshape((-1, 1, 1))) ** 2 * maps
    return 10 * ops.binary_cross_entropy_with_logits(where, maps) + wrong.sum() / maps.sum()


def box(centre: Any, size: float) -> Any:
    return np.r_[centre - size / 2, centre + size / 2][None].astype(np.float32)


def follow(model: Tracker, texture: Any, frames: int, rng: np.random.Generator) -> float:
    """The mean overlap in a sequence; each region is cut around where the object was found last."""
    position, size, speed = np.zeros(2), 32.0, rng.normal(0, 4, 2)
    found, found_size, overlaps = position, size, []
    for _ in range(frames):
        speed = 0.9 * speed + rng.normal(0, 2, 2)
        position, size = position + speed, float(np.clip(size * rng.uniform(0.95, 1.05), 22, 44))
        middle = SEARCH / 2
        region = frame(texture, position - found + middle, size, rng)
        where, sizes = (maps[0] for maps in model(texture[None], region[None]))
        row, column = np.unravel_index(where.argmax(), where.shape)
        found = found + (np.array([column, row]) + 0.5) * STRIDE - middle
        found_size = OBJECT * float(np.exp(sizes[row, column]))
        overlaps.append(ops.box_iou(box(found, found_size), box(position, size)))
    return float(np.mean(overlaps))


def main(quick: bool = False) -> float:
    """Return the mean overlap over sequences of objects that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    objects, model, steps = textures(500, rng), Tracker(), 10 if quick else 400
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    step = cc.train_step(lambda *batch: loss(model, *batch), optimizer)
    for _ in range(steps):
        value = step(*pairs(16, objects, rng))
        schedule.step()
    print(f"loss {value:.3f}")
    model.eval()
    score = float(np.mean([follow(model, texture, 20, rng) for texture in textures(2 if quick else 25, rng)]))
    print(f"mean overlap {score:.3f}")
    return score


if __name__ == "__main__":
    main(quick_option())
