# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train.metrics import R2, mae, mse, r2, rmse


def test_differences() -> None:
    output, target = np.float32([[1.0], [2.0]]), np.array([[3.0], [2.0]])
    assert (mae(output, target), mse(output, target)) == (1.0, 2.0)
    with pytest.raises(
        ValueError, match=r"mae: expected output and target of one shape, got \(2, 1\) and \(2,\)"
    ):
        mae(output, target[:, 0])


@given(rows=st.integers(2, 30), seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 1e6]))
def test_r2_of_parts_is_that_of_the_whole(rows: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(rows, 2)) + shift
    output = target + rng.normal(size=(rows, 2))
    error, spread = ((output - target) ** 2).sum(0), ((target - target.mean(0)) ** 2).sum(0)
    counted = R2()
    for start in range(0, rows, 4):
        counted.update(output[start : start + 4], target[start : start + 4])
    # Targets about 1e6 are known to 1e-10 of their spread.
    expected = np.mean(1 - error / spread)
    assert counted.result() == pytest.approx(expected, rel=1e-8)
    assert r2(output, target) == pytest.approx(expected, rel=1e-8)


def test_as_in_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    target = rng.normal(size=(20, 3))
    output = target + 0.1 * rng.normal(size=(20, 3))
    target[:, 1], output[:, 2] = 4.0, target[:, 2]
    assert r2(output, target) == pytest.approx(sklearn.r2_score(target, output), rel=1e-13)
    assert mae(output, target) == pytest.approx(sklearn.mean_absolute_error(target, output), rel=1e-13)
    assert mse(output, target) == pytest.approx(sklearn.mean_squared_error(target, output), rel=1e-13)
    assert rmse(output[:, 0], target[:, 0]) == pytest.approx(
        sklearn.root_mean_squared_error(target[:, 0], output[:, 0]), rel=1e-13
    )


def test_targets_that_are_all_equal_and_too_few_rows() -> None:
    same = np.ones(3)
    assert r2(same, same) == 1.0
    assert r2(np.array([1.0, 1.0, 2.0]), same) == 0.0
    assert math.isnan(r2(np.ones(1), np.ones(1)))
    for figure in (r2, mae, mse, rmse):
        assert math.isnan(figure(np.zeros(0), np.zeros(0)))


def test_no_float32_sums() -> None:
    target = np.full(10_001, 1e4, np.float32)
    target[0] = 0.0
    assert mse(np.zeros(10_001, np.float32), target) == 1e8 * 10_000 / 10_001
