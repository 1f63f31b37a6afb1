# SPDX-License-Identifier: Apache-2.0
"""Training data in its three forms - arrays, a dataset, an iterable of batches - as batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._importing import importing
from ..graph.arrays import to_array

Batch = tuple[Any, Any]
Result = TypeVar("Result")


KERAS_NAMES = {
    "validation_data": "pass validation=(x, y)",
    "validation_split": "pass some of the rows as validation=(x, y)",
    "class_weight": "a loss takes weights of classes: nn.CrossEntropyLoss(weight=...)",
    "sample_weight": "weights of samples go into the loss",
    "steps_per_epoch": "an epoch is once through the data",
    "initial_epoch": "a Trainer goes on from the epoch it is at",
    "use_multiprocessing": "data.DataLoader(..., workers=) reads in threads",
}
"""What to write for arguments of Keras's `fit`."""


def takes_pair(method: Callable[..., Result]) -> Callable[..., Result]:
    """Let a method that takes data as its first argument take x and y as two arguments, too."""

    @wraps(method)
    def taking(self: Any, *args: Any, **options: Any) -> Result:
        for name in options.keys() & KERAS_NAMES.keys():
            raise TypeError(f"{method.__name__} has no argument {name!r}: {KERAS_NAMES[name]}")
        if args and "y" in options:
            return method(self, (args[0], options.pop("y")), *args[1:], **options)
        if "x" in options and "y" in options:
            return method(self, (options.pop("x"), options.pop("y")), *args, **options)
        # What comes second otherwise is an integer: epochs, or a batch size.
        if len(args) > 1 and not isinstance(args[1], (int, float, np.number)):
            return method(self, args[:2], *args[2:], **options)
        return method(self, *args, **options)

    return taking


class Batches(Protocol):
    """A source of (x, y) batches."""

    def rows(self) -> int | None:
        """Return the rows of an epoch, None when they are not known beforehand."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number`, the same ones whenever it is asked for again."""


def bounds(rows: int, batch_size: int) -> list[tuple[int, int]]:
    """Return the (begin, end) of each batch.

    A single row left over joins the batch before it: batch norm cannot learn from one row.

    >>> bounds(10, 4), bounds(9, 4)
    ([(0, 4), (4, 8), (8, 10)], [(0, 4), (4, 9)])
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and batch_size > 1 and rows - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], rows], strict=True))


class ArrayBatches:
    """Batches of arrays (x, y) with the rows along the first axis.

    Rows are gathered batch by batch, in an order that depends on (seed, epoch) only; the array a
    batch comes in is used again for the next one.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        self.x, self.y = _rows("x", x), _rows("y", _checked_labels(y))
        if len(self.x) != len(self.y):
            raise ValueError(f"expected as many rows in x as in y, got {self.x.shape} and {self.y.shape}")
        self.bounds = bounds(len(self.x), batch_size)
        self.shuffle = shuffle
        self.seed = seed

    def rows(self) -> int:
        return len(self.x)

    def epoch(self, number: int) -> Iterator[Batch]:
        if not self.shuffle:
            for begin, end in self.bounds:
                yield self.x[begin:end], self.y[begin:end]
            return
        order = epoch_order(len(self.x), self.seed, number)
        widest = max(end - begin for begin, end in self.bounds)
        x, y = (np.empty((widest, *array.shape[1:]), array.dtype) for array in (self.x, self.y))
        for begin, end in self.bounds:
            chosen, count = order[begin:end], end - begin
            np.take(self.x, chosen, axis=0, out=x[:count], mode="clip")
            np.take(self.y, chosen, axis=0, out=y[:count], mode="clip")
            yield x[:count], y[:count]


