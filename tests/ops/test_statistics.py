# SPDX-License-Identifier: Apache-2.0
"""What is not finite in reductions made of others."""

from __future__ import annotations

import numpy as np

import cnncore as cc
from cnncore import ops


def test_logsumexp_of_infinities() -> None:
    x = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [-np.inf, 2.0], [np.nan, 1.0]], np.float32)
    np.testing.assert_array_equal(ops.logsumexp(x, 1), np.float32([-np.inf, np.inf, 2.0, np.nan]))


def test_rounding_keeps_what_is_not_finite() -> None:
    x = np.array([np.inf, -np.inf, np.nan, 2.0**30], np.float32)
    for function in (ops.floor, ops.ceil, ops.trunc, ops.round, ops.clamp):
        found = function(x, **({"min": -np.inf} if function is ops.clamp else {}))
        np.testing.assert_array_equal(found, x)


def test_nan_is_kept_by_limits_and_wins_as_one() -> None:
    x, nan = np.array([1.0, np.nan], np.float32), np.array([np.nan, 0.0], np.float32)
    np.testing.assert_array_equal(ops.clamp(x, 0.0, 0.5), [0.5, np.nan])
    np.testing.assert_array_equal(ops.clamp(x, nan, 2.0), [np.nan, np.nan])
    np.testing.assert_array_equal(ops.clamp(x, None, nan), [np.nan, np.nan])


def test_standard_deviation_of_single_elements() -> None:
    assert np.isnan(ops.std(np.ones((3, 1), np.float32), 1)).all()
    assert ops.std(np.ones((3, 1), np.float32), 1, correction=0).tolist() == [0.0] * 3
    assert cc.grad(lambda x: ops.std(x, correction=0))(np.ones(4, np.float32)).tolist() == [0.0] * 4


def test_the_norm_of_a_number_counts_what_is_not_zero() -> None:
    assert [float(ops.norm(np.float32(x), p=0)) for x in (0.0, 1.0, -2.5)] == [0.0, 1.0, 1.0]
    assert float(ops.norm(np.float32(-2.5))) == 2.5


def test_norms_of_zeros_are_zero_and_so_are_their_gradients() -> None:
    zeros = np.zeros((2, 3), np.float32)
    for p in (-np.inf, -1.0, 0.5, 1, 2, 3, np.inf):
        assert ops.norm(zeros, p=p, dim=1).tolist() == [0.0, 0.0]
        assert cc.grad(lambda x, p=p: ops.norm(x, p=p))(zeros).tolist() == zeros.tolist()


def test_what_is_not_finite_gets_numbers_of_its_own() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 2.0], np.float32)
    assert ops.nan_to_num(x, 1.0, 3.0, -4.0).tolist() == [1.0, 3.0, -4.0, 2.0]
    assert ops.nan_to_num(x, posinf=3.0).tolist()[1:] == [3.0, float(np.finfo(np.float32).min), 2.0]
    assert ops.nan_to_num(x, neginf=3.0).tolist()[:3] == [0.0, float(np.finfo(np.float32).max), 3.0]
    assert cc.grad(lambda x: ops.nan_to_num(x).sum())(x).tolist() == [0.0, 0.0, 0.0, 1.0]
