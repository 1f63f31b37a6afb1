# SPDX-License-Identifier: Apache-2.0
"""Training data in its three forms - arrays, a dataset, an iterable of batches - as batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._importing import importing
from ..graph.arrays import to_array
from ..graph.trace import map_tree
from .labels import Classes, encode
from .rows import Batch, as_rows, checked_weights, is_several, rows_of, shapes, take

Result = TypeVar("Result")

KERAS_NAMES = {
    "validation_data": "pass validation=(x, y)",
    "validation_steps": "validation data are used as a whole",
    "validation_freq": "validation follows each epoch",
    "use_multiprocessing": "data.DataLoader(..., workers=) reads in threads",
    "workers": "data.DataLoader(..., workers=) reads in threads",
}
"""What to write for arguments of Keras's `fit`."""


class Rows(NamedTuple):
    """Inputs, targets and weights that were given as such, and cannot be batches."""

    x: Any
    y: Any
    weight: Any = None


def takes_pair(method: Callable[..., Result]) -> Callable[..., Result]:
    """Let a method that takes data as its first argument take x and y as two arguments, too."""

    @wraps(method)
    def taking(self: Any, *args: Any, **options: Any) -> Result:
        for name in options.keys() & KERAS_NAMES.keys():
            raise TypeError(f"{method.__name__} has no argument {name!r}: {KERAS_NAMES[name]}")
        if args and "y" in options:
            return method(self, Rows(args[0], options.pop("y")), *args[1:], **options)
        if "x" in options and "y" in options:
            return method(self, Rows(options.pop("x"), options.pop("y")), *args, **options)
        # What comes second otherwise is an integer: epochs, or a batch size.
        if len(args) > 1 and not isinstance(args[1], (int, float, np.number)):
            return method(self, Rows(*args[:2]), *args[2:], **options)
        return method(self, *args, **options)

    return taking


class Batches(Protocol):
    """A source of batches."""

    def rows(self) -> int | None:
        """Return the rows of an epoch, None when they are not known beforehand."""

    def count(self) -> int | None:
        """Return the batches of an epoch, None when they are not known beforehand."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch `number` from `start` on, the same ones whenever it is asked for."""


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
    """Batches of arrays x, y and weights with the rows along the first axis.

    x and y are arrays, or dicts or tuples of arrays. Rows are gathered batch by batch, in an order that
    depends on (seed, epoch) only; the array a batch comes in is used again for the next one.

    Attributes:
        classes: the names of the classes, where the targets are such.
    """

    def __init__(
        self, rows: Rows, batch_size: int, shuffle: bool, seed: int, classes: Classes = None
    ) -> None:
        y = rows.y
        self.classes: Classes = None
        if isinstance(y, _Named) or not is_several(y):
            y, self.classes = encode(y, classes)
        self.x, self.y = as_rows("x", rows.x), as_rows("y", y)
        count = rows_of(self.x)
        if count != rows_of(self.y):
            raise ValueError(f"expected as many rows in x as in y, got {shapes(self.x)} and {shapes(self.y)}")
        self.weight = None if rows.weight is None else checked_weights(rows.weight, count)
        self.bounds = bounds(count, batch_size)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed

    def rows(self) -> int:
        return rows_of(self.x)

    def count(self) -> int:
        return len(self.bounds)

    def part(self, chosen: slice) -> ArrayBatches:
        """Return batches of some of the rows."""
        part = Rows(*(take(value, chosen) if value is not None else None for value in self._all))
        return ArrayBatches(part, self.batch_size, self.shuffle, self.seed)

    @property
    def all_rows(self) -> Rows:
        """The rows themselves."""
        return Rows(self.x, self.y, self.weight)

    @property
    def _all(self) -> tuple[Any, Any, Any]:
        return self.x, self.y, self.weight

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        return self.between(number, self.bounds[start:])

    def between(self, number: int, bounds: list[tuple[int, int]]) -> Iterator[Batch]:
        """Yield the rows of an epoch from begin to end, for each of `bounds`."""
        if not self.shuffle:
            for begin, end in bounds:
                chosen = slice(begin, end)
                yield Batch(*(None if value is None else take(value, chosen) for value in self._all))
            return
        order = epoch_order(self.rows(), self.seed, number)
        widest = max((end - begin for begin, end in bounds), default=0)
        room = map_tree(_room(widest), self._all)
        for begin, end in bounds:
            yield Batch(*_gather(self._all, order[begin:end], room))


