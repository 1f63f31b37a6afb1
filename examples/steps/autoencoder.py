# SPDX-License-Identifier: Apache-2.0
"""An autoencoder that takes noise away: input and target of the step are two arrays of one kind."""

from __future__ import annotations

import sys

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(8, 16, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, stride=2),
    )  # fmt: skip


def main(quick: bool = False) -> tuple[float, float]:
    """Return the mean squared errors of noisy images and of what the network makes of them."""
    cc.manual_seed(0)
    (x, _), (x_test, _) = data.digits()
    rng = np.random.default_rng(0)
    model, loss = network(), nn.MSELoss()
    step = cc.train_step(
        lambda noisy, clean: loss(model(noisy), clean), optim.Adam(model.parameters(), lr=5e-3)
    )
    for epoch in range(10 if quick else 50):
        for (clean,) in data.DataLoader((x,), 32, shuffle=True, seed=epoch):
            noise = rng.normal(0, 0.3, clean.shape).astype(np.float32)
            value = step(clean + noise, clean)
        print(f"epoch {epoch + 1}  loss {value:.4f}")
    noisy = x_test + rng.normal(0, 0.3, x_test.shape).astype(np.float32)
    before, after = (float(((images - x_test) ** 2).mean()) for images in (noisy, model.predict(noisy)))
    print(f"mean squared error {before:.4f} with noise, {after:.4f} without")
    return before, after


if __name__ == "__main__":
    main("--quick" in sys.argv)
