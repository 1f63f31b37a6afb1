# SPDX-License-Identifier: Apache-2.0
"""Convolutions with an LSTM head: how many steps has the walker in a noisy acceleration signal taken?

The signal is 12 s long, the pace differs and changes; convolutions find what a step looks like, the LSTM
counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from ported.example_data import quick_option

RATE, SECONDS = 25, 12
LENGTH = RATE * SECONDS


def walk(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw signals (count, 3 axes, 300) and the steps in them (count, 1)."""
    signals = rng.normal(0, 0.4, (count, 3, LENGTH)).astype(np.float32)
    steps = np.zeros((count, 1), np.float32)
    shape = np.sin(np.linspace(0, 2 * np.pi, 9)) * np.hanning(9)
    for signal, taken in zip(signals, steps, strict=True):
        at, pace = rng.uniform(5, 40), rng.uniform(10, 20)
        direction = np.array([1.0, 0.4, 0.2]) * rng.uniform(1.2, 2.0)
        while at + 9 < LENGTH:
            if rng.random() < 0.85:  # else a pause
                signal[:, int(at) : int(at) + 9] += direction[:, None] * shape
                taken += 1
            at += pace * rng.uniform(0.9, 1.1)
    return signals, steps


class Counter(nn.Module):
    """(batch, 3, 300) -> (batch, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(3, 32, 9, padding=4), nn.ReLU(), nn.Conv1d(32, 32, 5, 2, 2), nn.ReLU(),
            nn.Conv1d(32, 32, 5, 2, 2), nn.ReLU(),
        )  # fmt: skip
        self.lstm = nn.LSTM(32, 48, batch_first=True)
        self.head = nn.Linear(48, 1)

    def forward(self, x: Any) -> Any:
        sequence = ops.permute(self.features(x), (0, 2, 1))
        states, _ = self.lstm(sequence)
        return self.head(states).sum(1)  # what each moment adds


def main(quick: bool = False) -> float:
    """Return the mean error of the counts on signals that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model, epochs = Counter(), 1 if quick else 12
    x, y = walk(64 if quick else 3000, rng)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    trainer = cc.Trainer(
        model, nn.SmoothL1Loss(), optimizer, metrics="mae", scheduler=schedule, clip_grad_norm=1.0
    )
    trainer.fit(x, y, epochs=epochs, batch_size=32, verbose=0 if quick else 1)
    x, y = walk(32 if quick else 500, rng)
    error = float(trainer.evaluate(x, y)["mae"])
    spread = abs(y - y.mean()).mean()
    print(f"{y.mean():.1f} steps a signal; counts are {error:.2f} off, the mean of all would be {spread:.2f}")
    return error


if __name__ == "__main__":
    main(quick_option())
