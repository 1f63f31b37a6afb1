# SPDX-License-Identifier: Apache-2.0
"""Schedules that go up and down, and move momentum the other way (Smith 2017, Smith and Topin 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..optimizer import Optimizer
from .scheduler import LRScheduler, checked_optimizer, number, one_each, require_initial, whole


class _Cycle(LRScheduler):
    """Rates and, on request, momentum between two values each."""

    def _check_momentum(self, optimizer: Optimizer) -> None:
        if self.cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"{type(optimizer).__name__} has no momentum to change; pass cycle_momentum=False"
            )

    cycle_momentum: bool

    def _set_momentum(self, values: list[float]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value

    def _set_initial(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = group["initial_lr"] = rate

    def first_lr(self) -> list[float]:
        return self.get_lr()


class CyclicLR(_Cycle):
    """Goes from `base_lr` to `max_lr` and back in lines, again and again.

    Args:
        optimizer: whose rates are set.
        base_lr: the least rate, or one for each parameter group.
        max_lr: the highest rate of the first cycle, or one for each group.
        step_size_up: steps up.
        step_size_down: steps down; as many as up by default.
        mode: "triangular"; "triangular2": half as high each cycle; "exp_range": lower by `gamma` each step.
        gamma: of "exp_range".
        scale_fn: height as a function, instead of `mode`.
        scale_mode: whether `scale_fn` is given the cycle's number (from 1, "cycle") or the step
            ("iterations").
        cycle_momentum: whether momentum (Adam's first beta) goes from `max_momentum` to `base_momentum` and
            back.
        base_momentum: the least momentum, or one for each group.
        max_momentum: the highest, or one for each group.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: an unknown `mode` or `scale_mode`.
        TypeError: `scale_fn` cannot be called.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0, momentum=0.9)
    >>> scheduler = CyclicLR(optimizer, base_lr=0.25, max_lr=1.25, step_size_up=2)
    >>> rates = []
    >>> for step in range(5):
    ...     rates.append(round(optimizer.lr, 6))
    ...     scheduler.step()
    >>> rates
    [0.25, 0.75, 1.25, 0.75, 0.25]
    """

    _unsaved = ("optimizer", "scale_fn")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f'expected mode "triangular", "triangular2" or "exp_range", got {mode!r}')
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f'expected scale_mode "cycle" or "iterations", got {scale_mode!r}')
        self.optimizer = checked_optimizer(optimizer)
        self.cycle_momentum = bool(cycle_momentum)
        self._check_momentum(optimizer)
        lowest = one_each("base_lr", base_lr, optimizer)
        self.max_lrs = one_each("max_lr", max_lr, optimizer)
        up = whole("step_size_up", step_size_up)
        self.total_size = up + (up if step_size_down is None else whole("step_size_down", step_size_down))
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = number("gamma", gamma)
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"expected scale_fn as a function of the cycle or the step, got {scale_fn!r}")
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        if self.cycle_momentum:
            self.base_momentums = one_each("base_momentum", base_momentum, optimizer)
            self.max_momentums = one_each("max_momentum", max_momentum, optimizer)
        if last_epoch == -1:
            self._set_initial(lowest)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def _height(self, cycle: int) -> float:
        """Return how high a cycle reaches, of 1."""
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "exp_range":
            return float(self.gamma**self.last_epoch)
        return 0.5 ** (cycle - 1) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        share *= self._height(cycle)
        if self.cycle_momentum:
            ends = zip(self.base_momentums, self.max_momentums, strict=True)
            self._set_momentum([high - (high - low) * share for low, high in ends])
        return [low + (high - low) * share for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]


class OneCycleLR(_Cycle):
    """Goes up from `max_lr / div_factor` to `max_lr`, then down to far below the beginning; one cycle in all.

    `step` is called after every training step.

    Args:
        optimizer: whose rates are set.
        max_lr: the highest rate, or one for each parameter group.
        total_steps: steps of the cycle; or else
        epochs, steps_per_epoch: whose product it is.
        pct_start: share of the steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum (Adam's first beta) goes from `max_momentum` to `base_momentum` and
            back.
        base_momentum: the least momentum, or one for each group.
        max_momentum: the highest, or one for each group.
        div_factor: from the first rate to the highest.
        final_div_factor: from the last rate to the first.
        three_phase: go down to the first rate in as many steps as up, and to the last one then.
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: an unknown `anneal_strategy`; neither `total_steps` nor epochs and steps; a step behind
            the last.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0, momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.5)
    >>> rates = []
    >>> for step in range(10):
    ...     rates.append(round(optimizer.lr, 2))
    ...     if step < 9:
    ...         scheduler.step()
    >>> rates
    [0.04, 0.18, 0.52, 0.86, 1.0, 0.9, 0.65, 0.35, 0.1, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'expected anneal_strategy "cos" or "linear", got {anneal_strategy!r}')
        self.optimizer = checked_optimizer(optimizer)
        self.cycle_momentum = bool(cycle_momentum)
        self._check_momentum(optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.anneal_strategy = anneal_strategy
        self.max_lrs = one_each("max_lr", max_lr, optimizer)
        first_factor = number("div_factor", div_factor, 0.0, above=True)
        last_factor = number("final_div_factor", final_div_factor, 0.0, above=True)
        require_initial(optimizer, last_epoch)
        if last_epoch == -1:
            self._set_initial([high / first_factor for high in self.max_lrs])
        self.min_lrs = [group["initial_lr"] / last_factor for group in optimizer.param_groups]
        if self.cycle_momentum:
            self.base_momentums = one_each("base_momentum", base_momentum, optimizer)
            self.max_momentums = one_each("max_momentum", max_momentum, optimizer)
        self.phases = _phases(number("pct_start", pct_start, 0.0, 1.0), self.total_steps, three_phase)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"the cycle has {self.total_steps} steps, and this is step {self.last_epoch + 1}"
            )
        phases = [_Phase(*phase) for phase in self.phases]  # plain tuples where they come from a file
        begin, phase = 0.0, phases[0]
        for phase in phases:
            if self.last_epoch <= phase.end or phase is phases[-1]:
                break
            begin = phase.end
        share = (self.last_epoch - begin) / (phase.end - begin)
        if self.cycle_momentum:
            self._set_momentum(self._between(phase.momenta, share))
        return self._between(phase.rates, share)

    def _between(self, ends: tuple[str, str], share: float) -> list[float]:
        if self.anneal_strategy == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        pairs = zip(getattr(self, ends[0]), getattr(self, ends[1]), strict=True)
        return [a + (b - a) * share for a, b in pairs]


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is not None:
        return whole("total_steps", total)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("expected total_steps, or epochs and steps_per_epoch")
    return whole("epochs", epochs) * whole("steps_per_epoch", steps_per_epoch)


class _Phase(NamedTuple):
    """A part of the cycle: its last step, and the names of the values at its two ends."""

    end: float
    rates: tuple[str, str]
    momenta: tuple[str, str]


def _phases(up: float, total: int, three: bool) -> list[_Phase]:
    first = _Phase(up * total - 1, ("base_lrs", "max_lrs"), ("max_momentums", "base_momentums"))
    if not three:
        return [first, _Phase(total - 1, ("max_lrs", "min_lrs"), ("base_momentums", "max_momentums"))]
    return [
        first,
        _Phase(2 * up * total - 2, ("max_lrs", "base_lrs"), ("base_momentums", "max_momentums")),
        _Phase(total - 1, ("base_lrs", "min_lrs"), ("max_momentums", "max_momentums")),
    ]
