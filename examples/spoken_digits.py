# SPDX-License-Identifier: Apache-2.0
"""Spoken digits twice: a 1-D network on the wave itself, and a 2-D network on its mel spectrogram.

On the Free Spoken Digit Dataset where CNNCORE_DATA has it (recordings 0 to 4 of each speaker and digit are
for the test), else on two-tone sounds made here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim
from ported.example_data import quick_option

RATE, LENGTH = 8000, 8000


def sounds(quick: bool) -> tuple[Any, Any, Any, Any]:
    """Waves (samples, 1, 8000) and class numbers, for training and test."""
    folder = Path(os.environ.get("CNNCORE_DATA", ""))
    if not quick and (folder / "fsdd-wav.zip").exists():
        train, test = data.fsdd(folder)
        return train.x, train.y, test.x, test.y
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 48 if quick else 2000)
    time = np.arange(LENGTH) / RATE
    tones = 300 * 1.25 ** np.stack([y, (3 * y + 1) % 10], 1) * rng.uniform(0.97, 1.03, (len(y), 2))
    waves = np.sin(2 * np.pi * tones[..., None] * time).sum(1) * np.exp(-3 * time)
    x = (0.3 * waves + rng.normal(0, 0.2, waves.shape)).astype(np.float32)[:, None]
    cut = len(y) * 4 // 5
    return x[:cut], y[:cut], x[cut:], y[cut:]


def of_waves() -> nn.Sequential:
    """(batch, 1, 8000) -> (batch, 10): M5's form (Dai et al., 2017), smaller steps."""
    layers: list[nn.Module] = [
        nn.Conv1d(1, 48, 64, stride=4, padding=30, bias=False),
        nn.BatchNorm1d(48),
        nn.ReLU(),
    ]
    for inputs, outputs in ((48, 64), (64, 96), (96, 128), (128, 128)):
        layers += [
            nn.MaxPool1d(4),
            nn.Conv1d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm1d(outputs),
        ]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 10))


def of_spectrograms() -> nn.Sequential:
    """(batch, 1, 64 bands, 63 moments) -> (batch, 10)."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))


def learn(model: nn.Module, x: Any, y: Any, x_test: Any, y_test: Any, epochs: int) -> float:
    batch = 32
    loader = data.DataLoader((x, y), batch, shuffle=True, drop_last=True)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    trainer = cc.Trainer(model, loss, optimizer, scheduler=schedule, schedule_by="step")
    trainer.fit(loader, epochs=epochs, verbose=0)
    return float(trainer.evaluate(x_test, y_test)["accuracy"])


def main(quick: bool = False) -> float:
    """Return the test accuracy on spectrograms."""
    cc.manual_seed(0)
    x, y, x_test, y_test = sounds(quick)
    loudness = [wave / (wave.std(-1, keepdims=True) + 1e-3) for wave in (x, x_test)]
    waves = learn(of_waves(), loudness[0], y, loudness[1], y_test, 1 if quick else 15)
    mel = [
        data.mel_spectrogram(part, RATE, n_mels=64, n_fft=256, hop_length=128, log=True)
        for part in (x, x_test)
    ]
    mean, std = mel[0].mean(), mel[0].std()
    seen, unseen = ((part - mean) / std for part in mel)
    spectrograms = learn(of_spectrograms(), seen, y, unseen, y_test, 1 if quick else 12)
    print(f"test accuracy: waves {waves:.1%}, spectrograms {spectrograms:.1%}")
    return spectrograms


if __name__ == "__main__":
    main(quick_option())
