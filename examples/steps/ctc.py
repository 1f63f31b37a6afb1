# SPDX-License-Identifier: Apache-2.0
"""Reading rows of digits: columns of an image are moments, CTC finds which of them show which digit."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.nn import functional as F  # noqa: N812
from cnncore.train import metrics

LONGEST, WIDTH = 4, 48
BLANK = 0
"""Digits are the classes 1 to 10."""


class Reader(nn.Module):
    """Images (batch, 1, 8, width) to log-probabilities (width / 2, batch, 11)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, (4, 5), padding=(0, 2)), nn.BatchNorm2d(64), nn.ReLU(),
        )  # fmt: skip
        self.memory = nn.GRU(64, 32, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 11)

    def forward(self, x: Any) -> Any:
        columns = self.body(x).squeeze(2).permute(0, 2, 1)
        return F.log_softmax(self.head(self.memory(columns)[0]), dim=2).permute(1, 0, 2)


def rows_of_digits(x: Any, y: Any, count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Images of 2 to 4 digits with gaps of any width, their classes, and how many these are."""
    images = np.zeros((count, 1, 8, WIDTH), np.float32)
    labels, lengths = np.zeros((count, LONGEST), np.int64), rng.integers(2, LONGEST + 1, count)
    for image, label, length in zip(images, labels, lengths, strict=True):
        chosen = rng.integers(len(x), size=length)
        gaps = np.sort(rng.integers(WIDTH - 8 * length + 1, size=length))
        for place, (number, gap) in enumerate(zip(chosen, gaps, strict=True)):
            left = gap + 8 * place
            image[:, :, left : left + 8] = x[number]
        label[:length] = y[chosen] + 1
    return images, labels, lengths


def read(log_probs: Any) -> list[list[int]]:
    """The likeliest class of each moment, repetitions and blanks left out."""
    best = log_probs.argmax(2).T
    return [[int(b) for a, b in zip([BLANK, *row], row, strict=False) if b not in (a, BLANK)] for row in best]


def main(quick: bool = False) -> float:
    """Return the share of wrong characters."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = data.digits()
    rng = np.random.default_rng(0)
    model, loss = Reader(), nn.CTCLoss(blank=BLANK)

    def ctc(images: Any, labels: Any, lengths: Any) -> Any:
        log_probs = model(images)
        moments = np.full(len(images), WIDTH // 2)
        return loss(log_probs, labels, moments, lengths)

    steps = 400 if quick else 1500
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    step = cc.train_step(ctc, optimizer)
    for number in range(steps):
        value = step(*rows_of_digits(x, y, 32, rng))
        schedule.step()
        if number % 50 == 0:
            print(f"step {number}  loss {value:.4f}")
    images, labels, lengths = rows_of_digits(x_test, y_test, 300, rng)
    texts = [row[:length].tolist() for row, length in zip(labels, lengths, strict=True)]
    found = read(np.asarray(model.eval()(images)))
    wrong = float(metrics.character_error_rate(found, texts))
    print("first:", texts[0], "read as", found[0], f" character error rate {wrong:.2%}")
    return wrong


if __name__ == "__main__":
    main("--quick" in sys.argv)
