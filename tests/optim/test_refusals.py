# SPDX-License-Identifier: Apache-2.0
"""What is no setting of an optimiser or a scheduler is refused by its name."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from cnncore import nn, optim
from cnncore.optim import lr_scheduler

TAKEN = {"foreach", "fused"}
"""Settings of torch's that are taken for its sake."""

NEEDED: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [2]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2},
    "LambdaLR": {"lr_lambda": lambda step: 1.0},
    "MultiplicativeLR": {"lr_lambda": lambda step: 1.0},
}


class Nonsense:
    """What no argument may be."""


def settings(kind: Any) -> list[inspect.Parameter]:
    given = [*inspect.signature(kind).parameters.values()][1:]
    return [
        parameter
        for parameter in given
        if not isinstance(parameter.default, bool)
        and parameter.kind is not parameter.VAR_KEYWORD
        and parameter.name not in TAKEN
    ]


def wrong_values(default: Any) -> list[Any]:
    if isinstance(default, tuple):
        return [Nonsense(), *((*default[:i], math.nan, *default[i + 1 :]) for i in range(len(default)))]
    return [Nonsense(), math.nan] if isinstance(default, float) else [Nonsense()]


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(np.ones((2, 2), np.float32))]


def rows(kinds: list[Any]) -> list[Any]:
    """Each kind with each of its settings and each wrong value of that."""
    return [
        pytest.param(kind, setting.name, value, id=f"{kind.__name__}-{setting.name}-{value}"[:50])
        for kind in kinds
        for setting in settings(kind)
        for value in wrong_values(setting.default)
    ]


KINDS = [getattr(optim, name) for name in optim.__all__]
OPTIMIZERS = [
    kind
    for kind in KINDS
    if inspect.isclass(kind) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer
]
SCHEDULERS = [
    getattr(lr_scheduler, name)
    for name in lr_scheduler.__all__
    if inspect.isclass(getattr(lr_scheduler, name)) and name not in ("SequentialLR", "ChainedScheduler")
]


@pytest.mark.parametrize(("kind", "name", "wrong"), rows(OPTIMIZERS))
def test_optimizers(kind: Any, name: str, wrong: Any) -> None:
    given = {"lr": 0.1} if "lr" in inspect.signature(kind).parameters else {}
    with pytest.raises((TypeError, ValueError), match=name):
        kind(parameters(), **{**given, name: wrong})
    optimizer = kind(parameters(), **given)
    with pytest.raises((TypeError, ValueError), match=name):
        optimizer.add_param_group({"params": parameters(), name: wrong})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(("kind", "name", "wrong"), rows(SCHEDULERS))
def test_schedulers(kind: Any, name: str, wrong: Any) -> None:
    needed = NEEDED.get(kind.__name__, {})
    if kind is lr_scheduler.OneCycleLR:
        counted = {"epochs": 2, "steps_per_epoch": 5} if "epoch" in name else {"total_steps": 10}
        needed = {"max_lr": 0.2, **counted}
    with pytest.raises((TypeError, ValueError), match=name):
        kind(optim.SGD(parameters(), lr=0.1, momentum=0.9), **{**needed, name: wrong})


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_what_did_not_begin_is_not_continued(kind: Any) -> None:
    if "last_epoch" not in inspect.signature(kind).parameters:
        return
    needed = {"max_lr": 0.2, "total_steps": 10} if kind is lr_scheduler.OneCycleLR else {}
    with pytest.raises(ValueError, match="initial_lr"):
        kind(optim.SGD(parameters(), lr=0.1, momentum=0.9), **NEEDED.get(kind.__name__, needed), last_epoch=3)


def test_sequences_of_schedulers() -> None:
    optimizer = optim.SGD(parameters(), lr=0.1)
    parts = [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    for milestones in (Nonsense(), [math.nan], [0.5], [2, 3], [0]):
        with pytest.raises((TypeError, ValueError), match="milestones"):
            lr_scheduler.SequentialLR(optimizer, parts, milestones)
    for wrong in (Nonsense(), [*parts, Nonsense()]):
        with pytest.raises((TypeError, ValueError), match="schedulers"):
            lr_scheduler.SequentialLR(optimizer, wrong, [2])


def flags(kinds: list[Any]) -> list[Any]:
    """Each kind with each setting that is True or False."""
    return [
        pytest.param(kind, setting.name, id=f"{kind.__name__}-{setting.name}")
        for kind in kinds
        for setting in inspect.signature(kind).parameters.values()
        if isinstance(setting.default, bool) and setting.name not in {*TAKEN, "capturable"}
    ]


@pytest.mark.parametrize(("kind", "name"), flags(OPTIMIZERS))
def test_what_is_neither_true_nor_false(kind: Any, name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        kind(parameters(), **{name: "perhaps"})
