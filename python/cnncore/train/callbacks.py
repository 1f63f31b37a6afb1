# SPDX-License-Identifier: Apache-2.0
"""The interface of callbacks: Keras's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Called by `Trainer.fit` at fixed points; subclasses override what they need.

    `self.trainer` is the Trainer: its `model` and `optimizer` may be read and changed, and
    ``self.trainer.stop_training = True`` ends training after the current batch.

    `epoch` counts from 0 through all calls of `fit`, `batch` from 0 in each epoch. `logs` holds
    the running means of loss and metrics; at the end of an epoch also those of the validation.
    """

    trainer: Trainer

    def on_train_begin(self) -> None:
        """Called before the first epoch."""

    def on_train_end(self) -> None:
        """Called after the last epoch, also when training was stopped or interrupted."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Called before each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Called after each completed epoch and its validation."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Called after each step."""
