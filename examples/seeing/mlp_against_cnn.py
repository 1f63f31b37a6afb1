# SPDX-License-Identifier: Apache-2.0
"""The same task by an MLP and by a CNN: parameters, accuracy, and accuracy on shifted images.

A convolution uses one filter at every place (weight sharing) and looks at neighbours only (locality), so that
a shifted image gives shifted maps; taking the largest of each map then forgets where it was. The MLP has a
weight of its own for each pixel, and has to see every place to know it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim

SIDE, CENTRE = 16, 4
"""Digits of 8 x 8 lie in the middle of a larger frame while the networks learn."""

SHIFTS = (0, 1, 2, 4)


class LargestOfEachMap(nn.Module):
    """(batch, channels, height, width) -> (batch, channels): what is there, wherever it is."""

    def forward(self, x: Any) -> Any:
        return ops.amax(x, (2, 3))


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIDE * SIDE, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        LargestOfEachMap(), nn.Linear(64, 10),
    )  # fmt: skip


def framed(images: Any, right: int = 0, down: int = 0) -> Any:
    """Put digits into the frame, moved from its middle."""
    frames = np.zeros((len(images), 1, SIDE, SIDE), np.float32)
    top, left = CENTRE + down, CENTRE + right
    frames[:, :, top : top + 8, left : left + 8] = images
    return frames


def accuracy(model: nn.Module, images: Any, labels: Any, shift: int) -> float:
    """Return the accuracy, over shifts by so many pixels to the four sides."""
    ways = {(shift, 0), (-shift, 0), (0, shift), (0, -shift)}
    right = [(model.predict(framed(images, *way)).argmax(axis=1) == labels).mean() for way in ways]
    return float(np.mean(right))


def main(quick: bool = False) -> dict[str, list[float]]:
    """Return the accuracies of both networks, one for each of `SHIFTS`."""
    (x, y), (x_test, y_test) = data.digits()
    found = {}
    for build in (mlp, cnn):
        cc.manual_seed(0)
        model = build()
        trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=2e-3))
        trainer.fit(framed(x), y, epochs=6 if quick else 20, batch_size=32, verbose=0)
        found[build.__name__] = [accuracy(model, x_test, y_test, shift) for shift in SHIFTS]
        size = cc.summary(model, (1, 1, SIDE, SIDE)).parameters
        parts = ", ".join(
            f"{value:.1%} shifted by {shift}"
            for shift, value in zip(SHIFTS, found[build.__name__], strict=True)
        )
        print(f"{build.__name__}: {size:,} parameters; accuracy {parts}")
    return found


if __name__ == "__main__":
    main("--quick" in sys.argv)