def _room(rows: int) -> Callable[[Any], Any]:
    return lambda array: None if array is None else np.empty((rows, *array.shape[1:]), array.dtype)


def _gather(tree: Any, chosen: NDArray[np.intp], room: Any) -> Any:
    """Return the chosen rows of arrays in memory that is there already."""
    if type(tree) is np.ndarray:
        return tree.take(chosen, axis=0, out=room[: len(chosen)], mode="clip")
    if isinstance(tree, dict):
        return {key: _gather(part, chosen, room[key]) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple([_gather(part, chosen, place) for part, place in zip(tree, room, strict=True)])
    return None


class DatasetBatches:
    """Batches of a `data.Dataset`, or of any object with `len()` whose items are (x, y) or (x, y, weight)."""

    def __init__(self, samples: Any, batch_size: int, shuffle: bool, seed: int, classes: Classes) -> None:
        with importing:
            from ..data.dataset import as_dataset

        self.dataset = as_dataset(samples)
        self.bounds = bounds(len(self.dataset), batch_size)
        self.shuffle = shuffle
        self.seed = seed
        self.classes = classes
        if not self.bounds:
            raise ValueError("expected a dataset with at least one row, got an empty one")

    def rows(self) -> int:
        return len(self.dataset)

    def count(self) -> int:
        return len(self.bounds)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        return self.between(number, self.bounds[start:])

    def between(self, number: int, bounds: list[tuple[int, int]]) -> Iterator[Batch]:
        """Yield the rows of an epoch from begin to end, for each of `bounds`."""
        rows = len(self.dataset)
        order = epoch_order(rows, self.seed, number) if self.shuffle else np.arange(rows)
        for begin, end in bounds:
            yield batch_of(self.dataset.batch(order[begin:end]), self.classes)


class IterableBatches:
    """Batches that come ready from an iterable, such as a list of (x, y) or a `data.DataLoader`.

    Where the iterable has an attribute `epoch`, as a DataLoader has, it is set before each epoch.
    """

    def __init__(self, iterable: Any, classes: Classes = None) -> None:
        self.iterable = iterable
        self.classes = classes

    def rows(self) -> int | None:
        dataset: Any = getattr(self.iterable, "dataset", None)
        known = hasattr(dataset, "__len__") and not getattr(self.iterable, "drop_last", False)
        return len(dataset) if known else None

    def count(self) -> int | None:
        return len(self.iterable) if hasattr(self.iterable, "__len__") else None

    def once(self) -> bool:
        """Whether the iterable can be gone through a single time, as a generator."""
        return iter(self.iterable) is self.iterable

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        if hasattr(self.iterable, "epoch"):
            self.iterable.epoch = number
        empty = True
        for position, batch in enumerate(self.iterable):
            empty = False
            if position >= start:
                yield batch_of(batch, self.classes)
        if empty:
            raise ValueError(
                "the iterable of batches gave none; a generator can be used for one epoch only: pass a list, "
                "a DataLoader, or another object that can be iterated again, or say steps_per_epoch"
            )


def epoch_order(rows: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return the row numbers in the order of an epoch: that of a shuffling `data.DataLoader`."""
    with importing:
        from ..data import DataLoader

    return DataLoader((np.empty(rows),), shuffle=True, seed=seed).order(epoch)


def make_batches(
    data: Any,
    batch_size: int,
    shuffle: bool,
    seed: int,
    weight: Any = None,
    classes: Classes = None,
) -> Batches:
    """Return `data` as batches.

    Args:
        data: x and y with or without weights, as arrays or trees of them; a dataset; or an iterable of
            batches.
        batch_size: rows of a batch.
        shuffle: take rows in a new order each epoch.
        seed: of the orders.
        weight: weights of rows, beside arrays.
        classes: names of the classes that texts among the targets stand for.
    """
    rows = _as_rows(data)
    if rows is not None:
        if weight is not None and rows.weight is not None:
            raise TypeError("expected weights of rows once: as sample_weight or in (x, y, weights)")
        rows = rows._replace(weight=rows.weight if weight is None else weight)
        return ArrayBatches(rows, batch_size, shuffle, seed, classes)
    if weight is not None:
        raise TypeError("sample_weight goes with arrays x and y; batches and samples are (x, y, weight)")
    if isinstance(data, np.ndarray):
        raise TypeError("expected (x, y), got one array")
    if isinstance(data, (list, tuple)) and not data:
        raise ValueError("expected at least one batch, got none")
    sequence = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if sequence and not isinstance(data, (tuple, list, dict)):
        return DatasetBatches(data, batch_size, shuffle, seed, classes)
    if isinstance(data, dict) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"expected (x, y) arrays, a dataset or an iterable of batches, got {type(data).__name__}"
        )
    return IterableBatches(data, classes)


class _Named(NamedTuple):
    """Class numbers and their names, in the form of a categorical."""

    codes: Any
    categories: tuple[str, ...]


def _as_rows(data: Any) -> Rows | None:
    """Return data as rows where they are arrays, None where they are samples or batches."""
    with importing:
        from ..data import Dataset, ImageArrays

    if isinstance(data, Rows):
        return data
    if isinstance(data, ImageArrays) and data.classes:
        return Rows(data.x, _Named(data.y, data.classes))
    if type(data) is Dataset and len(data.arrays) in (2, 3):
        return Rows(*data.arrays)
    if not isinstance(data, (tuple, list)):
        return None
    if len(data) == 2 and not all(map(_is_batch, data)):
        return Rows(*data)
    if len(data) == 2 and not any(_has_array(pair) for pair in data):
        raise TypeError(
            "two pairs of lists can be x and y of two rows each, or two batches (x, y): "
            "pass numpy arrays, numpy.array(x) and numpy.array(y)"
        )
    if len(data) == 3 and isinstance(data, tuple) and not any(map(_is_batch, data)):
        return Rows(*data)
    if isinstance(data, tuple) and len(data) > 3 and all(hasattr(part, "shape") for part in data):
        raise TypeError(f"expected (x, y) or (x, y, weights), got {len(data)} arrays")
    return None


def _is_batch(value: Any) -> bool:
    """Return whether a value, of several that could be x and y, is a batch (x, y) itself."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        return False
    try:
        return len({len(part) for part in value}) == 1 and not isinstance(value[0], str)
    except TypeError:
        return False


def _has_array(values: Any) -> bool:
    return any(hasattr(value, "shape") for value in values)


def batch_of(batch: Any, classes: Classes) -> Batch:
    """Return a batch from what an iterable or a data set gives."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        if hasattr(batch, "shape"):
            found = f"an array of shape {tuple(batch.shape)}; x and y as a whole are two arrays: (x, y)"
        else:
            count = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            found = f"a {type(batch).__name__}{count}"
        raise ValueError(f"expected batches (x, y) or (x, y, weights), got {found}")
    x, y = map_tree_of(to_array, batch[0]), batch[1]
    if not is_several(y):
        labels = encode(y, classes)
        if labels.numbers is not y and classes is None:
            raise TypeError(
                "expected y of batches as class numbers, got texts; data.Dataset and arrays (x, y) may have "
                "texts, and a Trainer knows their numbers after a fit with such"
            )
        y = labels.numbers
    y = map_tree_of(to_array, y)
    weight = None if len(batch) == 2 else checked_weights(batch[2], rows_of(y))
    return Batch(x, y, weight)


def map_tree_of(convert: Callable[[Any], Any], value: Any) -> Any:
    """Return an array, or a dict or tuple of arrays; lists are rows of one."""
    if is_several(value):
        if isinstance(value, dict):
            return {key: map_tree_of(convert, part) for key, part in value.items()}
        return tuple(map_tree_of(convert, part) for part in value)
    return convert(value)
