# SPDX-License-Identifier: Apache-2.0
"""Momentum goes the other way round the cycle, and every schedule begins where it is told."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from cnncore import nn, optim
from cnncore.optim import lr_scheduler

NEEDED: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 3},
    "MultiStepLR": {"milestones": [2, 6]},
    "ExponentialLR": {"gamma": 0.9},
    "LambdaLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
    "CosineAnnealingLR": {"T_max": 10},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.9},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 12},
}
SCHEDULES = [
    name
    for name, kind in vars(lr_scheduler).items()
    if inspect.isclass(kind)
    and issubclass(kind, lr_scheduler.LRScheduler)
    and "last_epoch" in inspect.signature(kind.__init__).parameters
    and kind is not lr_scheduler.LRScheduler
    and name != "SequentialLR"
]


def made(momentum: float = 0.9) -> optim.SGD:
    return optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0, momentum=momentum)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_from_an_epoch(name: str) -> None:
    kind, settings = getattr(lr_scheduler, name), NEEDED.get(name, {})
    whole = made()
    scheduler = kind(whole, **settings)
    for _ in range(4):
        scheduler.step()
    again = made()
    again.load_state_dict(whole.state_dict())
    for group, other in zip(again.param_groups, whole.param_groups, strict=True):
        group.update({key: value for key, value in other.items() if key != "params"})
    other = kind(again, **settings, last_epoch=3)
    assert other.last_epoch == 4
    scheduler.step()
    other.step()
    assert other.last_epoch == scheduler.last_epoch == 5


def test_cyclic_momentum() -> None:
    optimizer = made()
    scheduler = lr_scheduler.CyclicLR(
        optimizer, 0.1, 1.0, step_size_up=4, step_size_down=2, base_momentum=0.6, max_momentum=0.9
    )
    for step in range(14):
        place = step % 6
        share = place / 4 if place <= 4 else (6 - place) / 2
        assert optimizer.lr == pytest.approx(0.1 + 0.9 * share, rel=1e-12)
        assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.9 - 0.3 * share, rel=1e-12)
        scheduler.step()


@pytest.mark.parametrize("three", [False, True])
def test_one_cycle(three: bool) -> None:
    total, up, top, begin, end = 21, 0.25, 1.0, 0.1, 0.001
    optimizer = made()
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, top, total_steps=total, pct_start=up, div_factor=10, final_div_factor=100,
        three_phase=three, base_momentum=0.6, max_momentum=0.9,
    )  # fmt: skip
    ends = [0, up * total - 1, *([2 * up * total - 2] if three else []), total - 1]
    rates = [begin, top, *([begin] if three else []), end]
    momenta = [0.9, 0.6, *([0.9] if three else []), 0.9]
    for step in range(total):
        part = next(i for i in range(1, len(ends)) if step <= ends[i])
        share = (1 - math.cos(math.pi * (step - ends[part - 1]) / (ends[part] - ends[part - 1]))) / 2
        for found, values in ((optimizer.lr, rates), (optimizer.param_groups[0]["momentum"], momenta)):
            wanted = values[part - 1] + (values[part] - values[part - 1]) * share
            assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        if step < total - 1:
            scheduler.step()
