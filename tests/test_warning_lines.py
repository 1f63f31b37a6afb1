# SPDX-License-Identifier: Apache-2.0
"""Warnings point at the line that called the package."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim, train

IMAGES = np.ones((2, 3, 4, 4), np.float32)
NOTHING = IMAGES * np.nan


class Noisy(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * random.random()


def noisy(x: Any) -> Any:
    return ops.sum(x * random.random())


def trainer() -> train.Trainer:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    return train.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))


TARGETS = np.zeros((2, 1), np.float32)
ONE: dict[str, Any] = {"epochs": 1, "batch_size": 2, "verbose": 0}

CALLS: list[Callable[[], Any]] = [
    lambda: nn.RNN(3, 4, dropout=0.5),
    lambda: nn.LSTM(3, 4, dropout=0.5),
    lambda: nn.GRU(3, 4, dropout=0.5),
    lambda: Noisy()(IMAGES),
    lambda: nn.Sequential(nn.ReLU(), Noisy())(IMAGES),
    lambda: cc.grad(noisy)(IMAGES),
    lambda: cc.value_and_grad(noisy, [])(IMAGES),
    lambda: cc.compile(Noisy(), (2, 3, 4, 4)),
    lambda: cc.summary(Noisy(), (2, 3, 4, 4)),
    lambda: trainer().fit((NOTHING, TARGETS), **ONE),
    lambda: trainer().fit((IMAGES, TARGETS), validation=(NOTHING, TARGETS), **ONE, callbacks=[STOP]),
]
STOP = train.TerminateOnNaN()


def warned_at(call: Callable[[], Any]) -> set[tuple[str, int]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return {(each.filename, each.lineno) for each in caught}


@pytest.mark.parametrize("call", CALLS)
def test_warnings_point_at_the_caller(call: Callable[[], Any]) -> None:
    assert warned_at(call) == {(__file__, call.__code__.co_firstlineno)}
