# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions read a number itself where it was written out; gradients compute no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops, transforms


def steps_of_gradient(fn: Any, *arrays: Any) -> list[str]:
    """The steps of a run of `cc.grad(fn)`."""
    function = transforms._ValueAndGrad(fn, None, tuple(range(len(arrays))))
    function(*arrays)
    (program,) = function._programs.values()
    return [step.op for step in program.executable.run_steps]


X = np.linspace(-2, 3, 240, dtype=np.float32).reshape(2, 3, 4, 10)


@pytest.mark.parametrize("reduction", [ops.sum, ops.mean])
def test_the_gradient_of_a_reduction_is_one_step(reduction: Any) -> None:
    """Nothing is summed for `grad`, and the factor of the sum is not written out."""
    assert steps_of_gradient(lambda x: reduction(ops.tanh(x)), X) == ["elementwise_chain"]
    factor = 1.0 if reduction is ops.sum else 1 / X.size
    expected = factor * (1 - np.tanh(X.astype(np.float64)) ** 2)
    found = cc.grad(lambda x: reduction(ops.tanh(x)))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_bits_are_those_of_numbers_written_out(unfused: Any) -> None:
    def fn(x: Any) -> Any:
        y = x * ops.expand(np.array([0.3], np.float32), X.shape)
        return ops.sum(ops.sigmoid(y) * ops.expand(np.array(0.7, np.float32), X.shape))

    function = cc.grad(fn)
    fused = function(X)
    unfused()
    plain = cc.grad(fn)(X)
    assert fused.tobytes() == plain.tobytes()


def test_a_result_may_be_an_expanded_number() -> None:
    """Without another operand of its shape a function's result would have another one."""
    function = cc.compile(lambda x: (ops.exp(ops.expand(x, (3, 4))), ops.expand(x, (3, 4)) + x), (1,))
    first, second = function(np.array([1.0], np.float32))
    np.testing.assert_allclose(first, np.full((3, 4), np.e), rtol=1e-6)
    assert second.tolist() == np.full((3, 4), 2.0).tolist()


def test_what_a_gradient_changes_still_happens() -> None:
    """Running statistics are updated though the value that they come with is not returned."""
    norm = cc.nn.BatchNorm2d(3)
    before = np.array(norm.running_mean)
    cc.grad(lambda x: norm(x).sum())(X)
    assert not np.array_equal(before, np.array(norm.running_mean))


def test_checks_of_what_is_not_returned_still_raise() -> None:
    function = cc.grad(lambda x, i: ops.index_select(x, 0, i).sum() + (x * x).sum())
    with pytest.raises(ValueError, match="indices from 0 to 1"):
        function(X, np.array([0, 2]))
