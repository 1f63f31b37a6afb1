# SPDX-License-Identifier: Apache-2.0
"""Spotting a keyword in a stream: a causal 1-D network that looks at each moment once.

Dilated causal convolutions keep what they need of the past between two pieces of the stream, so that each
piece of 0.1 s costs the same, and the results are those of the whole recording at once. The keyword and
what sounds like it are sequences of tones in noise, made here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim
from ported.example_data import quick_option

RATE, HOP, BANDS, PIECE = 8000, 80, 32, 10
WORDS = ((500, 1200, 800), (500, 800, 1200), (1200, 500, 800), (800, 800, 500), (1200, 1200, 500))
"""The tones of the keyword, and of words that share its tones."""
DILATIONS = (1, 2, 4, 8, 16)


def speak(moments: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """A stream of words: its features (32, moments) and whether the keyword ended within the last 0.1 s."""
    wave, ends = rng.normal(0, 0.3, moments * HOP), np.zeros(moments, np.float32)
    at = int(rng.integers(400, 3000))
    while at + 4000 < len(wave):
        word = int(rng.integers(len(WORDS))) if rng.random() < 0.6 else 0
        for tone in WORDS[word]:
            length = int(rng.integers(700, 1100))
            time = np.arange(length) / RATE
            pitch = tone * rng.uniform(0.95, 1.05)
            wave[at : at + length] += np.sin(np.pi * np.arange(length) / length) * np.sin(
                2 * np.pi * pitch * time
            )
            at += length
        if word == 0:
            ends[at // HOP : at // HOP + 10] = 1
        at += int(rng.integers(1500, 6000))
    mel = data.mel_spectrogram(
        wave.astype(np.float32), RATE, n_mels=BANDS, n_fft=256, hop_length=HOP, log=True
    )
    return (mel[:, :moments] + 3).astype(np.float32) / 4, ends


class Spotter(nn.Module):
    """(batch, 32, moments) -> logits (batch, moments); with `kept` also what the next piece needs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, 48, 1)
        self.layers = nn.ModuleList([nn.Conv1d(48, 48, 3, dilation=dilation) for dilation in DILATIONS])
        self.head = nn.Conv1d(48, 1, 1)

    def past(self) -> list[Any]:
        """Silence before the first piece."""
        return [np.zeros((1, 48, 2 * dilation), np.float32) for dilation in DILATIONS]

    def forward(self, x: Any, *kept: Any) -> Any:
        x, later = ops.relu(self.first(x)), []
        for number, (layer, dilation) in enumerate(zip(self.layers, DILATIONS, strict=True)):
            before = ops.concat([kept[number], x], 2) if kept else ops.pad(x, (2 * dilation, 0))
            later.append(before[:, :, -2 * dilation :])
            x = x + ops.relu(layer(before))
        logits = self.head(x)[:, 0]
        return (logits, *later) if kept else logits


def main(quick: bool = False) -> float:
    """Return the share of keywords that are spotted, less the false alarms."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model, steps = Spotter(), 5 if quick else 300
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    loss = nn.BCEWithLogitsLoss(pos_weight=np.float32(4))
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer, clip_grad_norm=1.0)
    for number in range(steps):
        streams = [speak(400, rng) for _ in range(8)]
        value = step(*map(np.stack, zip(*streams, strict=True)))
        if number % 100 == 0:
            print(f"step {number}: loss {value:.3f}")
    model.eval()
    x, ends = speak(600 if quick else 12000, rng)
    kept, heard = model.past(), []
    for first in range(0, x.shape[1], PIECE):
        logits, *kept = model(x[None, :, first : first + PIECE], *kept)
        heard.append(logits[0])
    whole = model(x[None])[0]
    difference = float(abs(np.concatenate(heard) - whole).max())
    alarms = np.flatnonzero(np.diff(np.r_[0, np.concatenate(heard) > 0]) == 1)
    keywords = np.flatnonzero(np.diff(np.r_[0, ends]) == 1)
    near = abs(alarms[:, None] - keywords) <= 15
    found, false = near.any(0).sum(), (~near.any(1)).sum()
    print(f"{found} of {len(keywords)} keywords, {false} false alarms; pieces differ by {difference:.1e}")
    return float(found - false) / max(len(keywords), 1)


if __name__ == "__main__":
    main(quick_option())
