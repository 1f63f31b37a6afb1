# SPDX-License-Identifier: Apache-2.0
"""Reading handwritten lines: a CRNN with CTC loss on lines made of MNIST's digits (Shi et al., 2015).

Convolutions make a sequence of columns, a bidirectional LSTM reads it in both directions, and CTC learns
where each digit stands from the text of the line alone. The figure is the character error rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.train.metrics import character_error_rate
from ported.example_data import mnist, quick_option

HEIGHT, WIDTH, LONGEST, BLANK = 28, 192, 8, 0


class CRNN(nn.Module):
    """(batch, 1, 28, width) -> log-probabilities (width / 4, batch, 11)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *self.block(1, 32, (2, 2)), *self.block(32, 64, (2, 2)), *self.block(64, 96, (7, 1))
        )
        self.rnn = nn.LSTM(96, 64, bidirectional=True)
        self.head = nn.Linear(128, 11)

    def block(self, inputs: int, outputs: int, pool: tuple[int, int]) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(pool)]

    def forward(self, x: Any) -> Any:
        columns = ops.permute(self.features(x)[:, :, 0], (2, 0, 1))
        return ops.log_softmax(self.head(self.rnn(columns)[0]), -1)


def lines(images: Any, labels: Any, count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Draw lines of 3 to 8 digits at uneven distances: images, texts padded with 0, and their lengths."""
    x = np.zeros((count, 1, HEIGHT, WIDTH), np.float32)
    texts, lengths = np.zeros((count, LONGEST), np.int64), rng.integers(3, LONGEST + 1, count)
    for line, length in enumerate(lengths):
        chosen = rng.integers(0, len(images), length)
        texts[line, :length] = labels[chosen] + 1  # 0 is CTC's blank
        at = 0
        for image in images[chosen, 0]:
            at = min(at + int(rng.integers(0, 3)), WIDTH - HEIGHT)
            part = x[line, 0, :, at : at + HEIGHT]
            np.maximum(part, image, out=part)
            at += int(rng.integers(19, 23))
    return x, texts, lengths


def read(model: CRNN, x: Any) -> list[list[int]]:
    """The digits of each line: the best of each column, repetitions and blanks taken out."""
    best = np.concatenate([model(part).argmax(-1) for part in np.split(x, range(100, len(x), 100))], 1)
    kept = (best != BLANK) & (best != np.roll(best, 1, 0))
    kept[0] = best[0] != BLANK
    return [(column[keep] - 1).tolist() for column, keep in zip(best.T, kept.T, strict=True)]


def main(quick: bool = False) -> float:
    """Return the character error rate on lines of digits that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    (images, labels), (test_images, test_labels) = mnist(quick)
    model, loss = CRNN(), nn.CTCLoss(blank=BLANK)
    epochs, count, batch = (1, 320, 32) if quick else (5, 8000, 32)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * (count // batch))
    columns = np.full(batch, WIDTH // 4)
    step = cc.train_step(lambda x, y, n: loss(model(x), y, columns, n), optimizer, clip_grad_norm=5.0)
    for epoch in range(epochs):
        x, texts, lengths = lines(images, labels, count, rng)
        losses = []
        for first in range(0, count - batch + 1, batch):
            part = slice(first, first + batch)
            losses.append(float(step(x[part], texts[part], lengths[part])))
            schedule.step()
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    x, texts, lengths = lines(test_images, test_labels, 100 if quick else 1000, rng)
    written = [(text[:n] - 1).tolist() for text, n in zip(texts, lengths, strict=True)]
    found = read(model.eval(), x)
    print("written", *written[0], " read", *found[0])
    rate = float(character_error_rate(found, written))
    print(f"character error rate {rate:.2%}")
    return rate


if __name__ == "__main__":
    main(quick_option())
