# SPDX-License-Identifier: Apache-2.0
"""Figures of classes: the confusion matrix, precision, recall, F1, intersection over union, Dice."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn.arguments import at_least, flag, integer, real
from .base import IGNORED, Array, Metric, answers, check_average, labels

MOST_CLASSES = 2**15
"""Of a confusion matrix: it has 8 GB then."""
AVERAGES = ("auto", "binary", "macro", "micro", "weighted", None)


class ConfusionMatrix(Metric):
    """See `confusion_matrix`.

    Raises:
        ValueError: in `update`, shapes that do not go together.

    >>> ConfusionMatrix(2)(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])).tolist()
    [[0, 0], [1, 1]]
    """

    name = "confusion_matrix"
    counted = ("matrix",)
    additive = True

    def __init__(self, classes: int = 0, ignore_index: int = IGNORED) -> None:
        self.classes = at_least("classes", classes, 0)
        self.ignore_index = integer("ignore_index", ignore_index)
        if self.classes > MOST_CLASSES:
            raise ValueError(f"expected classes of at most {MOST_CLASSES}, got {classes}")
        self.reset()

    def reset(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)

    def update(self, output: Any, target: Any) -> None:
        found = answers(self.name, output, target, self.ignore_index)
        count = max(found.classes, len(self.matrix))
        grown = np.zeros((count, count), np.int64)
        grown[: len(self.matrix), : len(self.matrix)] = self.matrix
        pairs = np.bincount(found.actual * count + found.predicted, minlength=count * count)
        self.matrix = grown + pairs.reshape(count, count)

    def result(self) -> Array:
        matrix: Array = self.matrix.copy()
        return matrix


class _OfClasses(Metric):
    """A figure that follows from a class' right answers, its answers and its rows.

    Args: see `precision`.
    """

    counted = ("right", "said", "true", "yes_or_no")
    additive = True

    def __init__(
        self,
        average: str | None = "auto",
        ignore_index: int = IGNORED,
        zero_division: float = 0.0,
        multilabel: bool = False,
    ) -> None:
        self.average = check_average(average, AVERAGES)
        self.ignore_index = integer("ignore_index", ignore_index)
        self.zero_division = real("zero_division", zero_division)
        self.multilabel = flag("multilabel", multilabel)
        self.reset()

    def reset(self) -> None:
        self.right = self.said = self.true = np.zeros(0, np.int64)
        self.yes_or_no = False

    def update(self, output: Any, target: Any) -> None:
        name = self.name or type(self).__name__
        if self.multilabel:
            said, true = labels(name, output, target)
            if said.ndim < 2:
                raise ValueError(f"{name}: expected labels (rows, labels), got shape {said.shape}")
            rest = tuple(axis for axis in range(said.ndim) if axis != 1)
            counts = [np.count_nonzero(part, axis=rest) for part in (said & true, said, true)]
        else:
            found = answers(name, output, target, self.ignore_index)
            self.yes_or_no = self.yes_or_no or found.yes_or_no
            right = found.actual[found.actual == found.predicted]
            counts = [
                np.bincount(part, minlength=found.classes) for part in (right, found.predicted, found.actual)
            ]
        self.right, self.said, self.true = (
            _sum(before, new) for before, new in zip((self.right, self.said, self.true), counts, strict=True)
        )

    def result(self) -> Any:
        average = self.average
        if average == "auto":
            average = "binary" if self.yes_or_no else "macro"
        if average is None:
            return self._figures(self.right, self.said, self.true)
        if not self.said.any() and not self.true.any() and not (self.multilabel and self.said.size):
            return float("nan")
        if average == "binary":
            if len(self.right) > 2:
                raise ValueError(f"average='binary' is for yes and no, got {len(self.right)} classes")
            both = np.zeros(2, np.int64)  # there may have been class 0 only
            return float(self._figures(*(_sum(both, part) for part in (self.right, self.said, self.true)))[1])
        if average == "micro":
            return float(
                self._figures(*(part.sum(keepdims=True) for part in (self.right, self.said, self.true)))[0]
            )
        occurring = slice(None) if self.multilabel else (self.said + self.true) > 0
        figures, weights = self._figures(self.right, self.said, self.true)[occurring], self.true[occurring]
        return float(
            np.average(figures, weights=weights if average == "weighted" and weights.any() else None)
        )

    def _figures(self, right: Array, said: Array, true: Array) -> Array:
        part, whole = self.fraction(right, said, true)
        figures: Array = np.full(len(whole), self.zero_division)
        np.divide(part, whole, out=figures, where=whole != 0)
        return figures

    def fraction(self, right: Array, said: Array, true: Array) -> tuple[Array, Array]:
        """Return numerator and denominator of each class."""
        raise NotImplementedError


def _sum(before: Array, new: Array) -> Array:
    total = np.zeros(max(len(before), len(new)), np.int64)
    total[: len(before)] += before
    total[: len(new)] += new
    return total


class Precision(_OfClasses):
    """See `precision`.

    >>> Precision()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """

    name = "precision"

    def fraction(self, right: Array, said: Array, true: Array) -> tuple[Array, Array]:
        return right, said


class Recall(_OfClasses):
    """See `recall`.

    >>> Recall()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.25
    """

    name = "recall"

    def fraction(self, right: Array, said: Array, true: Array) -> tuple[Array, Array]:
        return right, true


class F1(_OfClasses):
    """See `f1`.

    >>> F1()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.3333333333333333
    """

    name = "f1"

    def fraction(self, right: Array, said: Array, true: Array) -> tuple[Array, Array]:
        return 2 * right, said + true


class Dice(F1):
    """See `dice`.

    >>> Dice()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.3333333333333333
    """

    name = "dice"


class MeanIoU(_OfClasses):
    """See `mean_iou`.

    >>> MeanIoU()(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.25
    """

    name = "mean_iou"

    def __init__(
        self,
        average: str | None = "macro",
        ignore_index: int = IGNORED,
        zero_division: float = 0.0,
        multilabel: bool = False,
    ) -> None:
        super().__init__(average, ignore_index, zero_division, multilabel)

    def fraction(self, right: Array, said: Array, true: Array) -> tuple[Array, Array]:
        return right, said + true - right


def confusion_matrix(output: Any, target: Any, classes: int = 0, ignore_index: int = IGNORED) -> Array:
    """Return how often rows of each class (axis 0) were answered with each class (axis 1).

    Args:
        output: as for `accuracy`.
        target: as for `accuracy`.
        classes: the least number of rows and columns.
        ignore_index: the class number of targets that do not count.

    Returns:
        (classes, classes), int64; scikit-learn has the same axes.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1])).tolist()
    [[1, 1], [0, 1]]
    """
    found: Array = ConfusionMatrix(classes, ignore_index)(output, target)
    return found


def precision(
    output: Any,
    target: Any,
    average: str | None = "auto",
    ignore_index: int = IGNORED,
    zero_division: float = 0.0,
    multilabel: bool = False,
) -> Any:
    """Return the share of a class' answers that are right.

    Args:
        output: as for `accuracy`; with `multilabel` logits (rows, labels, ...), of which those above 0 say
            yes.
        target: as for `accuracy`; with `multilabel` 0 and 1 of output's shape.
        average: "macro": the mean over the classes that occur in targets or answers (over all labels of
            `multilabel`); "weighted": their mean by rows of the class; "micro": of all classes together;
            "binary": of yes; None: an array with a number for each class; "auto": "binary" for yes and no,
            else "macro".
        ignore_index: the class number of targets that do not count.
        zero_division: the figure where there is nothing to divide by.
        multilabel: whether a row may have any number of labels.

    Returns:
        A number, NaN where nothing counts, or an array.

    >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    >>> precision(scores, np.array([0, 0, 1])), precision(scores, np.array([0, 0, 1]), None).tolist()
    (0.75, [1.0, 0.5])
    """
    return Precision(average, ignore_index, zero_division, multilabel)(output, target)


def recall(
    output: Any,
    target: Any,
    average: str | None = "auto",
    ignore_index: int = IGNORED,
    zero_division: float = 0.0,
    multilabel: bool = False,
) -> Any:
    """Return the share of a class' rows that are answered rightly; arguments as for `precision`.

    >>> recall(np.array([1.0, -1.0, 2.0]), np.array([1, 1, 0]))
    0.5
    """
    return Recall(average, ignore_index, zero_division, multilabel)(output, target)


def f1(
    output: Any,
    target: Any,
    average: str | None = "auto",
    ignore_index: int = IGNORED,
    zero_division: float = 0.0,
    multilabel: bool = False,
) -> Any:
    """Return the harmonic mean of `precision` and `recall`; arguments as for `precision`.

    >>> f1(np.array([0, 1, 1]), np.array([0, 0, 1]), "micro")
    0.6666666666666666
    """
    return F1(average, ignore_index, zero_division, multilabel)(output, target)


def dice(
    output: Any,
    target: Any,
    average: str | None = "auto",
    ignore_index: int = IGNORED,
    zero_division: float = 0.0,
    multilabel: bool = False,
) -> Any:
    """Return twice the common pixels by the pixels of answer and target: `f1` of pixels, over all images.

    Arguments are those of `precision`.

    >>> dice(np.array([[[1.0, 1.0], [-1.0, -1.0]]])[None], np.array([[[1, 0], [0, 0]]])[None])
    0.6666666666666666
    """
    return Dice(average, ignore_index, zero_division, multilabel)(output, target)


def mean_iou(
    output: Any,
    target: Any,
    average: str | None = "macro",
    ignore_index: int = IGNORED,
    zero_division: float = 0.0,
    multilabel: bool = False,
) -> Any:
    """Return the common pixels by those of answer or target, over all images; arguments as for `precision`.

    The mean is taken over the classes that occur (Everingham et al., 2010), of yes and no over both.

    >>> mean_iou(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    0.5833333333333333
    """
    return MeanIoU(average, ignore_index, zero_division, multilabel)(output, target)
