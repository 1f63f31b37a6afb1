# SPDX-License-Identifier: Apache-2.0
"""What metrics have in common: counting batch by batch, and reading answers out of scores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...graph.arrays import to_array

if TYPE_CHECKING:
    from typing_extensions import Self

Array = NDArray[Any]

IGNORED = -100
"""The target of rows that do not count: the default of `nn.CrossEntropyLoss`."""


class Metric:
    """A figure of merit that is counted batch by batch.

    A subclass defines `reset`, `update` and `result`, and names what it counts in `counted`. Calling the
    object with an output and a target gives the figure of these alone.

    >>> class Largest(Metric):
    ...     counted = ("most",)
    ...     def reset(self):
    ...         self.most = float("-inf")
    ...     def update(self, output, target):
    ...         self.most = max(self.most, float(np.max(np.abs(output - target))))
    ...     def result(self):
    ...         return self.most
    >>> Largest()(np.array([1.0, 5.0]), np.array([1.0, 2.0]))
    3.0
    """

    name = ""
    """Under which a Trainer shows the figure; that of the class where it is empty."""
    counted: tuple[str, ...] = ()
    """The attributes that `update` changes; `reset` gives them new values."""
    additive = False
    """Whether what two of a kind have counted, of different rows, is joined by adding each part of it."""
    at_end = False
    """Whether the figure is worked out at the end of an epoch only, because every row takes part in it."""

    def reset(self) -> None:
        """Forget all rows."""
        raise NotImplementedError

    def update(self, output: Any, target: Any) -> None:
        """Count a batch: the model's output and the target, as arrays."""
        raise NotImplementedError

    def result(self) -> Any:
        """Return the figure of the rows counted so far, a number or an array."""
        raise NotImplementedError

    def fresh(self) -> Self:
        """Return a metric with the same settings that has counted nothing."""
        new = copy.copy(self)
        new.reset()
        return new

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.counted}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state of the same kind of metric.

        Raises:
            ValueError: the state of another metric.
        """
        if set(state_dict) != set(self.counted):
            raise ValueError(
                f"expected the state of {type(self).__name__}, {list(self.counted)}, got {list(state_dict)}"
            )
        self.__dict__.update(copy.deepcopy(dict(state_dict)))

    def merge(self, other: Self) -> None:
        """Count what another metric of the same settings has counted, of other rows.

        Raises:
            TypeError: a metric that does not say how.
        """
        if not self.additive:
            raise TypeError(
                f"{type(self).__name__} cannot be counted by several processes: set additive = True where "
                "what it has counted can be added, or define merge(other)"
            )
        for name in self.counted:
            setattr(self, name, _added(getattr(self, name), getattr(other, name)))

    def __call__(self, output: Any, target: Any) -> Any:
        new = self.fresh()
        new.update(output, target)
        return new.result()


class Averaged(Metric):
    """A function (output, target) that returns a number for a batch, averaged by rows."""

    counted = ("rows", "total")
    additive = True

    def __init__(self, name: str, function: Callable[[Any, Any], Any]) -> None:
        self.name = name
        self.function = function
        self.reset()

    def reset(self) -> None:
        self.rows, self.total = 0, 0.0

    def update(self, output: Any, target: Any) -> None:
        rows = row_count(target)
        self.total += _number(self.name, self.function(output, target)) * rows
        self.rows += rows

    def result(self) -> float:
        return ratio(self.total, self.rows)


def _added(first: Any, second: Any) -> Any:
    """Return the sum of numbers or arrays, either of two flags, or lists one after the other."""
    if isinstance(first, bool):
        return first or second
    if not isinstance(first, np.ndarray):
        return first + second
    total = np.zeros(tuple(map(max, first.shape, second.shape)), np.result_type(first, second))
    for each in (first, second):
        total[tuple(map(slice, each.shape))] += each
    return total


def row_count(tree: Any) -> int:
    """Return the rows of an array, or of the first one in a dict or tuple of arrays."""
    while isinstance(tree, (dict, tuple)):
        tree = next(iter(tree.values())) if isinstance(tree, dict) else tree[0]
    return len(tree)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (str, bytes)):
        with suppress(TypeError, ValueError):
            return float(value)
    raise TypeError(f"metric {name!r}: expected a number, got {value!r}")


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN where there is nothing."""
    return float(part) / float(whole) if whole else float("nan")