class DatasetBatches:
    """Batches of a `data.Dataset`, or of any object with `len()` whose item `i` is (x, y)."""

    def __init__(self, samples: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        with importing:
            from ..data.dataset import as_dataset

        self.dataset = as_dataset(samples)
        self.bounds = bounds(len(self.dataset), batch_size)
        self.shuffle = shuffle
        self.seed = seed
        if not self.bounds:
            raise ValueError("expected a dataset with at least one row, got an empty one")

    def rows(self) -> int:
        return len(self.dataset)

    def epoch(self, number: int) -> Iterator[Batch]:
        rows = len(self.dataset)
        order = epoch_order(rows, self.seed, number) if self.shuffle else np.arange(rows)
        for begin, end in self.bounds:
            yield _pair(self.dataset.batch(order[begin:end]))


class IterableBatches:
    """Batches that come ready from an iterable, such as a list of (x, y) or a `data.DataLoader`.

    Where the iterable has an attribute `epoch`, as a DataLoader has, it is set before each epoch.
    """

    def __init__(self, iterable: Any) -> None:
        self.iterable = iterable

    def rows(self) -> int | None:
        dataset: Any = getattr(self.iterable, "dataset", None)
        known = hasattr(dataset, "__len__") and not getattr(self.iterable, "drop_last", False)
        return len(dataset) if known else None

    def epoch(self, number: int) -> Iterator[Batch]:
        if hasattr(self.iterable, "epoch"):
            self.iterable.epoch = number
        empty = True
        for batch in self.iterable:
            empty = False
            yield _pair(batch)
        if empty:
            raise ValueError(
                "the iterable of batches gave none; a generator can be used for one epoch only: "
                "pass a list, a DataLoader, or another object that can be iterated again"
            )


def epoch_order(rows: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return the row numbers in the order of an epoch: that of a shuffling `data.DataLoader`."""
    with importing:
        from ..data import DataLoader

    return DataLoader((np.empty(rows),), shuffle=True, seed=seed).order(epoch)


def make_batches(data: Any, batch_size: int, shuffle: bool, seed: int) -> Batches:
    """Return `data` - (x, y) arrays, a dataset, or an iterable of batches - as batches."""
    with importing:
        from ..data import Dataset

    if isinstance(data, (tuple, list)) and len(data) == 2 and not all(map(_is_batch, data)):
        return ArrayBatches(data[0], data[1], batch_size, shuffle, seed)
    if isinstance(data, np.ndarray):
        raise TypeError("expected (x, y), got one array")
    if isinstance(data, (tuple, list)) and len(data) == 2 and not any(_has_array(pair) for pair in data):
        raise TypeError(
            "two pairs of lists can be x and y of two rows each, or two batches (x, y): "
            "pass numpy arrays, numpy.array(x) and numpy.array(y)"
        )
    if isinstance(data, (list, tuple)) and not data:
        raise ValueError("expected at least one batch, got none")
    if type(data) is Dataset and len(data.arrays) == 2:
        return ArrayBatches(*data.arrays, batch_size, shuffle, seed)
    if (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not isinstance(data, (tuple, list, dict))
    ):
        return DatasetBatches(data, batch_size, shuffle, seed)
    if isinstance(data, tuple) and len(data) > 2 and all(hasattr(part, "shape") for part in data):
        raise TypeError(f"expected (x, y), got {len(data)} arrays; weights of samples go into the loss")
    if isinstance(data, dict) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"expected (x, y) arrays, a dataset or an iterable of batches, got {type(data).__name__}"
        )
    return IterableBatches(data)


def _is_batch(value: Any) -> bool:
    """Return whether a value, of two that could be x and y, is a batch (x, y) itself."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    try:
        return len(value[0]) == len(value[1]) and not isinstance(value[0], str)
    except TypeError:
        return False


def _has_array(values: Any) -> bool:
    return any(hasattr(value, "shape") for value in values)


def _checked_labels(labels: Any) -> Any:
    """Raise for names of classes, with the way to their numbers."""
    found = np.asarray(labels) if isinstance(labels, (list, tuple, np.ndarray)) else np.empty(0)
    if found.dtype.kind in "USO" and found.size and isinstance(found.flat[0], (str, bytes)):
        raise TypeError(
            f"expected y as class numbers, got texts such as {str(found.flat[0])!r}; "
            "classes, y = numpy.unique(labels, return_inverse=True) gives names in order, and numbers"
        )
    return labels


def _rows(name: str, value: Any) -> NDArray[Any]:
    array = to_array(value)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"expected {name} with at least one row, got shape {array.shape}")
    return array


def _pair(batch: Any) -> Batch:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        if hasattr(batch, "shape"):
            found = f"an array of shape {tuple(batch.shape)}; x and y as a whole are two arrays: (x, y)"
        else:
            count = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            found = f"a {type(batch).__name__}{count}"
        raise ValueError(f"expected batches (x, y), got {found}")
    return to_array(batch[0]), to_array(_checked_labels(batch[1]))
