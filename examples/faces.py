# SPDX-License-Identifier: Apache-2.0
"""Verifying faces that were never seen in training: ArcFace (Deng et al., 2019) on drawn identities.

An identity is a set of proportions (width of the face, distance and size of the eyes, ...); a picture adds
light, pose, expression and noise. The network learns directions of identities on a sphere; whether two
pictures show the same person is then the angle between theirs. The figure is the accuracy on pairs of new
persons, against that of the pixels themselves.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from ported.example_data import quick_option

SIZE = 40


def persons(count: int, rng: np.random.Generator) -> Any:
    """Proportions (count, 8), each from 0 to 1."""
    return rng.random((count, 8))


def portraits(traits: Any, rng: np.random.Generator) -> Any:
    """Draw a picture (1, 40, 40) for each row of proportions."""
    images = np.empty((len(traits), 1, SIZE, SIZE), np.float32)
    for image, t in zip(images, traits, strict=True):
        angle, (dy, dx), zoom = rng.normal(0, 0.12), rng.normal(0, 1.5, 2), rng.uniform(0.92, 1.08)
        rows, columns = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / zoom
        y = np.cos(angle) * rows - np.sin(angle) * columns - dy
        x = np.sin(angle) * rows + np.cos(angle) * columns - dx
        face = np.hypot(x / (11 + 5 * t[0]), y / (14 + 4 * t[1])) < 1
        picture = 0.15 + 0.45 * face
        apart, high, wide = 3.5 + 4 * t[2], 2 + 4 * t[3], 1.3 + 1.7 * t[4]
        for side in (-1, 1):
            picture -= 0.4 * (np.hypot((x - side * apart) / wide, y + high) < 1.2)
        picture -= 0.25 * (np.hypot(x / (1 + 1.5 * t[5]), (y - 1.5) / 3) < 1)
        smile = rng.normal(0, 0.4)
        mouth = abs(y - 6 - 2 * t[6] - smile * (x / 5) ** 2) < 0.9
        picture -= 0.35 * (mouth & (abs(x) < 3 + 4 * t[7]))
        light = 1 + rng.normal(0, 0.15) * x / SIZE * 2 + rng.normal(0, 0.1)
        image[0] = picture * light + rng.normal(0, 0.05, picture.shape)
    return images


class Network(nn.Module):
    """(batch, 1, 40, 40) -> directions (batch, 64)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 48, 64)
        self.features = nn.Sequential(*[nn.Conv2dNormActivation(a, b, 3, 2) for a, b in pairwise(widths)])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 5 * 5, 64), nn.BatchNorm1d(64))

    def forward(self, x: Any) -> Any:
        return ops.normalize(self.head(self.features(x)))


def verify(first: Any, second: Any, same: Any) -> float:
    """The accuracy of the best threshold on the similarity of pairs."""
    likeness = (first * second).sum(1)
    return float(max(((likeness > cut) == same).mean() for cut in likeness))


def main(quick: bool = False) -> float:
    """Return the accuracy on pairs of pictures of persons that training has not seen."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    known, each = (20, 4) if quick else (200, 30)
    y = np.repeat(np.arange(known), each)
    x = portraits(persons(known, rng)[y], rng)
    model, head = Network(), nn.ArcFace(64, known, scale=24.0, margin=0.3)
    steps = (1 if quick else 8) * len(x) // 40
    optimizer = optim.AdamW([*model.parameters(), *head.parameters()], lr=2e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    step = cc.train_step(lambda x, y: ops.cross_entropy(head(model(x), y), y), optimizer)
    for number in range(steps):
        rows = rng.integers(0, len(x), 40)
        value = step(x[rows], y[rows])
        schedule.step()
        if number % 200 == 0:
            print(f"step {number}: loss {value:.2f}")
    count = 20 if quick else 1000
    strangers, others = persons(count, rng), persons(count, rng)
    same = np.arange(count) % 2 == 0
    pair = [portraits(strangers, rng), portraits(np.where(same[:, None], strangers, others), rng)]
    model.eval()
    accuracy = verify(*(model.predict(part) for part in pair), same)
    flat = [part.reshape(count, -1) - part.mean() for part in pair]
    pixels = verify(*(part / np.linalg.norm(part, axis=1, keepdims=True) for part in flat), same)
    print(f"pairs of strangers: {accuracy:.1%} right; by the pixels themselves {pixels:.1%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
