# SPDX-License-Identifier: Apache-2.0
"""Connectionist temporal classification by its definition: over all alignments, or by the recursion."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np


def ctc(log_probs: Any, labels: Any, blank: int) -> float:
    """-log of the probability of `labels` under one sample's (time, classes)."""
    time = len(log_probs)
    states = [blank]
    for label in labels:
        states += [int(label), blank]
    if time == 0:
        return 0.0 if len(labels) == 0 else np.inf
    row = np.full(len(states), -np.inf)
    row[:2] = [log_probs[0][s] for s in states[:2]]
    for t in range(1, time):
        new = np.full(len(states), -np.inf)
        for s, state in enumerate(states):
            terms = [row[s]] + ([row[s - 1]] if s else [])
            if s > 1 and state not in (blank, states[s - 2]):
                terms.append(row[s - 2])
            new[s] = np.logaddexp.reduce(terms) + log_probs[t][state]
        row = new
    return -float(np.logaddexp.reduce(row[-2:]))


def ctc_by_paths(log_probs: Any, labels: Any, blank: int) -> float:
    """The same by looking at every path."""
    time, classes = np.shape(log_probs)
    total = -np.inf
    for path in product(range(classes), repeat=time):
        merged = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in merged if c != blank] == list(labels):
            total = np.logaddexp(total, sum(log_probs[t][c] for t, c in enumerate(path)))
    return -float(total)


def ctc_batch(x: Any, targets: Any, times: Any, counts: Any, blank: int, reduction: str) -> Any:
    """Losses of (time, batch, classes) as torch reduces them."""
    losses, begin = [], 0
    for n, (time, count) in enumerate(zip(times, counts, strict=True)):
        labels = targets[n][:count] if np.ndim(targets) == 2 else targets[begin : begin + count]
        begin += count
        losses.append(ctc(x[:time, n], labels, blank))
    found = np.array(losses)
    if reduction == "mean":
        return np.mean(found / np.maximum(1, counts))
    return found.sum() if reduction == "sum" else found
