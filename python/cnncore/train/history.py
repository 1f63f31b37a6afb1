# SPDX-License-Identifier: Apache-2.0
"""What `Trainer.fit` returns."""

from __future__ import annotations

from typing import Any

from ..nonfinite import NonFinite


class History(dict[str, list[Any]]):
    """One list for each figure, one entry for each epoch: a number or, of a metric such as the confusion
    matrix, an array.

    The figures: loss, each metric, val_loss and val_<metric> where there is validation data, seconds
    (training without validation), images_per_second. `interrupted` tells whether Ctrl-C, or a callback,
    ended training inside an epoch; that epoch has no entries. `nonfinite` says where NaN or infinity was
    found when the loss became such (see `find_nonfinite`), which ends training; None otherwise.

    >>> history = History()
    >>> history.append({"loss": 0.5}); history.append({"loss": 0.25})
    >>> history["loss"], history.epochs
    ([0.5, 0.25], 2)
    """

    interrupted: bool = False
    nonfinite: NonFinite | None = None

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return max((len(values) for values in self.values()), default=0)

    def append(self, figures: dict[str, Any]) -> None:
        """Add the figures of one epoch."""
        for name, value in figures.items():
            self.setdefault(name, []).append(value)
