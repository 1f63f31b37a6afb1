# SPDX-License-Identifier: Apache-2.0
"""Metrics: functions (output, target) to a number, averaged over batches by their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.loss import BCEWithLogitsLoss, CrossEntropyLoss
from ..ops.loss import cross_entropy
from ..ops.loss_margin import binary_cross_entropy_with_logits

Array = NDArray[Any]
Metric = Callable[[Array, Array], float]


def accuracy(output: Array, target: Array) -> float:
    """Return the share of right answers, one answer a row or pixel.

    Args:
        output: scores (rows, classes, ...); or for yes and no logits (rows,) or (rows, 1, ...), of which
            those above 0 say yes.
        target: class numbers (rows, ...); or of output's shape: one-hot rows or probabilities of classes, of
            which the largest is the class; or 0 and 1 for yes and no.

    Raises:
        ValueError: other shapes, targets with several labels a row, for which there is `multilabel_accuracy`,
            or targets that are neither classes nor probabilities.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[0, 1], [0, 1]]))
    0.5
    """
    if output.ndim == target.ndim + 1 and output.shape[1] > 1:
        return float(np.mean(output.argmax(axis=1) == target))
    if output.shape != target.shape:
        raise ValueError(
            "accuracy: expected scores (rows, classes, ...) of at least two classes for targets (rows, ...), "
            f"or targets of output's shape, got output {output.shape} and target {target.shape}"
        )
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError(
            "accuracy: expected class numbers (rows,), or targets from 0 to 1 of output's shape, got targets "
            f"from {target.min()} to {target.max()}; metrics of a regression are 'mse' and 'mae'"
        )
    if output.ndim < 2 or output.shape[1] == 1:
        return float(np.mean((output > 0) == (target > 0.5)))
    if not ((target > 0.5).sum(axis=1) <= 1).all() or not target.any(axis=1).all():
        raise ValueError(
            "accuracy: expected one class a row of target, got rows with none or several; "
            "the metric for several labels a row is 'multilabel_accuracy'"
        )
    return float(np.mean(output.argmax(axis=1) == target.argmax(axis=1)))


def multilabel_accuracy(output: Array, target: Array) -> float:
    """Return the share of right labels, each counted by itself, where a row may have any number of them.

    A model that never says yes scores the share of zeros: compare with that.

    Args:
        output: logits, of which those above 0 say yes.
        target: 0 and 1 in output's shape.

    >>> multilabel_accuracy(np.array([[2.0, -1.0, 3.0]]), np.array([[1, 1, 1]]))
    0.6666666666666666
    """
    if output.shape != target.shape:
        raise ValueError(
            f"multilabel_accuracy: expected output and target of one shape, "
            f"got {output.shape} and {target.shape}"
        )
    return float(np.mean((output > 0) == (target > 0.5)))


def top5_accuracy(output: Array, target: Array) -> float:
    """Return the share of rows whose class is among the five highest of `output` (rows, classes)."""
    if output.ndim != 2 or target.ndim != 1:
        raise ValueError(
            f"top5_accuracy: expected scores (rows, classes) and targets (rows,), "
            f"got output {output.shape} and target {target.shape}"
        )
    count = min(5, output.shape[1])
    best = np.argpartition(output, -count, axis=1)[:, -count:]
    return float(np.mean((best == target[:, None]).any(axis=1)))


def mae(output: Array, target: Array) -> float:
    """Return the mean absolute difference."""
    return float(np.mean(np.abs(_difference(output, target, "mae"))))


def mse(output: Array, target: Array) -> float:
    """Return the mean squared difference."""
    return float(np.mean(np.square(_difference(output, target, "mse"))))


def _difference(output: Array, target: Array, name: str) -> Array:
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: expected output and target of one shape, got {output.shape} and {target.shape}"
        )
    return np.subtract(output, target, dtype=np.float64)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "multilabel_accuracy": multilabel_accuracy,
    "top5_accuracy": top5_accuracy,
    "mae": mae,
    "mse": mse,
}

DEFAULT_METRICS = ("accuracy",)
"""Given as they are, they stand for what `usual_metrics` chooses."""

_TAKEN = ("loss", "seconds", "images_per_second")
"""Names that other figures have."""


def usual_metrics(loss: Any, output: Array, target: Array) -> dict[str, Metric]:
    """Return the metrics of a training that names none: accuracy where there are classes, else nothing."""
    if isinstance(loss, BCEWithLogitsLoss) or loss is binary_cross_entropy_with_logits:
        several = output.ndim > 1 and output.shape[1] > 1
        return {"multilabel_accuracy": multilabel_accuracy} if several else {"accuracy": accuracy}
    classes = target.dtype.kind in "iu" and output.ndim == target.ndim + 1 and output.shape[1] > 1
    if classes or isinstance(loss, CrossEntropyLoss) or loss is cross_entropy:
        return {"accuracy": accuracy}
    return {}


def named_metrics(metrics: str | Metric | Iterable[str | Metric] | None) -> dict[str, Metric]:
    """Return functions by name from names and functions.

    A function goes by its own name; another of the same name gets a number behind it.

    >>> list(named_metrics([lambda output, target: 0, lambda output, target: 1]))
    ['<lambda>', '<lambda>_2']
    """
    if metrics is None:
        return {}
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable):
        raise TypeError(f"expected metrics as a list of names and functions, got {metrics!r}")
    found: dict[str, Metric] = {}
    for metric in metrics:
        name, function = _named(metric)
        if name in _TAKEN or name.startswith("val_"):
            raise ValueError(
                f"expected a metric's name other than {', '.join(_TAKEN)} and val_..., got {name!r}"
            )
        count, unique = 1, name
        while unique in found and found[unique] is not function:
            count += 1
            unique = f"{name}_{count}"
        found[unique] = function
    return found


def _named(metric: Any) -> tuple[str, Metric]:
    if isinstance(metric, str):
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}, or pass a function")
        return metric, METRICS[metric]
    if not callable(metric) or isinstance(metric, type):
        raise TypeError(f"expected a metric's name or function, got {metric!r}")
    return getattr(metric, "__name__", type(metric).__name__), metric


class RunningMeans:
    """Means of the loss and the metrics over rows seen so far.

    Args:
        metrics: functions by name, or a function of the first batch's output and target that returns them.
    """

    def __init__(self, metrics: dict[str, Metric] | Callable[[Array, Array], dict[str, Metric]]) -> None:
        self.metrics = metrics
        self.rows = 0
        self.sums = {"loss": 0.0}

    def update(self, loss: Any, output: Any, target: Any) -> None:
        """Count a batch."""
        first = output[0] if isinstance(output, (tuple, list)) else output
        if callable(self.metrics):
            self.metrics = self.metrics(first, target)
        rows = len(target)
        self.rows += rows
        self.sums["loss"] += float(loss) * rows
        for name, metric in self.metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + _number(name, metric(first, target)) * rows

    def means(self) -> dict[str, float]:
        """Return the means by name; NaN before the first row."""
        return {name: total / self.rows if self.rows else float("nan") for name, total in self.sums.items()}


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (str, bytes)):
        with suppress(TypeError, ValueError):
            return float(value)
    raise TypeError(f"metric {name!r}: expected a number, got {value!r}")
