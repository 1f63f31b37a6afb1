# SPDX-License-Identifier: Apache-2.0
"""Classifying videos by 3-D convolutions: which way does the shape move? One frame alone does not tell.

Clips of a square, disc or cross that moves right, left, up, down, grows or shrinks are made here. A
network of 3-D convolutions sees them whole; the same network on the frames in random order shows that it
is the motion it reads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from ported.example_data import quick_option

MOTIONS = ("right", "left", "up", "down", "grows", "shrinks")
FRAMES, SIZE = 8, 32


def draw(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw clips (count, 1, 8, 32, 32) and the number of each one's motion."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    clips = rng.normal(0, 0.15, (count, 1, FRAMES, SIZE, SIZE)).astype(np.float32)
    motions = rng.integers(0, len(MOTIONS), count)
    steps = np.array([[1, 0], [-1, 0], [0, -1], [0, 1], [0, 0], [0, 0]], float)
    for clip, motion in zip(clips, motions, strict=True):
        speed, kind = rng.uniform(0.8, 1.6), rng.integers(3)
        middle, half = rng.uniform(12, SIZE - 12, 2), rng.uniform(3.5, 5.5)
        for time, image in zip(np.arange(FRAMES) - (FRAMES - 1) / 2, clip[0], strict=True):
            x, y = middle + steps[motion] * speed * time
            radius = half * (1 + {4: 0.1, 5: -0.1}.get(int(motion), 0.0) * time)
            across, down = abs(columns - x), abs(rows - y)
            if kind == 0:
                inside = np.maximum(across, down) < radius
            elif kind == 1:
                inside = np.hypot(across, down) < radius
            else:
                inside = (np.minimum(across, down) < radius / 3) & (np.maximum(across, down) < radius)
            image += inside
    return clips, motions


class Network(nn.Module):
    """(batch, 1, frames, height, width) -> (batch, motions)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 48)
        blocks = [
            nn.Sequential(nn.Conv3dNormActivation(inputs, outputs, 3), nn.MaxPool3d(2))
            for inputs, outputs in pairwise(widths)
        ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], len(MOTIONS))

    def forward(self, x: Any) -> Any:
        return self.head(ops.mean(self.features(x), (2, 3, 4)))


def learn(shuffled: bool, quick: bool) -> float:
    """Return the accuracy on new clips, of frames in order or shuffled."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)

    def clips(count: int) -> tuple[Any, Any]:
        x, y = draw(count, rng)
        if shuffled:
            x = np.stack([clip[:, rng.permutation(FRAMES)] for clip in x])
        return x, y

    model = Network()
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=4e-3))
    trainer.fit(*clips(48 if quick else 1200), epochs=1 if quick else 6, batch_size=24, verbose=0)
    return float(trainer.evaluate(*clips(24 if quick else 300))["accuracy"])


def main(quick: bool = False) -> float:
    """Return the accuracy of the network that sees the motion."""
    accuracy, without = learn(False, quick), learn(True, quick)
    print(f"accuracy {accuracy:.1%}; with frames in random order {without:.1%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
