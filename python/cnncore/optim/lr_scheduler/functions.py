# SPDX-License-Identifier: Apache-2.0
"""Schedules given as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, checked_optimizer

Factor = Callable[[int], float]


class _ByFunction(LRScheduler):
    """A scheduler that calls a function for each group."""

    _unsaved = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        groups = len(checked_optimizer(optimizer).param_groups)
        given = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(given) != groups:
            raise ValueError(
                f"expected a function, or {groups} functions, one for each parameter group, got {len(given)}"
            )
        for function in given:
            if not callable(function):
                raise TypeError(f"expected lr_lambda to be a function of the step, got {function!r}")
        self.lr_lambdas: list[Any] = given
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimiser and functions; of other callable objects, their attributes."""
        objects = [dict(f.__dict__) if _has_state(f) else None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": objects}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where another scheduler was; functions stay those given here."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


def _has_state(function: Any) -> bool:
    return hasattr(function, "__dict__") and not hasattr(function, "__code__")


class LambdaLR(_ByFunction):
    """Sets the rate to `lr_lambda(step)` times the rate at the beginning.

    Args:
        optimizer: whose rates are set.
        lr_lambda: function of the step's number, or a list of one for each parameter group.
        last_epoch: the step to continue after, -1 to begin.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5)
    >>> scheduler = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> scheduler.step(); optimizer.lr
    0.25
    """

    def get_lr(self) -> list[float]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def first_lr(self) -> list[float]:
        return self.get_lr()


class MultiplicativeLR(_ByFunction):
    """Multiplies the rate by `lr_lambda(step)` at each step.

    Args:
        optimizer: whose rates are set.
        lr_lambda: function of the step's number, or a list of one for each parameter group.
        last_epoch: the step to continue after, -1 to begin.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> scheduler.step(); scheduler.step(); optimizer.lr
    0.25
    """

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self.lrs
        return [
            lr * function(self.last_epoch) for lr, function in zip(self.lrs, self.lr_lambdas, strict=True)
        ]

    def first_lr(self) -> list[float]:
        return self.lrs
