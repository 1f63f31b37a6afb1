# SPDX-License-Identifier: Apache-2.0
"""A schedule that follows a measured value."""

from __future__ import annotations

import math
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, number, one_each, whole


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a value has not become better for more than `patience` steps.

    Args:
        optimizer: whose rates are set.
        mode: "min" when lower values are better, "max" when higher ones are.
        factor: below 1.
        patience: steps without improvement that are tolerated.
        threshold: what counts as an improvement: a share of the best value ("rel") or a difference ("abs").
        threshold_mode: "rel" or "abs".
        cooldown: steps after a reduction during which nothing is counted.
        min_lr: the least rate, or one for each parameter group.
        eps: reductions by no more than this are left out.

    Raises:
        ValueError: an unknown `mode` or `threshold_mode`, or a factor of 1 and above.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (2.0, 1.0, 1.0, 1.0):
    ...     scheduler.step(loss)
    >>> optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f'expected mode "min" or "max", got {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'expected threshold_mode "rel" or "abs", got {threshold_mode!r}')
        self.mode = mode
        self.factor = number("factor", factor)
        if self.factor >= 1.0:
            raise ValueError(f"expected factor to be below 1, got {factor}")
        self.patience = whole("patience", patience, 0)
        self.threshold = number("threshold", threshold)
        self.threshold_mode = threshold_mode
        self.cooldown = whole("cooldown", cooldown, 0)
        self.eps = number("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)
        self.min_lrs = one_each("min_lr", min_lr, optimizer)

    def begin(self) -> None:
        self.last_epoch = 0
        self._last_lr = self.lrs

    def step(self, metrics: Any = None) -> None:
        """Count a step.

        Args:
            metrics: the value to watch, a number.

        Raises:
            TypeError: it is missing or no number.
        """
        if not hasattr(metrics, "__float__"):
            raise TypeError(f"expected the value to watch, as in step(validation_loss), got {metrics!r}")
        value = float(metrics)
        self.last_epoch += 1
        if self._better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
            self._reduce()
        self._last_lr = self.lrs

    def _better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "rel":
            return sign * value < sign * self.best * (1.0 - sign * self.threshold)
        return sign * value < sign * self.best - self.threshold

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            reduced = max(float(group["lr"]) * self.factor, least)
            if group["lr"] - reduced > self.eps:
                group["lr"] = reduced
