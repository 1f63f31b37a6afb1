# SPDX-License-Identifier: Apache-2.0
"""Samples by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]


class Dataset:
    """Samples by number: of arrays, or of a subclass's own making.

    ``Dataset(x, y)`` holds arrays with one row a sample. A subclass instead overrides `__len__` and
    `__getitem__`, which returns one sample as a tuple of arrays or numbers; where whole batches can be had
    faster than sample by sample, it overrides `batch`, too. Both may be called from several threads.

    Args:
        arrays: array-likes of equal length.

    Raises:
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
        converted = tuple(np.asarray(array) for array in arrays)
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
        """
        if type(self).__getitem__ is Dataset.__getitem__:
            chosen = np.asarray(indices, dtype=np.intp)
            return tuple(array[chosen] for array in self.arrays)
        samples = [_as_tuple(self[int(index)]) for index in indices]
        if not samples:
            raise ValueError("expected at least one index, got none")
        return tuple(_stack(values) for values in zip(*samples, strict=True))


def _as_tuple(sample: Any) -> tuple[Any, ...]:
    return tuple(sample) if isinstance(sample, (tuple, list)) else (sample,)


def _stack(values: tuple[Any, ...]) -> NDArray[Any]:
    rows = [np.asarray(value) for value in values]
    shapes = sorted({row.shape for row in rows})
    if len(shapes) > 1:
        raise ValueError(f"expected samples of one shape in a batch, got {shapes[0]} and {shapes[1]}")
    stacked = np.stack(rows)
    return stacked.astype(np.int64) if stacked.dtype.kind in "iu" and stacked.ndim == 1 else stacked
