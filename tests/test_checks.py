# SPDX-License-Identifier: Apache-2.0
"""What is an integer, a number, a flag: arrays without axes have every conversion, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import _checks, nn, ops, optim
from cnncore.data import transforms

INTEGERS = (3, -1, 2**70, np.int8(3), np.uint64(3), np.array(3), np.array(3, np.int16))
FLAGS = (True, False, np.True_, np.array(True))
FRACTIONS = (2.7, np.float32(2.7), np.array(2.0), np.array(2.7, np.float32), Fraction(27, 10))
NEITHER = (None, "3", b"3", np.str_("3"), np.array("3"), np.array(None), 1j, np.complex64(1), np.array(1j))
TIMES = (np.datetime64("2020"), np.timedelta64(3), np.array(3, "m8[s]"))
SEVERAL = ([3], (3,), np.array([3]), np.ones((1, 1), np.int64))


@pytest.mark.parametrize("value", INTEGERS, ids=repr)
def test_integers(value: Any) -> None:
    assert _checks.is_index(value)
    assert _checks.is_integer(value)
    assert _checks.is_real(value)
    assert not _checks.is_flag(value)
    assert _checks.integer("an integer", value) == int(value)
    assert _checks.real("a number", value, flags=False) == float(value)


@pytest.mark.parametrize("value", FLAGS, ids=repr)
def test_flags(value: Any) -> None:
    assert _checks.is_flag(value)
    assert not _checks.is_integer(value)
    assert _checks.real("a number", value) == float(value)
    with pytest.raises(TypeError, match="expected a rate, got"):
        _checks.real("a rate", value, flags=False)


@pytest.mark.parametrize("value", FRACTIONS, ids=repr)
def test_fractions(value: Any) -> None:
    assert not _checks.is_index(value)
    assert not _checks.is_integer(value)
    assert not _checks.is_flag(value)
    assert _checks.real("a number", value, flags=False) == float(value)
    with pytest.raises(TypeError, match="expected a count, got"):
        _checks.integer("a count", value)


@pytest.mark.parametrize("value", [*NEITHER, *TIMES, *SEVERAL], ids=repr)
def test_neither(value: Any) -> None:
    assert not _checks.is_integer(value)
    assert not _checks.is_real(value)
    with pytest.raises(TypeError, match="expected a count, got"):
        _checks.integer("a count", value)
    with pytest.raises(TypeError, match="expected a rate, got"):
        _checks.real("a rate", value)


def test_integers_beyond_floats_are_infinite() -> None:
    assert _checks.real("a number", 10**400) == float("inf")
    assert _checks.real("a number", -(10**400)) == -float("inf")


@pytest.mark.parametrize("function", [ops.add, ops.sub, ops.mul, ops.maximum, ops.pow, ops.greater])
def test_operations_take_integers_beyond_floats_as_infinite(function: Callable[[Any, Any], Any]) -> None:
    x = np.array([-1e30, 2.0, 0.5], np.float32)
    np.testing.assert_array_equal(function(x, 10**400), function(x, float("inf")))
    np.testing.assert_array_equal(function(-(10**400), x), function(-float("inf"), x))
    np.testing.assert_array_equal(ops.clamp(x, -(10**400), 10**400), x)


@pytest.mark.parametrize("fill", [2**63, 10**400])
def test_tensors_are_not_filled_with_integers_beyond_64_bits(fill: int) -> None:
    with pytest.raises(ValueError, match=r"\[full\] expected fill_value from -2\*\*63"):
        ops.full((2,), fill)


def predictor() -> cc.Predictor:
    return cc.compile(nn.Sequential(nn.Linear(2, 2)), (1, 2))


FRACTION = np.array(2.7)


@pytest.mark.parametrize(
    "call",
    [
        lambda: cc.set_num_threads(FRACTION),
        lambda: cc.manual_seed(FRACTION),
        lambda: nn.Conv2d(1, 2, FRACTION),
        lambda: nn.Conv2d(1, 2, (3, FRACTION)),
        lambda: nn.ZeroPad2d(FRACTION),
        lambda: nn.Sequential(nn.ReLU()) * FRACTION,
        lambda: ops.roll(np.ones(3, np.float32), FRACTION),
        lambda: ops.permute(np.ones((2, 3), np.float32), (FRACTION, 0)),
        lambda: cc.grad(lambda x: ops.sum(x[FRACTION]))(np.ones(3, np.float32)),
        lambda: cc.compile(nn.Linear(2, 2), (FRACTION, 2)),
        lambda: cc.summary(nn.Linear(2, 2), (FRACTION, 2)),
        lambda: predictor().profile(np.ones((1, 2), np.float32), repeats=FRACTION),
        lambda: transforms.RandomPosterize(FRACTION),
        lambda: transforms.Resize((FRACTION, FRACTION)),
        lambda: transforms.CenterCrop(FRACTION),
        lambda: transforms.Pad(FRACTION),
        lambda: optim.SGD(nn.Linear(2, 2).parameters(), lr=np.True_),
        lambda: optim.SGD(nn.Linear(2, 2).parameters(), lr=np.array("0.1")),
        lambda: cc.measure_peak(True),
    ],
)
def test_no_argument_is_cut_to_an_integer(call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"expected .*got"):
        call()


def test_training_is_not_cut_to_whole_epochs() -> None:
    model = nn.Linear(2, 2)
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"expected epochs .*got"):
        trainer.fit((np.ones((4, 2), np.float32), np.zeros(4, np.int64)), epochs=FRACTION)
