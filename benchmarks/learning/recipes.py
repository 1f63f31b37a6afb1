# SPDX-License-Identifier: Apache-2.0
"""What both frameworks train with: data sets as arrays, and the numbers of each recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnncore import data

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's training images, as shares of white."""


class Sets(NamedTuple):
    """Training and test data: images or features (samples, channels, height, width), class numbers."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any

    def first(self, count: int) -> Sets:
        """The first samples of both, in an order that mixes the classes."""
        chosen, tested = (np.random.default_rng(0).permutation(len(y))[:count] for y in (self.y, self.y_test))
        return Sets(self.x[chosen], self.y[chosen], self.x_test[tested], self.y_test[tested])


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; the learning rate makes one cycle over all steps (OneCycleLR)."""

    target: float
    """The test accuracy that the time is taken to."""
    epochs: int
    batch_size: int
    lr: float
    """The highest."""
    weight_decay: float
    label_smoothing: float = 0.0

    def steps(self, samples: int) -> int:
        """Steps of an epoch; a last batch that is smaller is left out."""
        return samples // self.batch_size


RECIPES = {
    "mnist": Recipe(0.99, epochs=4, batch_size=64, lr=2e-3, weight_decay=1e-2),
    "fsdd": Recipe(0.97, epochs=10, batch_size=32, lr=4e-3, weight_decay=1e-2, label_smoothing=0.1),
    "cifar10": Recipe(0.83, epochs=8, batch_size=128, lr=0.2, weight_decay=5e-4, label_smoothing=0.1),
}


def mnist(folder: Path) -> Sets:
    """MNIST, from 0 to 1."""
    (x, y), (x_test, y_test) = data.mnist(folder / "mnist")
    return Sets(x, y, x_test, y_test)


def cifar10(folder: Path) -> Sets:
    """CIFAR-10 as uint8."""
    (x, y), (x_test, y_test) = data.cifar10(folder, dtype="uint8")
    return Sets(x, y, x_test, y_test)


def fsdd(folder: Path) -> Sets:
    """Logarithmic mel spectrograms of the spoken digits, 64 bands of 63 moments, standardised."""
    features = []
    sounds = data.fsdd(folder)
    for part in sounds:
        features.append(
            data.mel_spectrogram(part.x, part.rate, n_mels=64, n_fft=256, hop_length=128, log=True)
        )
    mean, std = features[0].mean(), features[0].std()
    x, x_test = ((feature - mean) / std for feature in features)
    return Sets(x, sounds[0].y, x_test, sounds[1].y)


READERS = {"mnist": mnist, "fsdd": fsdd, "cifar10": cifar10}
