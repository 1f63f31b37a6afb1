# SPDX-License-Identifier: Apache-2.0
"""Time-series classification by convolutions over time, against the nearest neighbour.

The series are made, as Saito (1994) describes them: a cylinder, a bell or a funnel that begins and ends
anywhere, under noise. 30 of them are for training, as in the UCR archive's CBF.

    python examples/time_series.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

import cnncore as cc
from cnncore import nn, optim

NAMES, LENGTH = ("cylinder", "bell", "funnel"), 128


def series(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return series (count, 1, 128), each with mean 0 and deviation 1, and their classes."""
    rng = np.random.default_rng(seed)
    t, labels = np.arange(LENGTH), np.arange(count) % 3
    rows = []
    for label in labels:
        begin, width = rng.integers(16, 33), rng.integers(32, 97)
        inside = (t >= begin) & (t <= begin + width)
        rise = (t - begin) / width
        shape = {0: 1.0, 1: rise, 2: 1 - rise}[int(label)]
        rows.append((6 + rng.normal()) * inside * shape + rng.normal(size=LENGTH))
    x = np.array(rows)[:, None]
    x = (x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True)
    return x.astype(np.float32), labels


def network(classes: int) -> nn.Module:
    """Convolutions without pooling, the mean over time (Wang, Yan and Oates, 2017), a smaller one."""
    layers: list[nn.Module] = []
    channels = 1
    for width, taps in ((32, 9), (64, 5), (32, 3)):
        layers += [nn.Conv1d(channels, width, taps, padding=taps // 2), nn.BatchNorm1d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, classes))


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, for a test")
    quick = parser.parse_args().quick
    cc.manual_seed(0)
    x, y = series(30, 0)
    new_x, new_y = series(300 if quick else 900, 1)

    model = network(len(NAMES))
    epochs = 60 if quick else 150
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule)
    trainer.fit(x, y, epochs=epochs, batch_size=10, verbose=0)

    distances = ((new_x[:, None, 0] - x[None, :, 0]) ** 2).sum(2)
    figures = {
        "nearest neighbour": float((y[distances.argmin(1)] == new_y).mean()),
        "CNN": trainer.evaluate(new_x, new_y)["accuracy"],
    }
    for name, accuracy in figures.items():
        print(f"{name:18} {accuracy:.1%} of {len(new_y)} new series")
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (new_y, trainer.predict_classes(new_x)), 1)
    for name, row in zip(NAMES, confusion, strict=True):
        print(f"{name:9} read as", ", ".join(f"{other} {n}" for other, n in zip(NAMES, row, strict=True)))
    return figures


if __name__ == "__main__":
    main()
