# SPDX-License-Identifier: Apache-2.0
"""Learning rates that follow the epochs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ...nn.arguments import finite
from ...optim import lr_scheduler
from ..settings import count
from .base import Callback
from .monitor import Monitor


class LearningRateScheduler(Callback):
    """Sets the learning rate of each epoch by a function.

    Args:
        schedule: function (epoch) or (epoch, present rate) that returns the rate; epochs count from 0.

    Raises:
        TypeError: `schedule` is no function.

    >>> callback = LearningRateScheduler(lambda epoch: 0.1 * 0.5 ** (epoch // 10))
    """

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            raise TypeError(
                f"expected a function (epoch) or (epoch, rate), got {type(schedule).__name__}"
                + (
                    "; a scheduler of optim goes to Trainer(..., scheduler=)"
                    if _is_scheduler(schedule)
                    else ""
                )
            )
        self.schedule = schedule
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._with_rate = True
        except (TypeError, ValueError):
            self._with_rate = False

    def on_epoch_begin(self, epoch: int) -> None:
        optimizer = self.trainer.optimizer
        optimizer.lr = self.schedule(epoch, optimizer.lr) if self._with_rate else self.schedule(epoch)


def _is_scheduler(value: Any) -> bool:
    return isinstance(value, lr_scheduler.LRScheduler)


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by `factor` when a figure has not become better for some epochs.

    Args:
        monitor: the figure's name; None: "val_loss" where there is validation, else "loss".
        factor: below 1.
        patience: epochs without improvement after which the rate is reduced.
        mode: "min", "max", or "auto" by the name.
        min_delta: the least difference that counts as better.
        cooldown: epochs after a reduction during which nothing is counted.
        min_lr: the least rate.

    Raises:
        ValueError: a factor that is not between 0 and 1; an unknown mode.

    >>> callback = ReduceLROnPlateau(factor=0.5, patience=5)
    """

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < finite("factor", factor) < 1:
            raise ValueError(f"expected factor between 0 and 1, got {factor!r}")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.settings = {
            "factor": factor,
            "patience": max(count("patience", patience, 0) - 1, 0),
            "cooldown": count("cooldown", cooldown, 0),
            "min_lr": finite("min_lr", min_lr, 0),
        }
        self._scheduler: lr_scheduler.ReduceLROnPlateau | None = None
        self._state: Mapping[str, Any] | None = None

    def on_train_begin(self) -> None:
        self._scheduler = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        name, value = self.monitor.value(logs)
        if self._scheduler is None:
            settings: dict[str, Any] = dict(self.settings)
            self._scheduler = lr_scheduler.ReduceLROnPlateau(
                self.trainer.optimizer,
                mode="max" if self.monitor.higher(name) else "min",
                threshold=self.monitor.min_delta,
                threshold_mode="abs",
                **settings,
            )
            if self._state is not None:
                self._scheduler.load_state_dict(self._state)
                self._state = None
        self._scheduler.step(value)

    def state_dict(self) -> dict[str, Any]:
        return {"_state": self._state if self._scheduler is None else self._scheduler.state_dict()}
