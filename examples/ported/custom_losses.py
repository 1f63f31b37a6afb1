# SPDX-License-Identifier: Apache-2.0
"""Losses written out: focal, Dice, and a Huber loss that leaves pixels out, added up in one training step."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.nn import functional as F  # noqa: N812
from example_data import mnist, quick_option


def focal_loss(logits: Any, target: Any, gamma: float = 2.0) -> Any:
    """Cross-entropy in which samples that are right already count less (Lin et al., 2017)."""
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return -((1 - log_p.exp()) ** gamma * log_p).mean()


def dice_loss(logits: Any, mask: Any) -> Any:
    """1 minus twice the overlap by the sum of both areas (Milletari et al., 2016)."""
    p = F.sigmoid(logits).flatten(1)
    mask = mask.flatten(1)
    return (1 - (2 * (p * mask).sum(1) + 1) / (p.sum(1) + mask.sum(1) + 1)).mean()


def masked_huber(output: Any, target: Any, known: Any, delta: float = 0.1) -> Any:
    """The mean over known pixels of a parabola that goes on as a line."""
    distance = (output - target).abs()
    losses = cc.ops.where(distance < delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))
    return (losses * known).sum() / known.sum().clamp(min=1)


class Net(nn.Module):
    """What the digit is, where its ink is, and what its unknown pixels are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.pixels = nn.Conv2d(16, 2, 3, padding=1)
        self.classes = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16 * 49, 10))

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        x = self.body(x)
        ink, grey = self.pixels(x).chunk(2, 1)
        return self.classes(x), ink, grey


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = mnist(quick)
    known = (np.random.default_rng(0).random(x.shape) < 0.9).astype(np.float32)
    model = Net()

    def loss(x: Any, y: Any, known: Any) -> tuple[Any, Any]:
        classes, ink, grey = model(x * known)
        parts = focal_loss(classes, y), dice_loss(ink, x > 0.5), masked_huber(grey, x, known)
        return sum(parts), parts  # what stands behind the loss is returned beside it

    step = cc.train_step(loss, optim.Adam(model.parameters(), lr=3e-3))
    for epoch in range(3):
        for batch in data.DataLoader((x, y, known), batch_size=64, shuffle=True, seed=epoch):
            value, parts = step(*batch)
        names = zip(("focal", "dice", "huber"), parts, strict=True)
        print(f"epoch {epoch + 1}  loss {value:.4f}  " + "  ".join(f"{n} {float(p):.4f}" for n, p in names))
    accuracy = float((model.predict(x_test, batch_size=500)[0].argmax(1) == y_test).mean())
    print(f"test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
