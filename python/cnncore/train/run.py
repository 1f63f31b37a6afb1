# SPDX-License-Identifier: Apache-2.0
"""One call of `Trainer.fit`: the loop over epochs and batches."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.warning import warn_caller
from ..nonfinite import NonFinite, find_nonfinite
from .batches import Batches
from .callbacks.base import Callback, overrides
from .history import History
from .interrupt import StopOnInterrupt
from .labels import weights_of_rows
from .moment import go_back, moment_of
from .objective import arrays_of, total_weight
from .progress import Progress
from .rows import Batch, rows_of
from .running import RunningMeans
from .shards import StandIn

if TYPE_CHECKING:
    from .trainer import Trainer


class Run:
    """One call of `Trainer.fit`.

    Args:
        trainer: whose model is trained.
        batches: of the training.
        validation: batches to evaluate after each epoch, or None.
        callbacks: called at their points.
        epochs: how many, counted from the first one of the run.
        progress: the display.
        class_weights: (classes,) or None.
        resumed: what `state_dict` of the run returned that is to be continued.
    """

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches,
        validation: Batches | None,
        callbacks: list[Callback],
        epochs: int,
        progress: Progress,
        class_weights: Any = None,
        resumed: dict[str, Any] | None = None,
    ) -> None:
        self.trainer = trainer
        self.batches = batches
        self.validation = validation
        self.callbacks = callbacks
        self.on_batch_end = [c.on_batch_end for c in callbacks if overrides(c, "on_batch_end")]
        self.epochs = epochs
        self.progress = progress
        self.class_weights = class_weights
        self.history = History()
        self.first = trainer.epoch
        self.between_steps = True
        self._batch = 0
        self._running = RunningMeans(trainer._counting())
        self._kept: dict[str, Any] | None = None
        self._resumed = resumed
        if resumed is not None:
            self.first = int(resumed["first"])
            self.history.update({name: list(values) for name, values in resumed["history"].items()})

    def state_dict(self) -> dict[str, Any]:
        """Return where the run is, beside what the Trainer itself keeps."""
        return {
            "first": self.first,
            "batch": self._batch,
            "history": {name: list(values) for name, values in self.history.items()},
            "running": self._running.state_dict() if self._batch else None,
            "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in self.callbacks],
        }

    def run(self) -> History:
        """Train; see `Trainer.fit`."""
        trainer = self.trainer
        trainer.stop_training = False
        trainer._share_first()
        for callback in self.callbacks:
            callback.trainer = trainer
            callback.on_train_begin()
        self._load_callbacks()
        try:
            with StopOnInterrupt() as interrupt:
                for epoch in range(trainer.epoch, self.first + self.epochs):
                    self.progress.begin(epoch - self.first + 1, self.epochs, self.batches.rows())
                    if not self._epoch(epoch, interrupt) or self._agreed(trainer.stop_training):
                        break
        except KeyboardInterrupt:
            if trainer.ranks is not None:
                raise
            self._note_interrupt()
        finally:
            self.progress.close()
            # Those that keep the state come before those that change it, as by restoring the best weights.
            for callback in reversed(self.callbacks):
                callback.on_train_end()
        return self.history

    def _load_callbacks(self) -> None:
        """Give the callbacks the states of those of the run that goes on: the same ones in the same order."""
        if self._resumed is None:
            return
        states = self._resumed["callbacks"]
        names, found = [name for name, _ in states], [type(callback).__name__ for callback in self.callbacks]
        if names != found:
            raise ValueError(
                f"the run that is resumed had the callbacks {', '.join(names) or 'none'}, "
                f"got {', '.join(found) or 'none'}"
            )
        for callback, (_, state) in zip(self.callbacks, states, strict=True):
            callback.load_state_dict(state)

    def _epoch(self, epoch: int, interrupt: StopOnInterrupt) -> bool:
        """Train and validate one epoch; return whether it was completed."""
        trainer = self.trainer
        trainer.model.train()
        self._begin(epoch)
        running = self._running
        started, rows_before = time.perf_counter(), running.rows
        for number, batch in enumerate(self.batches.epoch(epoch, self._batch), self._batch):
            weighted = self._weighted(batch)
            rows, counted = rows_of(batch.x), not isinstance(batch, StandIn)
            self.between_steps = False
            loss, output = trainer._train_step(weighted, interrupt.requested or trainer.stop_training)
            if not math.isfinite(loss):
                self._end_nonfinite(loss, epoch, number, weighted)
                return False
            weight = total_weight(weighted.weight, rows)
            if trainer.ranks is not None:
                rows, weight = trainer.together.rows, trainer.together.weight
                weight = float(rows) if weighted.weight is None else weight
            running.update(loss, output, batch.y, rows, weight, counted)
            self._batch, self.between_steps = number + 1, True
            self.progress.step(rows, partial(running.means, at_end=False))
            for on_batch_end in self.on_batch_end:
                on_batch_end(number, running.means(at_end=False))
            if self._stops(interrupt.requested):
                self._note_interrupt()
                return False
            if self._stops(trainer.stop_training):
                self.history.interrupted = True
                return False
        seconds = time.perf_counter() - started
        self._end(epoch, seconds, running.rows - rows_before)
        stopped = self._agreed(interrupt.requested)
        if stopped and epoch + 1 < self.first + self.epochs:
            self._note_interrupt()
        return not stopped

    def _stops(self, wish: bool) -> bool:
        """Whether to stop after this step: what this process wishes, or what any had before the step."""
        return wish if self.trainer.ranks is None else self.trainer.together.stop

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        ranks = self.trainer.ranks
        return wish if ranks is None else any(ranks.all(bool(wish)))

    def _begin(self, epoch: int) -> None:
        """Begin an epoch, or go on in its midst."""
        resumed, self._resumed = self._resumed, None
        self._running = RunningMeans(self.trainer._counting())
        self._batch = 0
        if resumed is not None and resumed["batch"]:
            self._batch = int(resumed["batch"])
            self._running.load_state_dict(resumed["running"])
        else:
            for callback in self.callbacks:
                callback.on_epoch_begin(epoch)
        self._keep()

    def _end(self, epoch: int, seconds: float, rows: int) -> None:
        """Validate, and tell everybody of the epoch that was completed."""
        trainer = self.trainer
        trainer._share_first(buffers_only=True)
        counted = self._running
        if trainer.ranks is not None:
            counted = counted.merged(trainer.ranks)
        figures = counted.means()
        if self.validation is not None:
            validated = trainer._evaluate(self.validation, trainer.ranks)
            figures.update({f"val_{name}": value for name, value in validated.items()})
        figures.update(seconds=seconds, images_per_second=rows / seconds)
        trainer.epoch, self._batch = epoch + 1, 0
        trainer._epoch_ended(figures)
        self.history.append(figures)
        self.progress.end(figures)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, figures)

    def _weighted(self, batch: Batch) -> Batch:
        if self.class_weights is None:
            return batch
        return batch._replace(weight=weights_of_rows(self.class_weights, batch.y, batch.weight))

    def _keep(self) -> None:
        """Keep the state, to go back to if the loss becomes NaN or infinite."""
        state = moment_of(self.trainer)
        if self._kept is None or all(np.isfinite(array).all() for array in state["model"].values()):
            self._kept = state

    def _end_nonfinite(self, loss: float, epoch: int, number: int, batch: Batch) -> None:
        """Go back to the last state that was finite, and say where the loss' NaN or infinity comes from."""
        assert self._kept is not None
        objective, arrays = self.trainer._objective(batch, self.trainer.model), arrays_of(batch)
        try:
            now = find_nonfinite(objective, *arrays)
        finally:  # Ctrl-C included
            go_back(self.trainer, self._kept)
        # What the finite weights bring about is the cause; else they have grown out of bounds step by step.
        places = [find_nonfinite(objective, *arrays), now]
        if self.trainer.ranks is not None:
            places = [place for kind in zip(*self.trainer.ranks.all(places), strict=True) for place in kind]
        found = next((each for each in places if each is not None), NonFinite("the loss", "output", "loss"))
        self.history.nonfinite = found
        hint = "; a smaller learning rate may help" if found.what == "weights" else ""
        if not self.trainer.writes:
            return
        warn_caller(
            f"the loss became {loss} in epoch {epoch + 1}, batch {number + 1}: "
            f"{found} has NaN or infinity{hint}. "
            f"Training ends; the model is as it was after {self._kept['epoch']} epochs"
        )

    def _note_interrupt(self) -> None:
        self.history.interrupted = True
        self.progress.note(
            f"stopped by Ctrl-C after {self.history.epochs} of {self.epochs} epochs; "
            "the model keeps what it has learnt"
        )
