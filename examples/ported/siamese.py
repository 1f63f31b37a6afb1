# SPDX-License-Identifier: Apache-2.0
"""A siamese network: one encoder sees anchor, positive and negative, and is tied by being the same module."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, optim
from cnncore.nn import functional as F  # noqa: N812
from example_data import mnist, quick_option


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 25, 16),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return F.normalize(self.layers(x), dim=1)


def triplets(y: Any, count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Numbers of anchors, of images of the same class, and of another."""
    of_class = [np.flatnonzero(y == label) for label in range(10)]
    same, others = rng.integers(10, size=count), rng.integers(1, 10, size=count)
    anchor, positive = (np.array([rng.choice(of_class[label]) for label in same]) for _ in range(2))
    return anchor, positive, np.array([rng.choice(of_class[label]) for label in (same + others) % 10])


def main(quick: bool = False) -> float:
    """Return the share of test images whose nearest training image is of their class."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = mnist(quick)
    encoder, loss = Encoder(), nn.TripletMarginLoss(margin=0.5)

    def of_triplet(a: Any, p: Any, n: Any) -> Any:
        codes = encoder(cc.ops.cat([a, p, n])).chunk(3)  # together: one batch norm over all
        return loss(*codes)

    step = cc.train_step(of_triplet, optim.Adam(encoder.parameters(), lr=2e-3))
    rng = np.random.default_rng(0)
    for number in range(150 if quick else 2000):
        value = step(*(x[chosen] for chosen in triplets(y, 64, rng)))
        if number % 50 == 0:
            print(f"step {number}  loss {value:.4f}")
    codes, codes_test = (encoder.predict(images, batch_size=500) for images in (x[:5000], x_test[:1000]))
    nearest = (codes_test @ codes.T).argmax(1)
    right = float((y[:5000][nearest] == y_test[:1000]).mean())
    print(f"nearest neighbours of the same class {right:.2%}")
    return right


if __name__ == "__main__":
    main(quick_option())
