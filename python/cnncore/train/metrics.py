# SPDX-License-Identifier: Apache-2.0
"""Metrics: functions (output, target) to a number, averaged over batches by their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Metric = Callable[[Array, Array], float]


def accuracy(output: Array, target: Array) -> float:
    """Return the share of right answers.

    Args:
        output: scores (rows, classes, ...) for integer targets (rows, ...), or logits of the
            target's shape, of which those above 0 say yes.
        target: class numbers, or 0 and 1.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if output.ndim == target.ndim + 1:
        return float(np.mean(output.argmax(axis=1) == target))
    if output.shape == target.shape:
        return float(np.mean((output > 0) == (target > 0.5)))
    raise ValueError(
        f"accuracy: expected scores (rows, classes, ...) for targets (rows, ...), "
        f"got output {output.shape} and target {target.shape}"
    )


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
    "top5_accuracy": top5_accuracy,
    "mae": mae,
    "mse": mse,
}


def named_metrics(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Return functions by name from names and functions; a function goes by its own name."""
    if isinstance(metrics, str):
        raise TypeError(f"expected a list of metrics, got the text {metrics!r}; pass ({metrics!r},)")
    found: dict[str, Metric] = {}
    for metric in metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                raise ValueError(
                    f"unknown metric {metric!r}; known: {', '.join(METRICS)}, or pass a function"
                )
            found[metric] = METRICS[metric]
        elif callable(metric):
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
        else:
            raise TypeError(f"expected a metric's name or function, got {metric!r}")
    return found


class RunningMeans:
    """Means of the loss and the metrics over rows seen so far."""

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self.metrics = metrics
        self.rows = 0
        self.sums = dict.fromkeys(["loss", *metrics], 0.0)

    def update(self, loss: Any, output: Any, target: Any) -> None:
        """Count a batch."""
        first = output[0] if isinstance(output, (tuple, list)) else output
        rows = len(target)
        self.rows += rows
        self.sums["loss"] += float(loss) * rows
        for name, metric in self.metrics.items():
            self.sums[name] += float(metric(first, target)) * rows

    def means(self) -> dict[str, float]:
        """Return the means by name; NaN before the first row."""
        return {name: total / self.rows if self.rows else float("nan") for name, total in self.sums.items()}