class Answers(NamedTuple):
    """Answers read out of scores, flat: class numbers or, for yes and no, 0 and 1."""

    predicted: Array
    actual: Array
    classes: int
    yes_or_no: bool


def answers(name: str, output: Any, target: Any, ignore_index: int = IGNORED) -> Answers:
    """Return predicted and actual classes of the rows or pixels that count.

    Args:
        name: of the metric, for errors.
        output: scores (rows, classes, ...) of at least two classes, of which the largest is the answer;
            logits of target's shape, of which those above 0 say yes; or class numbers (integers) of target's
            shape.
        target: class numbers (rows, ...); one-hot rows or probabilities of classes of output's shape; or 0
            and 1 for yes and no.
        ignore_index: the class number of targets that do not count.

    Raises:
        ValueError: other shapes, targets with several labels a row, or that are no classes.
    """
    output, target = to_array(output), to_array(target)
    scores = output.ndim == target.ndim + 1 and output.ndim > 1 and output.shape[1] > 1
    if scores and (output.shape[0], *output.shape[2:]) == target.shape:
        return _checked(name, output.argmax(axis=1), target, output.shape[1], False, ignore_index)
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: expected scores (rows, classes, ...) of at least two classes for targets (rows, ...), "
            f"or targets of output's shape, got output {output.shape} and target {target.shape}"
        )
    if output.dtype.kind in "iu":
        count = max((int(a.max()) + 1 for a in (output, target) if a.size), default=0)
        return _checked(name, output, target, count, False, ignore_index)
    return _of_one_shape(name, output, target)


def _of_one_shape(name: str, output: Array, target: Array) -> Answers:
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError(
            f"{name}: expected class numbers (rows,), or targets from 0 to 1 of output's shape, got targets "
            f"from {target.min()} to {target.max()}; metrics of a regression are 'mse' and 'mae'"
        )
    if output.ndim < 2 or output.shape[1] == 1:
        said = output if output.dtype == np.bool_ else output > 0
        return Answers(_flat(said), _flat(target > 0.5), 2, True)
    if not ((target > 0.5).sum(axis=1) <= 1).all() or not target.any(axis=1).all():
        raise ValueError(
            f"{name}: expected one class a row of target, got rows with none or several; "
            + (
                "the metric for several labels a row is 'multilabel_accuracy'"
                if name == "accuracy"
                else "several labels a row need multilabel=True"
            )
        )
    return Answers(_flat(output.argmax(axis=1)), _flat(target.argmax(axis=1)), output.shape[1], False)


def check_average(average: Any, averages: Sequence[str | None]) -> str | None:
    """Return a way of averaging over classes, or raise naming those that there are."""
    if not isinstance(average, (str, type(None))) or average not in averages:
        raise ValueError(f"expected average among {', '.join(map(repr, averages))}, got {average!r}")
    return average


def _checked(
    name: str, predicted: Array, target: Array, classes: int, yes_or_no: bool, ignore_index: int
) -> Answers:
    if target.dtype.kind == "f" and not (target == np.floor(target)).all():
        raise ValueError(f"{name}: expected class numbers as targets, got fractions")
    predicted, actual = _flat(predicted), _flat(target)
    if _within(actual, classes) and _within(predicted, classes) and ignore_index < 0:
        return Answers(predicted, actual, classes, yes_or_no)
    if (actual == ignore_index).any():
        predicted, actual = (part[actual != ignore_index] for part in (predicted, actual))
    for what, part in (("targets", actual), ("answers", predicted)):
        if not _within(part, classes):
            raise ValueError(
                f"{name}: expected {what} from 0 to {classes - 1}, got some from {part.min()} to {part.max()}"
            )
    return Answers(predicted, actual, classes, yes_or_no)


def _within(numbers: Array, classes: int) -> bool:
    """Whether all are from 0 to classes - 1: negative ones are large as unsigned."""
    return not numbers.size or bool(numbers.view(np.uint64).max() < classes)


def _flat(values: Array) -> Array:
    return values.reshape(-1).astype(np.int64, copy=False)


def labels(name: str, output: Any, target: Any) -> tuple[Array, Array]:
    """Return yes and no of each label, (rows, labels, ...), where a row may have any number of them."""
    output, target = to_array(output), to_array(target)
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: expected output and target of one shape, got {output.shape} and {target.shape}"
        )
    said = output > 0 if output.dtype.kind == "f" else output != 0
    return said, target > 0.5
