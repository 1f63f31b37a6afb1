# SPDX-License-Identifier: Apache-2.0
"""Ending training."""

from __future__ import annotations

import math
from typing import Any

from ...graph.warning import warn_caller
from ...nn.arguments import finite, flag, several
from ..moment import load_weights, weights_of
from ..settings import count
from .base import Callback
from .monitor import Monitor


class EarlyStopping(Callback):
    """Ends training when a figure has not become better for some epochs.

    Args:
        monitor: the figure's name; None: "val_loss" where there is validation, else "loss".
        min_delta: the least difference that counts as better.
        patience: epochs without improvement after which training ends.
        mode: "min", "max", or "auto" by the name.
        baseline: a value that the first improvement must exceed.
        restore_best: give the model the weights of the best epoch at the end of training.
        start_from_epoch: the first epoch, from 0, that is watched.

    Attributes:
        best: the best value, best_epoch: its epoch from 0.
        stopped_epoch: the epoch from 0 after which training was ended, or None.

    Raises:
        ValueError: `patience` is no integer of at least 0; an unknown mode.

    >>> callback = EarlyStopping(monitor="val_accuracy", patience=3, restore_best=True)
    """

    def __init__(
        self,
        monitor: str | None = None,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = count("patience", patience, 0)
        self.baseline = None if baseline is None else finite("baseline", baseline)
        self.restore_best = flag("restore_best", restore_best)
        self.start_from_epoch = count("start_from_epoch", start_from_epoch, 0)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = self.baseline
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.waited = 0
        self._best_state: dict[str, Any] | None = None

    def on_train_begin(self) -> None:
        self._forget()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        name, value = self.monitor.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.monitor.better(name, value, self.best):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            if self.restore_best:
                self._best_state = weights_of(self.trainer)
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.stopped_epoch = epoch
            self.trainer.stop_training = True

    def on_train_end(self) -> None:
        if self._best_state is not None:
            load_weights(self.trainer, self._best_state)
            self._best_state = None

    def state_dict(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in _STOPPING}


_STOPPING = ("best", "best_epoch", "stopped_epoch", "waited", "_best_state")


class TerminateOnNaN(Callback):
    """Ends training when a figure of an epoch is NaN or infinite.

    `Trainer.fit` by itself ends at a training loss that is; this watches validation and metrics, too.

    Args:
        monitor: names of the figures; None: all that end in "loss".

    Raises:
        TypeError: names that are no texts.

    >>> callback = TerminateOnNaN()
    """

    def __init__(self, monitor: str | tuple[str, ...] | None = None) -> None:
        names = (monitor,) if isinstance(monitor, str) else monitor
        self.monitor = None if names is None else several("monitor", names, "names of figures")
        if not all(isinstance(name, str) for name in self.monitor or ()):
            raise TypeError(f"expected monitor as names of figures, got {monitor!r}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            watched = name.endswith("loss") if self.monitor is None else name in self.monitor
            if watched and not math.isfinite(value):
                warn_caller(f"{name} is {value} after epoch {epoch + 1}: training ends")
                self.trainer.stop_training = True
