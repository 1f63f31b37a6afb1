# SPDX-License-Identifier: Apache-2.0
"""Shares of right answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.arrays import to_array
from ...nn.arguments import integer
from ..settings import count
from .base import IGNORED, Metric, answers, labels, ratio


class _Share(Metric):
    counted = ("right", "rows")
    additive = True

    def reset(self) -> None:
        self.right, self.rows = 0, 0

    def result(self) -> float:
        return ratio(self.right, self.rows)


class Accuracy(_Share):
    """See `accuracy`.

    Raises:
        ValueError: in `update`, shapes that do not go together.

    >>> metric = Accuracy()
    >>> metric.reset()
    >>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> metric.update(np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([1, 1]))
    >>> metric.result()
    0.75
    """

    name = "accuracy"

    def __init__(self, ignore_index: int = IGNORED) -> None:
        self.ignore_index = integer("ignore_index", ignore_index)
        self.reset()

    def update(self, output: Any, target: Any) -> None:
        found = answers(self.name, output, target, self.ignore_index)
        self.right += int(np.count_nonzero(found.predicted == found.actual))
        self.rows += len(found.actual)


class MultilabelAccuracy(_Share):
    """See `multilabel_accuracy`.

    Raises:
        ValueError: in `update`, shapes that do not go together.

    >>> MultilabelAccuracy()(np.array([[2.0, -1.0]]), np.array([[1, 1]]))
    0.5
    """

    name = "multilabel_accuracy"

    def __init__(self) -> None:
        self.reset()

    def update(self, output: Any, target: Any) -> None:
        said, true = labels(self.name, output, target)
        self.right += int(np.count_nonzero(said == true))
        self.rows += true.size


class TopKAccuracy(_Share):
    """See `top_k_accuracy`.

    Raises:
        ValueError: `k` is no integer of at least 1; in `update`, shapes that do not go together or targets
            that are no class.

    >>> TopKAccuracy(k=2)(np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]), np.array([2, 0]))
    0.5
    """

    def __init__(self, k: int = 5) -> None:
        self.k = count("k", k, 1)
        self.name = f"top{self.k}_accuracy"
        self.reset()

    def update(self, output: Any, target: Any) -> None:
        output, target = to_array(output), to_array(target)
        if output.ndim != 2 or target.ndim != 1 or len(output) != len(target):
            raise ValueError(
                f"{self.name}: expected scores (rows, classes) and targets (rows,), "
                f"got output {output.shape} and target {target.shape}"
            )
        if target.size and not (target.min() >= 0 and target.max() < output.shape[1]):
            raise ValueError(
                f"{self.name}: expected targets from 0 to {output.shape[1] - 1}, "
                f"got some from {target.min()} to {target.max()}"
            )
        chosen = target.astype(np.int64)[:, None]
        own = np.take_along_axis(output, chosen, 1)
        # Of equal scores the later class goes first, as in a stable ascending sort read from its end.
        later = np.arange(output.shape[1]) > chosen
        better = ((output > own) | ((output == own) & later)).sum(axis=1)
        self.right += int(np.count_nonzero(better < self.k))
        self.rows += len(target)


def accuracy(output: Any, target: Any, ignore_index: int = IGNORED) -> float:
    """Return the share of right answers, one answer a row or pixel.

    Args:
        output: scores (rows, classes, ...); for yes and no logits (rows,) or (rows, 1, ...), of which
            those above 0 say yes; or class numbers (integers) of target's shape.
        target: class numbers (rows, ...); or of output's shape: one-hot rows or probabilities of classes, of
            which the largest is the class; or 0 and 1 for yes and no.
        ignore_index: the class number of targets that do not count.

    Returns:
        NaN where nothing counts.

    Raises:
        ValueError: other shapes, targets with several labels a row, for which there is `multilabel_accuracy`,
            or targets that are neither classes nor probabilities.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[0, 1], [0, 1]]))
    0.5
    """
    return float(Accuracy(ignore_index)(output, target))


def multilabel_accuracy(output: Any, target: Any) -> float:
    """Return the share of right labels, each counted by itself, where a row may have any number of them.

    A model that never says yes scores the share of zeros: compare with that.

    Args:
        output: logits, of which those above 0 say yes.
        target: 0 and 1 in output's shape.

    >>> multilabel_accuracy(np.array([[2.0, -1.0, 3.0]]), np.array([[1, 1, 1]]))
    0.6666666666666666
    """
    return float(MultilabelAccuracy()(output, target))


def top_k_accuracy(output: Any, target: Any, k: int = 5) -> float:
    """Return the share of rows whose class is among the `k` highest scores.

    Args:
        output: scores (rows, classes). Of equal ones those of later classes count as higher, as in
            scikit-learn: a model that scores all classes alike gains nothing by it.
        target: class numbers (rows,).
        k: at least 1.

    Raises:
        ValueError: `k` below 1, shapes that do not go together or targets that are no class.

    >>> top_k_accuracy(np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]), np.array([2, 0]), k=2)
    0.5
    """
    return float(TopKAccuracy(k)(output, target))


def top5_accuracy(output: Any, target: Any) -> float:
    """Return `top_k_accuracy` of five.

    Raises:
        ValueError: `k` below 1, shapes that do not go together or targets that are no class.

    >>> top5_accuracy(np.arange(10.0)[None], np.array([5]))
    1.0
    """
    return top_k_accuracy(output, target, 5)
