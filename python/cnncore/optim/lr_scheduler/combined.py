# SPDX-License-Identifier: Apache-2.0
"""Schedules made of others: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler, checked_optimizer, steps


class _Combined(LRScheduler):
    """A scheduler whose state is that of the schedulers in it, too."""

    _unsaved = ("optimizer", "_schedulers")
    _schedulers: list[LRScheduler]

    def _kept(self) -> Any:
        return super()._kept(), [scheduler._kept() for scheduler in self._schedulers]

    def _put_back(self, kept: Any) -> None:
        own, others = kept
        for scheduler, state in zip(self._schedulers, others, strict=True):
            scheduler._put_back(state)
        super()._put_back(own)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimiser, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where another scheduler was that was made of the same ones."""
        schedulers = self._schedulers
        super().load_state_dict(state_dict)
        self._schedulers = schedulers
        for scheduler, state in zip(schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """Runs one schedule after the other, each from its own step 0.

    Args:
        optimizer: whose rates are set.
        schedulers: schedules of this optimiser.
        milestones: the steps at which the second, third, ... begins, ascending.
        last_epoch: -1; a longer run is continued by `load_state_dict`.

    Raises:
        ValueError: `ReduceLROnPlateau` among the schedulers, or milestones that do not rise or are not one
            fewer than they.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> warmup = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> cosine = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> scheduler = SequentialLR(optimizer, [warmup, cosine], milestones=[2])
    >>> rates = []
    >>> for epoch in range(6):
    ...     rates.append(round(optimizer.lr, 3))
    ...     scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.854, 0.5, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer)
        self._schedulers = _checked(schedulers, optimizer)
        if any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self._schedulers):
            raise ValueError("ReduceLROnPlateau follows a value and cannot be one of a sequence")
        self._milestones = steps("milestones", milestones)
        if len(self._milestones) != len(self._schedulers) - 1 or self._milestones != sorted(self._milestones):
            raise ValueError(
                f"expected {len(self._schedulers) - 1} ascending milestones for {len(self._schedulers)} "
                f"schedulers, got {list(milestones)}"
            )
        if last_epoch != -1:
            raise ValueError(
                f"expected last_epoch -1, got {last_epoch}; load_state_dict continues a sequence"
            )
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        super().__init__(optimizer, last_epoch)

    def begin(self) -> None:
        self.last_epoch = 0
        self._follow(self._schedulers[0], restart=True)

    def step(self) -> None:
        """Count a step of the schedule whose turn it is; the next one begins at its milestone."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        begins = turn > 0 and self._milestones[turn - 1] == self.last_epoch
        self._follow(self._schedulers[turn], begins)

    def restart(self) -> None:
        self.begin()

    def _follow(self, scheduler: LRScheduler, restart: bool) -> None:
        if restart:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Combined):
    """Steps several schedules together; their factors multiply.

    Args:
        schedulers: schedules of one optimiser.
        optimizer: that one; by default the first schedule's.

    Raises:
        ValueError: no scheduler.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> halve = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = ChainedScheduler([halve, optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)])
    >>> scheduler.step(); scheduler.step(); optimizer.lr
    0.125
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("expected at least one scheduler, got none")
        self.optimizer = schedulers[0].optimizer if optimizer is None else checked_optimizer(optimizer)
        self._schedulers = _checked(schedulers, self.optimizer)
        super().__init__(self.optimizer)

    def begin(self) -> None:
        self.last_epoch = 0
        self._last_lr = self.lrs

    def step(self) -> None:
        """Step every schedule, in their order."""
        self.last_epoch += 1
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self.lrs

    def restart(self) -> None:
        rates = [1.0 for _ in self.base_lrs]
        for scheduler in self._schedulers:
            scheduler.restart()
            first = zip(rates, self.lrs, self.base_lrs, strict=True)
            rates = [rate * (lr / base if base else 1.0) for rate, lr, base in first]
        self._set([rate * base for rate, base in zip(rates, self.base_lrs, strict=True)])
        self.begin()


def _checked(schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> list[LRScheduler]:
    """Return the schedulers as a list, or raise when one is none or of another optimiser."""
    if not isinstance(schedulers, Iterable):
        raise TypeError(f"expected schedulers in a sequence, got {schedulers!r}")
    found = list(schedulers)
    if not found:
        raise ValueError("expected at least one scheduler, got none")
    for place, scheduler in enumerate(found):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"expected schedulers, got {type(scheduler).__name__} at place {place}")
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"scheduler {place} ({type(scheduler).__name__}) is of another optimizer")
    return found
