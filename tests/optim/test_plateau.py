# SPDX-License-Identifier: Apache-2.0
"""When `ReduceLROnPlateau` lowers a rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnncore import nn, optim
from cnncore.optim import lr_scheduler


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_against_torch(mode: str, threshold_mode: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.round(np.random.default_rng(3).normal(size=60).cumsum() / 4, 1)
    arguments = {
        "mode": mode, "factor": 0.5, "patience": 2, "threshold": 0.05, "threshold_mode": threshold_mode,
        "cooldown": 1, "min_lr": 0.01,
    }  # fmt: skip
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.4)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.4)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)  # type: ignore[arg-type]
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **arguments)
    rates = []
    for value in values:
        scheduler.step(value)
        other.step(value)
        rates.append(optimizer.lr)
        assert optimizer.lr == theirs.param_groups[0]["lr"]
    assert min(rates) == 0.01


def test_plateau_begins_without_a_step_that_was_no_better() -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    rates = []
    for _ in range(3):
        scheduler.step(float("nan"))  # better than nothing before
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0, 0.5, 0.5]


def test_plateau_counts_steps_without_improvement() -> None:
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    rates = []
    for loss in (1.0, 0.5, 0.5, 0.6, math.nan, 0.4, 0.41, 0.41, 0.41):
        scheduler.step(loss)
        rates.append(optimizer.lr)
    assert rates == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125]


def test_a_plateau_leaves_a_rate_that_would_hardly_change() -> None:
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, eps=0.2)
    rates = []
    for _ in range(4):
        scheduler.step(1.0)
        rates.append(optimizer.lr)
    assert rates == [0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(("mode", "just_not", "better"), [("min", 0.5, 0.4375), ("max", 1.5, 1.5625)])
def test_what_is_better_by_the_threshold_alone_is_not(
    threshold_mode: Any, mode: Any, just_not: float, better: float
) -> None:
    optimizer = optim.SGD([nn.Parameter(np.ones(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, patience=1, threshold=0.5, threshold_mode=threshold_mode
    )
    scheduler.step(1.0)
    scheduler.step(just_not)
    assert (scheduler.best, scheduler.num_bad_epochs) == (1.0, 1)
    scheduler.step(better)
    assert (scheduler.best, scheduler.num_bad_epochs) == (better, 0)
