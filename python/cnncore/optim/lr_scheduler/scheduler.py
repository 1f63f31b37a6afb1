# SPDX-License-Identifier: Apache-2.0
"""The base class of learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from ... import _checks
from ..optimizer import Optimizer


def all_or_nothing(step: Callable[..., None]) -> Callable[..., None]:
    """Let a scheduler's step that is interrupted or raises leave scheduler and rates as they were."""

    @wraps(step)
    def whole_step(self: LRScheduler, *args: Any, **kwargs: Any) -> None:
        kept = self._kept()
        try:
            step(self, *args, **kwargs)
        except BaseException:
            self._put_back(kept)
            raise

    return whole_step


def require_initial(optimizer: Optimizer, last_epoch: Any) -> None:
    """Raise if groups that are to continue do not know the rates they began with."""
    if whole("last_epoch", last_epoch, -1) == -1:
        return
    for index, group in enumerate(optimizer.param_groups):
        if "initial_lr" not in group:
            raise ValueError(
                f"expected 'initial_lr' in parameter group {index} to continue after step {last_epoch}; "
                "load the optimizer's state_dict first, or begin with last_epoch=-1"
            )


class LRScheduler:
    """Sets the learning rate of each parameter group by the number of steps done.

    A subclass defines `get_lr`. `base_lrs` are the groups' rates before any schedule changed them, kept in
    the groups as "initial_lr"; `last_epoch` is the number of `step()` calls.

    Args:
        optimizer: whose groups' rates are set.
        last_epoch: the step to continue after; -1 begins anew. The groups need an "initial_lr" to continue,
            as they have in an optimiser's `state_dict`.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: a group without "initial_lr" is to be continued.

    >>> from cnncore import nn, optim
    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> scheduler.step(); scheduler.step(); optimizer.lr
    0.25
    """

    _unsaved: tuple[str, ...] = ("optimizer",)

    def __init_subclass__(cls) -> None:
        if "step" in cls.__dict__:
            cls.step = all_or_nothing(cls.step)  # type: ignore[method-assign]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer)
        require_initial(optimizer, last_epoch)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def begin(self) -> None:
        """Set the rates of the first step, which making a scheduler does."""
        self.step()

    @property
    def lrs(self) -> list[float]:
        """The groups' rates at present."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """Return the rate of each group for step `last_epoch`; the groups still have those before it."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group that this scheduler has set last."""
        return list(self._last_lr)

    @all_or_nothing
    def step(self) -> None:
        """Count a step and set its rates."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def restart(self) -> None:
        """Begin again with step 0, whatever the rates are at present."""
        self.last_epoch = 0
        self._set(self.first_lr())

    def first_lr(self) -> list[float]:
        """Return the rates of step 0, from the base rates alone where they are known."""
        return list(self.base_lrs)

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = float(rate)
        self._last_lr = self.lrs

    def _kept(self) -> Any:
        """Return what a step changes."""
        return dict(self.__dict__), [dict(group) for group in self.optimizer.param_groups]

    def _put_back(self, kept: Any) -> None:
        """Be again as `_kept` has found it."""
        own, groups = kept
        self.__dict__.update(own)
        for group, before in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(before)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimiser, as plain Python values; functions are left out."""
        return {name: value for name, value in self.__dict__.items() if name not in self._unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the scheduler was whose `state_dict()` this is.

        The rates themselves are part of the optimiser's state.

        Raises:
            ValueError: the state is not of this kind of scheduler; nothing is changed.
        """
        expected = self.state_dict().keys()
        if not isinstance(state_dict, Mapping) or state_dict.keys() != expected:
            found = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise ValueError(
                f"expected the state of a {type(self).__name__} with {sorted(expected)}, got {found}"
            )
        self.__dict__.update(state_dict)


def checked_optimizer(optimizer: Any) -> Optimizer:
    """Return `optimizer`, or raise when it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer of cnncore.optim, got {type(optimizer).__name__}")
    return optimizer


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, above: bool = False
) -> float:
    """Return `value` as a finite float from `low` (excluded when `above`) to `high`, or raise naming it."""
    found = _checks.real(f"a number for {name}", value, flags=False)
    if math.isfinite(found) and low <= found <= high and not (above and found == low):
        return found
    range_ = ""
    if low > -math.inf:
        range_ = f" {'above' if above else 'of at least'} {low:g}"
    if high < math.inf:
        range_ += f" and at most {high:g}"
    raise ValueError(f"expected a finite {name}{range_}, got {value}")


def whole(name: str, value: Any, low: int = 1) -> int:
    """Return `value` as an integer of at least `low`, or raise naming it."""
    found = _checks.integer(f"an integer for {name}", value)
    if found < low:
        raise ValueError(f"expected {name} to be at least {low}, got {value}")
    return found


def steps(name: str, value: Any, low: int = 1) -> list[int]:
    """Return numbers of steps, each of at least `low`, as a list, or raise naming them."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"expected {name} as numbers of steps, got {value!r}")
    return [whole(name, step, low) for step in value]


def one_each(name: str, value: Any, optimizer: Optimizer) -> list[float]:
    """Return a number for each group from one number or one for each."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [number(name, value)] * groups
    if len(value) != groups:
        raise ValueError(
            f"expected {groups} values of {name}, one for each parameter group, got {len(value)}"
        )
    return [number(name, entry) for entry in value]
