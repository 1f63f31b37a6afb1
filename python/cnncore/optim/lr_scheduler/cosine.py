# SPDX-License-Identifier: Apache-2.0
"""Schedules that go down along a cosine (Loshchilov and Hutter 2017, SGDR, equation 5)."""

from __future__ import annotations

import math

from ..optimizer import Optimizer
from .scheduler import LRScheduler, number, whole


class CosineAnnealingLR(LRScheduler):
    """Goes from the rate at the beginning down to `eta_min` in `T_max` steps, and up again in as many.

    Args:
        optimizer: whose rates are set.
        T_max: steps of half a period.
        eta_min: the least rate.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: `T_max` below 1, or `eta_min` that is not finite.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step(); round(optimizer.lr, 6)
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:  # noqa: N803  (torch's name)
        self.T_max = whole("T_max", T_max)
        self.eta_min = number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step, half = self.last_epoch, self.T_max
        if step == 0:
            return self.lrs
        if (step - 1) % (2 * half) == half:  # the factor below would divide by zero
            rise = (1 - math.cos(math.pi / half)) / 2
            return [
                lr + (base - self.eta_min) * rise for lr, base in zip(self.lrs, self.base_lrs, strict=True)
            ]
        factor = (1 + math.cos(math.pi * step / half)) / (1 + math.cos(math.pi * (step - 1) / half))
        return [self.eta_min + (lr - self.eta_min) * factor for lr in self.lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Goes down to `eta_min` along half a cosine, again and again, each time `T_mult` times as slowly.

    Args:
        optimizer: whose rates are set.
        T_0: steps of the first run.
        T_mult: factor from the steps of one run to those of the next.
        eta_min: the rate that each run goes down to.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: `T_0` or `T_mult` below 1, or `eta_min` that is not finite.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = []
    >>> for epoch in range(4):
    ...     rates.append(round(optimizer.lr, 6))
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803  (torch's name)
        T_mult: int = 1,  # noqa: N803  (torch's name)
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = whole("T_0", T_0)
        self.T_mult = whole("T_mult", T_mult)
        self.eta_min = number("eta_min", eta_min)
        self.T_i = self.T_0
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def begin(self) -> None:
        self.step(self.last_epoch + 1)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Count a step and set its rates.

        Args:
            epoch: the place in the schedule, which may lie between two steps (``epoch + batch / batches``);
                by default one step further.

        Raises:
            ValueError: an epoch below 0.
        """
        if epoch is None:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            place = number("epoch", epoch, 0.0)
            self.last_epoch = math.floor(place)
            self.T_cur, self.T_i = place, self.T_0
            while self.T_cur >= self.T_i and self.T_mult > 1:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
            self.T_cur %= self.T_i
        self._set(self.get_lr())

    def restart(self) -> None:
        self.step(0)
