# SPDX-License-Identifier: Apache-2.0
"""Schedules that multiply the rate at some or all steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..optimizer import Optimizer
from .scheduler import LRScheduler, number, steps, whole


class StepLR(LRScheduler):
    """Multiplies the rate by `gamma` every `step_size` steps.

    Args:
        optimizer: whose rates are set.
        step_size: steps with the same rate.
        gamma: factor.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: `step_size` below 1.

    >>> from cnncore import nn, optim
    >>> scheduler = StepLR(optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5), step_size=2, gamma=0.5)
    >>> rates = []
    >>> for epoch in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = whole("step_size", step_size)
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma if self.last_epoch > 0 and self.last_epoch % self.step_size == 0 else 1.0
        return [lr * factor for lr in self.lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the rate by `gamma` at each of the steps `milestones`.

    Args:
        optimizer: whose rates are set.
        milestones: numbers of steps; one that is given twice counts twice.
        gamma: factor.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: a milestone below 0.
        TypeError: milestones that are no integers.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5)
    >>> scheduler = MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> for epoch in range(3):
    ...     scheduler.step()
    >>> optimizer.lr
    0.125
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = dict(Counter(steps("milestones", milestones, 0)))
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones.get(self.last_epoch, 0)
        return [lr * factor for lr in self.lrs]

    def first_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones.get(0, 0)
        return [base * factor for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """Multiplies the rate by `factor` until step `total_iters`, and divides it again there.

    Args:
        optimizer: whose rates are set.
        factor: from 0 (excluded) to 1.
        total_iters: the step from which the rate is whole.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: a factor that is not above 0 and up to 1, or `total_iters` below 0.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> first = optimizer.lr
    >>> scheduler.step(); scheduler.step(); first, optimizer.lr
    (0.5, 1.0)
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = number("factor", factor, 0.0, 1.0, above=True)
        self.total_iters = whole("total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self.lrs]
        return [lr / self.factor if self.last_epoch == self.total_iters else lr for lr in self.lrs]

    def first_lr(self) -> list[float]:
        return [base * self.factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Multiplies the rate by a factor that goes in a line from `start_factor` to `end_factor`: a warm-up.

    Args:
        optimizer: whose rates are set.
        start_factor: of step 0, from 0 (excluded) to 1.
        end_factor: from step `total_iters` on, from 0 to 1.
        total_iters: steps from one to the other.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: factors that are not from 0 to 1, or `total_iters` below 1.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> scheduler.step(); round(optimizer.lr, 6)
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("start_factor", start_factor, 0.0, 1.0, above=True)
        self.end_factor = number("end_factor", end_factor, 0.0, 1.0)
        self.total_iters = whole("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self.lrs]
        if self.last_epoch > self.total_iters:
            return self.lrs
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in self.lrs]

    def first_lr(self) -> list[float]:
        return [base * self.start_factor for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiplies the rate by `gamma` at each step.

    Args:
        optimizer: whose rates are set.
        gamma: factor.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: `gamma` is not finite.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step(); scheduler.step(); optimizer.lr
    0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr if self.last_epoch == 0 else lr * self.gamma for lr in self.lrs]


class PolynomialLR(LRScheduler):
    """Multiplies the rate by (1 - step / total_iters) ** power: to zero at step `total_iters`.

    Args:
        optimizer: whose rates are set.
        total_iters: the step at which the rate is zero, and stays so.
        power: of the polynomial.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: `total_iters` below 1, or a power below 0.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = PolynomialLR(optimizer, total_iters=4, power=2.0)
    >>> scheduler.step(); scheduler.step(); round(optimizer.lr, 6)
    0.25
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = whole("total_iters", total_iters)
        self.power = number("power", power, 0.0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return self.lrs
        left = (self.total_iters - self.last_epoch) / (self.total_iters - self.last_epoch + 1)
        return [lr * left**self.power for lr in self.lrs]
