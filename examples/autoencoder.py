# SPDX-License-Identifier: Apache-2.0
"""An autoencoder that puts digits into 16 numbers, and a denoiser that takes noise off them."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, optim
from ported.example_data import mnist, quick_option


def autoencoder() -> nn.Sequential:
    """(batch, 1, 28, 28) -> the same through 16 numbers."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 16),
    )
    decoder = nn.Sequential(
        nn.Linear(16, 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip
    return nn.Sequential(encoder, decoder)


def denoiser() -> nn.Sequential:
    """(batch, 1, 28, 28) -> the noise in it (Zhang et al., 2017)."""
    layers: list[nn.Module] = [nn.Conv2d(1, 24, 3, padding=1), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(24, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(24, 1, 3, padding=1))


def learn(model: nn.Module, x: Any, y: Any, epochs: int) -> cc.Trainer:
    trainer = cc.Trainer(model, nn.MSELoss(), optim.AdamW(model.parameters(), lr=2e-3), metrics=None)
    trainer.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return trainer


def decibels(error: Any) -> float:
    """The peak signal-to-noise ratio of images from 0 to 1."""
    return float(-10 * np.log10(np.mean(error**2)))


def main(quick: bool = False) -> float:
    """Return how many decibels the denoiser gains on test images."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    (x, _), (x_test, _) = mnist(quick)
    x, x_test = x[: 128 if quick else 20000], x_test[: 64 if quick else 2000]
    found = learn(autoencoder(), x, x, 1 if quick else 5).predict(x_test)
    print(f"autoencoder: 784 pixels by 16 numbers, {decibels(found - x_test):.1f} dB")
    noise, test_noise = (rng.normal(0, 0.3, part.shape).astype(np.float32) for part in (x, x_test))
    guessed = learn(denoiser(), x + noise, noise, 1 if quick else 3).predict(x_test + test_noise)
    before, after = decibels(test_noise), decibels(test_noise - guessed)
    print(f"denoiser: {before:.1f} dB before, {after:.1f} dB after")
    return after - before


if __name__ == "__main__":
    main(quick_option())
