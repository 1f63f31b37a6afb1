# SPDX-License-Identifier: Apache-2.0
"""Losses of single elements in float64, unreduced, as their papers and torch define them."""

from __future__ import annotations

from typing import Any

import numpy as np


def reduced(losses: Any, reduction: str, weight: Any = None) -> Any:
    """Losses reduced; the mean is the weighted one where a weight is given."""
    if reduction == "none":
        return losses
    total = np.sum(losses)
    count = np.size(losses) if weight is None else np.sum(weight)
    return total if reduction == "sum" else total / count


def huber(x: Any, t: Any, delta: float) -> Any:
    d = np.abs(x - t)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def binary(x: Any, t: Any, weight: Any = 1.0) -> Any:
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return -weight * (t * yes + (1 - t) * no)


def divergence(x: Any, t: Any, log_target: bool) -> Any:
    if log_target:
        return np.exp(t) * (t - x)
    return np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0) - t * x


def poisson(x: Any, t: Any, log_input: bool, full: bool, eps: float = 1e-8) -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        count = np.maximum(t, 1)
        loss = loss + np.where(t > 1, t * np.log(count) - t + 0.5 * np.log(2 * np.pi * count), 0)
    return loss


def gaussian(x: Any, t: Any, v: Any, full: bool, eps: float = 1e-6) -> Any:
    if np.ndim(v) == np.ndim(x) - 1:
        v = np.asarray(v)[..., None]
    v = np.maximum(v, eps)
    return 0.5 * (np.log(v) + (x - t) ** 2 / v) + (0.5 * np.log(2 * np.pi) if full else 0)


def hinge_embedding(x: Any, t: Any, margin: float) -> Any:
    return np.where(t != 1, np.maximum(0, margin - x), 0) + np.where(t != -1, x, 0)
