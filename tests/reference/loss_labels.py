# SPDX-License-Identifier: Apache-2.0
"""Losses of labels, embeddings and segmentations in float64, unreduced."""

from __future__ import annotations

from typing import Any

import numpy as np

from .softmax import log_softmax


def taken(x: Any, labels: Any, ignored: int) -> tuple[Any, Any]:
    """x at the labels, and whether they count."""
    kept = labels != ignored
    places = np.expand_dims(np.where(kept, labels, 0), 1)
    return np.take_along_axis(x, places, 1)[:, 0], kept


def nll(x: Any, labels: Any, weight: Any, ignored: int, reduction: str) -> Any:
    values, kept = taken(x, labels, ignored)
    factors = kept * (1.0 if weight is None else np.asarray(weight, np.float64)[np.where(kept, labels, 0)])
    losses = -np.where(kept, values, 0) * factors
    if reduction == "none":
        return losses
    return losses.sum() / (factors.sum() if reduction == "mean" else 1.0)


def softmax_focal(x: Any, labels: Any, weight: Any, gamma: float, ignored: int, reduction: str) -> Any:
    values, kept = taken(log_softmax(x, 1), labels, ignored)
    factors = kept * (1.0 if weight is None else np.asarray(weight, np.float64)[np.where(kept, labels, 0)])
    losses = -factors * (1 - np.exp(values)) ** gamma * values
    if reduction == "none":
        return losses
    return losses.sum() / (kept.sum() if reduction == "mean" else 1.0)


def multi_margin(x: Any, labels: Any, p: int, margin: float, weight: Any = None) -> Any:
    own = x[np.arange(len(x)), labels][:, None]
    hinges = np.maximum(0, margin - own + x) ** p
    hinges[np.arange(len(x)), labels] = 0
    factors = 1.0 if weight is None else np.asarray(weight, np.float64)[labels]
    return hinges.sum(1) / x.shape[1] * factors


def multilabel_margin(x: Any, target: Any) -> Any:
    losses = []
    for row, labels in zip(x, target, strict=True):
        ends = np.flatnonzero(labels < 0)
        listed = labels[: ends[0]] if len(ends) else labels
        others = [i for i in range(len(row)) if i not in listed]
        losses.append(sum(max(0.0, 1 - row[j] + row[i]) for j in listed for i in others) / len(row))
    return np.array(losses)


def cosine_embedding(a: Any, b: Any, t: Any, margin: float) -> Any:
    cosine = (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12))
    return np.where(t == 1, 1 - cosine, np.maximum(0, cosine - margin))


def distance(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6) -> Any:
    return (np.abs(a - b + eps) ** p).sum(-1) ** (1 / p)


def triplet(a: Any, b: Any, c: Any, margin: float, p: float, swap: bool) -> Any:
    far = distance(a, c, p)
    if swap:
        far = np.minimum(far, distance(b, c, p))
    return np.maximum(0, distance(a, b, p) - far + margin)


def contrastive(a: Any, b: Any, t: Any, margin: float) -> Any:
    d = distance(a, b)
    return 0.5 * (t * d**2 + (1 - t) * np.maximum(0, margin - d) ** 2)


def nt_xent(a: Any, b: Any, temperature: float) -> Any:
    x = np.concatenate([a, b])
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    similar = x @ x.T / temperature
    n = len(a)
    losses = []
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i]
        top = similar[i][others].max()
        losses.append(top + np.log(np.exp(similar[i][others] - top).sum()) - similar[i, (i + n) % (2 * n)])
    return np.mean(losses)


def sigmoid_focal(x: Any, t: Any, alpha: float, gamma: float) -> Any:
    p = 1 / (1 + np.exp(-x))
    right = p * t + (1 - p) * (1 - t)
    loss = (np.logaddexp(0, x) - x * t) * (1 - right) ** gamma
    return loss if alpha < 0 else loss * (alpha * t + (1 - alpha) * (1 - t))


def tversky(p: Any, t: Any, alpha: float, beta: float, smooth: float) -> Any:
    axes = tuple(range(2, p.ndim)) or (1,)
    hits, wrong, missed = ((v).sum(axes) for v in (p * t, p * (1 - t), (1 - p) * t))
    return 1 - (hits + smooth) / (hits + alpha * wrong + beta * missed + smooth)
