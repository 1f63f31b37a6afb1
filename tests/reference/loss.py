# SPDX-License-Identifier: Apache-2.0
"""Losses with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, float64
from .softmax import log_softmax, softmax


def cross_entropy(
    logits: Any,
    target: Any,
    class_weight: Any = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Array, Array]:
    """Loss and its gradient by the logits (of the sum for reduction "none"), with torch's definitions.

    Logits are (N, C, ...), targets (N, ...).
    """
    logits, target = float64(logits), np.asarray(target)
    classes = logits.shape[1]
    weight = np.ones(classes) if class_weight is None else float64(class_weight)
    rows = np.moveaxis(logits, 1, -1).reshape(-1, classes)
    labels = target.reshape(-1)
    kept = labels != ignore_index
    one_hot = np.zeros_like(rows)
    one_hot[np.flatnonzero(kept), labels[kept]] = 1.0
    spread = (1 - label_smoothing) * one_hot * weight + label_smoothing / classes * weight * kept[:, None]
    losses = -(spread * log_softmax(rows)).sum(-1)
    grads = softmax(rows) * spread.sum(-1, keepdims=True) - spread
    if reduction == "mean":
        total = weight[labels[kept]].sum()
        losses, grads = losses.sum() / total, grads / total
    elif reduction == "sum":
        losses = losses.sum()
    else:
        losses = losses.reshape(target.shape)
    spatial = logits.shape[2:]
    return float64(losses), np.moveaxis(grads.reshape(logits.shape[0], *spatial, classes), -1, 1)


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> tuple[Array, Array]:
    """Squared error and its gradient by the prediction (of the sum for reduction "none")."""
    difference = float64(prediction) - float64(target)
    if reduction == "mean":
        return (difference**2).mean(), 2 * difference / difference.size
    squared = difference**2
    return (squared.sum() if reduction == "sum" else squared), 2 * difference


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> tuple[Array, Array]:
    """Loss and its gradient by the logits (of the sum for reduction "none")."""
    logits, target = float64(logits), float64(target)
    weight = 1.0 if weight is None else float64(weight)
    positive = 1.0 if pos_weight is None else float64(pos_weight)
    log_yes, log_no = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    losses = -weight * (positive * target * log_yes + (1 - target) * log_no)
    probability = np.exp(log_yes)
    grads = weight * (probability * (positive * target + 1 - target) - positive * target)
    if reduction == "mean":
        return losses.mean(), grads / losses.size
    return (losses.sum() if reduction == "sum" else losses), grads
