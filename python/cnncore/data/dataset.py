# SPDX-License-Identifier: Apache-2.0
"""Samples by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .settings import sample_numbers

Arrays = tuple[NDArray[Any], ...]


class Dataset:
    """Samples by number: of arrays, or of a subclass's own making.

    ``Dataset(x, y)`` holds arrays with one row a sample. A subclass instead overrides `__len__` and
    `__getitem__`, which returns one sample as a tuple of arrays or numbers; where whole batches can be had
    faster than sample by sample, it overrides `batch`, too. Both may be called from several threads.

    Args:
        arrays: array-likes of equal length.

    Raises:
        TypeError: no arrays, where the class is not a subclass.
        ValueError: arrays of different lengths, or without a first axis.

    >>> samples = Dataset(np.arange(6).reshape(3, 2), np.array([0, 1, 0]))
    >>> len(samples), samples[1][0].tolist()
    (3, [2, 3])
    >>> x, y = samples.batch([2, 0])
    >>> x.tolist(), y.tolist()
    ([[4, 5], [0, 1]], [0, 0])
    """

    arrays: Arrays = ()

    def __init__(self, *arrays: Any) -> None:
        if not arrays and type(self) is Dataset:
            raise TypeError("expected at least one array with one row a sample, got none")
        converted = tuple(_as_array(array) for array in arrays)
        shapes = [array.shape for array in converted]
        if any(not shape for shape in shapes):
            raise ValueError(f"expected arrays with one row a sample, got shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"expected arrays with the same number of samples, got shapes {shapes}")
        self.arrays = converted

    def __len__(self) -> int:
        if not self.arrays:
            raise NotImplementedError(f"{type(self).__name__} holds no arrays and does not override __len__")
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not self.arrays:
            raise NotImplementedError(
                f"{type(self).__name__} holds no arrays and does not override __getitem__"
            )
        return tuple(array[index] for array in self.arrays)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Any) -> Arrays:
        """Return the samples of these numbers as arrays with one row a sample.

        Args:
            indices: integers, in any order and with repetitions.

        Raises:
            ValueError: no index, or samples of different shapes.
        """
        if type(self).__getitem__ is Dataset.__getitem__:
            chosen = sample_numbers("indices", indices)
            return tuple(array[chosen] for array in self.arrays)
        return tuple(stack(values) for values in self.columns(indices))

    def columns(self, indices: Any) -> list[Any]:
        """Return what `batch` returns, before samples that come one at a time are stacked.

        Args:
            indices: as of `batch`.

        Returns:
            For each array of a sample an array with one row a sample, or a tuple of the samples' arrays.

        Raises:
            ValueError: no index.
        """
        if type(self).__getitem__ is Dataset.__getitem__ or type(self).batch is not Dataset.batch:
            return list(self.batch(indices))
        samples = [_as_tuple(self[int(index)]) for index in indices]
        if not samples:
            raise ValueError("expected at least one index, got none")
        return list(zip(*samples, strict=True))


class _Samples(Dataset):
    """The samples of another object with `len()` and items by number, such as a torch Dataset."""

    def __init__(self, samples: Any) -> None:
        super().__init__()
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return _as_tuple(self.samples[index])


def as_dataset(samples: Any) -> Dataset:
    """Return as a Dataset what has samples by number.

    Args:
        samples: a Dataset, a tuple of arrays, a list of arrays or of samples, an array, or any object with
            `len()` whose items are samples.

    Raises:
        TypeError: no such object.
    """
    if isinstance(samples, Dataset) or callable(getattr(samples, "batch", None)):
        dataset: Dataset = samples
        return dataset
    if isinstance(samples, (tuple, list)):
        of_samples = isinstance(samples, list) and all(
            isinstance(sample, (tuple, list)) for sample in samples
        )
        return _Samples(samples) if of_samples and samples else Dataset(*samples)
    if isinstance(samples, np.ndarray):
        return Dataset(samples)
    if isinstance(samples, (dict, str, bytes)) or not (
        hasattr(samples, "__len__") and hasattr(samples, "__getitem__")
    ):
        raise TypeError(
            "expected a Dataset, a tuple of arrays or another object with len() and samples by number, "
            f"got {type(samples).__name__}"
        )
    return _Samples(samples)


def _as_array(value: Any) -> NDArray[Any]:
    if np.ma.is_masked(value):
        raise TypeError("expected arrays without masked values, got some; .filled(value) replaces them")
    return np.asarray(value)


def _as_tuple(sample: Any) -> tuple[Any, ...]:
    return tuple(sample) if isinstance(sample, (tuple, list)) else (sample,)


def stack(values: Any) -> NDArray[Any]:
    """Return samples' arrays or numbers as one array; class numbers become int64."""
    if isinstance(values, np.ndarray):
        return values
    rows = [_as_array(value) for value in values]
    if any(row.dtype == object for row in rows):
        raise TypeError(f"expected samples as tuples of arrays and numbers, got {type(values[0]).__name__}")
    shapes = sorted({row.shape for row in rows})
    if len(shapes) > 1:
        raise ValueError(f"expected samples of one shape in a batch, got {shapes[0]} and {shapes[1]}")
    stacked = np.stack(rows)
    return stacked.astype(np.int64) if stacked.dtype.kind in "iu" and stacked.ndim == 1 else stacked
