# SPDX-License-Identifier: Apache-2.0
"""The interface of callbacks: Keras's hooks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..trainer import Trainer


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

    last = False
    """Whether the callback is called after those that are not: it keeps what they do."""

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

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on needs: numbers, texts and arrays in dicts, lists and tuples."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.__dict__.update(state_dict)


class Lambda(Callback):
    """Functions as a callback.

    Args:
        on_epoch_end: function (epoch, logs), called after each epoch.
        on_batch_end: function (batch, logs), called after each step.
        on_epoch_begin: function (epoch), called before each epoch.
        on_train_begin: function (), called before the first epoch.
        on_train_end: function (), called after the last epoch.

    Raises:
        TypeError: a hook that cannot be called, or takes another number of arguments.

    >>> callback = Lambda(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> callback.on_epoch_end(3, {"loss": 0.5})
    3 0.5
    """

    def __init__(
        self,
        on_epoch_end: Callable[[int, dict[str, Any]], Any] | None = None,
        on_batch_end: Callable[[int, dict[str, Any]], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_train_begin: Callable[[], Any] | None = None,
        on_train_end: Callable[[], Any] | None = None,
    ) -> None:
        functions = {
            "on_epoch_end": (on_epoch_end, 2),
            "on_batch_end": (on_batch_end, 2),
            "on_epoch_begin": (on_epoch_begin, 1),
            "on_train_begin": (on_train_begin, 0),
            "on_train_end": (on_train_end, 0),
        }
        for hook, (function, count) in functions.items():
            if function is not None:
                setattr(self, hook, _taking(hook, function, count))


_ARGUMENTS = ("epoch or batch", "logs")


def _taking(hook: str, function: Any, count: int) -> Any:
    """Return a function after checking that it can be called with so many arguments."""
    if not callable(function):
        raise TypeError(f"expected a function as {hook}, got {function!r}")
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise TypeError(
            f"expected a function of {count} arguments as {hook}"
            + (f" ({', '.join(_ARGUMENTS[:count])})" if count else "")
            + f", got {getattr(function, '__name__', function)!r}{inspect.signature(function)}"
        ) from None
    except ValueError:  # a function that does not say its arguments
        pass
    return function


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
    """Return callbacks, one or several or None, as a list; a function (epoch, logs) is called after each
    epoch.

    Raises:
        TypeError: something that is no Callback, or one with a hook that would never be called.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, (Callback, type)) or not isinstance(callbacks, Iterable):
        callbacks = (callbacks,)
    found = [
        callback if isinstance(callback, (Callback, type)) or not callable(callback) else Lambda(callback)
        for callback in callbacks
    ]
    for callback in found:
        if isinstance(callback, type) and issubclass(callback, Callback):
            raise TypeError(f"expected Callback objects, got the class itself: pass {callback.__name__}()")
        if not isinstance(callback, Callback):
            raise TypeError(
                f"expected Callback objects, got {callback!r}; a callback is a function (epoch, logs), or a "
                f"subclass of cc.Callback with some of the methods {', '.join(_HOOKS)}"
            )
        for name in dir(callback):
            if name.startswith("on_") and name not in _HOOKS and callable(getattr(callback, name)):
                near = _NAMES_ELSEWHERE.get(name)
                raise TypeError(
                    f"{type(callback).__name__}.{name} would never be called: "
                    + (f"its name is {near} here" if near else f"the hooks are {', '.join(_HOOKS)}")
                )
    return sorted(found, key=lambda callback: callback.last)


def overrides(callback: Callback, hook: str) -> bool:
    """Return whether a callback has a hook of its own."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
