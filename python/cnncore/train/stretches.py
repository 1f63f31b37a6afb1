# SPDX-License-Identifier: Apache-2.0
"""Epochs that are another part of the data than the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .._checks import is_real
from .batches import ArrayBatches, Batches, IterableBatches
from .rows import Batch


class Stretches:
    """Epochs of so many batches each, cut from one pass through the data after the other.

    A generator goes on where it stands; other data are brought to the place that (epoch, step) says.
    """

    def __init__(self, batches: Batches, steps: int, batch_size: int) -> None:
        self.batches = batches
        self.steps = steps
        self._rows = None if batches.rows() is None else steps * batch_size
        self._at = -1
        self._iterator: Iterator[Batch] = iter(())

    def rows(self) -> int | None:
        return self._rows

    def count(self) -> int:
        return self.steps

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        wanted = number * self.steps + start
        if self._at != wanted:
            self._iterator, self._at = self._from(wanted), wanted
        for _ in range(start, self.steps):
            batch = next(self._iterator, None)
            if batch is None:
                raise ValueError(
                    f"the data ended in step {self._at - number * self.steps + 1} of {self.steps} of an "
                    "epoch; a generator must give steps_per_epoch batches for each epoch"
                )
            self._at += 1
            yield batch

    def _from(self, position: int) -> Iterator[Batch]:
        """Yield the batches of pass after pass, from a position counted through all passes on."""
        if isinstance(self.batches, IterableBatches) and self.batches.once():
            yield from self.batches.epoch(0)
            return
        count, number = self.batches.count(), 0
        if count:
            number, position = divmod(position, count)
        while True:
            passed = 0
            for passed, batch in enumerate(self.batches.epoch(number, position if count else 0), 1):
                if count or passed > position:
                    yield batch
            position = 0 if count else max(0, position - passed)
            number += 1


def split_rows(batches: Batches, share: float, of_classes: bool) -> tuple[ArrayBatches, ArrayBatches]:
    """Return the first rows for training, and the last ones, `share` of all, for validation.

    Args:
        batches: of arrays.
        share: between 0 and 1.
        of_classes: whether the targets are classes, each of which must occur among the first rows.

    Raises:
        TypeError: no arrays.
        ValueError: a share that leaves no rows on one side, or rows of validation with classes that training
            lacks, as where rows are sorted by class.
    """
    if not isinstance(batches, ArrayBatches):
        raise TypeError("validation_split goes with arrays x and y; pass other data as validation=")
    if isinstance(share, bool) or not is_real(share) or not 0 < float(share) < 1:
        raise ValueError(f"expected validation_split as a share between 0 and 1, got {share!r}")
    rows = batches.rows()
    first = math.floor(rows * (1 - float(share)))
    if not 0 < first < rows:
        raise ValueError(f"validation_split={share} of {rows} rows leaves none on one side")
    train, validation = batches.part(slice(0, first)), batches.part(slice(first, rows))
    if of_classes and isinstance(batches.y, np.ndarray) and batches.y.ndim == 1:
        lacking = np.setdiff1d(validation.y, train.y)
        if lacking.size:
            raise ValueError(
                f"validation_split takes the last rows, and class {lacking[0]} occurs only there: mix the "
                "rows before, order = numpy.random.permutation(len(x)); x, y = x[order], y[order]"
            )
    return train, validation
