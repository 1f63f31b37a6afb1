# SPDX-License-Identifier: Apache-2.0
"""The area under the receiver operating characteristic."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.arrays import to_array
from ...nn.arguments import flag
from .base import Array, Metric, check_average

_AVERAGES = ("macro", "weighted", None)


class AUC(Metric):
    """See `auc`.

    Raises:
        ValueError: an unknown average; in `update`, shapes that do not go together or targets that are no
            class.

    >>> AUC()(np.array([2.0, -1.0, 1.0]), np.array([1, 0, 0]))
    1.0
    """

    name = "auc"
    counted = ("scores", "targets")
    additive = True
    at_end = True

    def __init__(self, average: str | None = "macro", from_logits: bool = True) -> None:
        self.average = check_average(average, _AVERAGES)
        self.from_logits = flag("from_logits", from_logits)
        self.reset()

    def reset(self) -> None:
        self.scores: list[Array] = []
        self.targets: list[Array] = []

    def update(self, output: Any, target: Any) -> None:
        output, target = to_array(output), to_array(target)
        if output.ndim == 2 and output.shape[1] == 1:
            output = output[:, 0]
        if target.ndim == 2 and target.shape == (len(target), 1):
            target = target[:, 0]
        if output.ndim == 2 and target.shape == output.shape:
            target = target.argmax(axis=1)
        if output.ndim not in (1, 2) or target.ndim != 1 or len(output) != len(target):
            raise ValueError(
                "auc: expected scores (rows,) or (rows, classes) and targets (rows,), "
                f"got output {output.shape} and target {target.shape}"
            )
        most = output.shape[1] if output.ndim == 2 else 2
        if target.size and not (np.isin(target, np.arange(most))).all():
            raise ValueError(
                f"auc: expected targets from 0 to {most - 1}, got some from {target.min()} to {target.max()}"
            )
        self.scores.append(output.astype(np.float64))
        self.targets.append(target.astype(np.int64))

    def result(self) -> Any:
        if not self.scores:
            return float("nan")
        scores, targets = np.concatenate(self.scores), np.concatenate(self.targets)
        if scores.ndim == 1:
            return area(scores, targets == 1)
        if self.from_logits:
            scores = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
            scores /= scores.sum(axis=1, keepdims=True)
        if scores.shape[1] == 2:
            return area(scores[:, 1], targets == 1)
        areas = np.array([area(scores[:, c], targets == c) for c in range(scores.shape[1])])
        if self.average is None:
            return areas
        known = ~np.isnan(areas)
        if not known.any():
            return float("nan")
        weights = (
            np.bincount(targets, minlength=len(areas)) if self.average == "weighted" else np.ones(len(areas))
        )
        return float(np.average(areas[known], weights=weights[known]))


def area(scores: Array, positive: Array) -> float:
    """Return how probably a positive row scores higher than a negative one, equal scores counting half."""
    count = int(np.count_nonzero(positive))
    if not 0 < count < len(scores):
        return float("nan")
    _, place, repeats = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(repeats)
    # Equal scores share the mean of their ranks, an integer when doubled.
    doubled = (2 * last - repeats + 1)[place]
    above = int(doubled[positive].sum()) - count * (count + 1)
    return above / (2 * count * (len(scores) - count))


def auc(output: Any, target: Any, average: str | None = "macro", from_logits: bool = True) -> Any:
    """Return the area under the receiver operating characteristic.

    Args:
        output: scores (rows,) or (rows, 1) for yes and no, of any scale; or (rows, classes), each class
            against the rest, two classes as yes and no of the second.
        target: 0 and 1, class numbers (rows,), or one-hot rows.
        average: of several classes: "macro", "weighted" by their rows, or None for an array. A class that no
            row or every row has, has no area (NaN) and does not count in the mean.
        from_logits: scores of classes are logits; False when they are probabilities.

    Returns:
        A number, NaN where there is no area, or an array.

    Raises:
        ValueError: an unknown average, shapes that do not go together or targets that are no class.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    return AUC(average, from_logits)(output, target)
