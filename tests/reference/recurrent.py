# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in float64, a row and a step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def step(cell: str, x: Array, h: Array, c: Array, weights: Sequence[Array]) -> tuple[Array, Array]:
    """The new state and cell state of one row."""
    ih, hh, bias_ih, bias_hh, *hr = weights
    a, b = ih @ x + bias_ih, hh @ h + bias_hh
    if cell == "lstm":
        i, f, g, o = np.split(a + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (hr[0] @ h if hr else h), c
    if cell == "gru":
        (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
        z = sigmoid(az + bz)
        n = np.tanh(an + sigmoid(ar + br) * bn)
        return (1 - z) * n + z * h, c
    return (np.tanh(a + b) if cell == "rnn_tanh" else np.maximum(a + b, 0)), c


def recurrent(
    cell: str,
    x: Array,
    h0: Array,
    c0: Array,
    weights: Sequence[Sequence[Array]],
    directions: int = 1,
    lengths: Sequence[int] | None = None,
) -> tuple[Array, Array, Array]:
    """Layers on x (time, batch, features); `weights` of each layer and direction, biases included."""
    time, batch, _ = x.shape
    counts = [time] * batch if lengths is None else list(lengths)
    last_h, last_c = np.array(h0), np.array(c0)
    for first in range(0, len(weights), directions):
        found = []
        for direction in range(directions):
            index = first + direction
            y = np.zeros((time, batch, h0.shape[2]))
            for row in range(batch):
                h, c = last_h[index, row], last_c[index, row]
                for t in range(counts[row])[:: 1 if direction == 0 else -1]:
                    h, c = step(cell, x[t, row], h, c, weights[index])
                    y[t, row] = h
                last_h[index, row], last_c[index, row] = h, c
            found.append(y)
        x = np.concatenate(found, 2)
    return x, last_h, last_c
