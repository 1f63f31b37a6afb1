# SPDX-License-Identifier: Apache-2.0
"""The interface of callbacks: Keras's hooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Called by `Trainer.fit` at fixed points; subclasses override what they need.

    `self.trainer` is the Trainer: its `model` and `optimizer` may be read and changed, and
    ``self.trainer.stop_training = True`` ends training after the current batch.

    `epoch` counts from 0 through all calls of `fit`, `batch` from 0 in each epoch. `logs` holds
    loss and metrics of the epoch so far, those that are worked out at its end (AUC) only there, with those of
    the validation.

    >>> class StopEarly(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.trainer.stop_training = logs["loss"] < 0.1
    """

    trainer: Trainer

    def on_train_begin(self) -> None:
        """Called before the first epoch."""

    def on_train_end(self) -> None:
        """Called after the last epoch, also when training was stopped or interrupted."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Called before each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Called after each completed epoch and its validation."""

    def on_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Called after each step."""


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))

_NAMES_ELSEWHERE = {
    "on_train_batch_end": "on_batch_end",
    "on_step_end": "on_batch_end",
    "on_train_epoch_begin": "on_epoch_begin",
    "on_train_epoch_start": "on_epoch_begin",
    "on_epoch_start": "on_epoch_begin",
    "on_train_epoch_end": "on_epoch_end",
    "on_validation_end": "on_epoch_end",
    "on_test_end": "on_epoch_end",
    "on_train_start": "on_train_begin",
    "on_fit_start": "on_train_begin",
    "on_fit_end": "on_train_end",
}
"""Names of hooks in other libraries, and what is called at that point here."""


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Return callbacks, one or several or None, as a list.

    Raises:
        TypeError: something that is no Callback, or one with a hook that would never be called.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, (Callback, type)) or not isinstance(callbacks, Iterable):
        callbacks = (callbacks,)
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) and issubclass(callback, Callback):
            raise TypeError(f"expected Callback objects, got the class itself: pass {callback.__name__}()")
        if not isinstance(callback, Callback):
            raise TypeError(
                f"expected Callback objects, got {callback!r}; a callback is a subclass of cc.Callback with "
                f"some of the methods {', '.join(_HOOKS)}"
            )
        for name in dir(callback):
            if name.startswith("on_") and name not in _HOOKS and callable(getattr(callback, name)):
                near = _NAMES_ELSEWHERE.get(name)
                raise TypeError(
                    f"{type(callback).__name__}.{name} would never be called: "
                    + (f"its name is {near} here" if near else f"the hooks are {', '.join(_HOOKS)}")
                )
    return found


def overrides(callback: Callback, hook: str) -> bool:
    """Return whether a callback has a hook of its own."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
