# SPDX-License-Identifier: Apache-2.0
"""Softmax and log-softmax along every axis: values, gradients, extremes."""

import numpy as np
import pytest

import reference
from cnncore import ops
from oracle import assert_close, check_gradients


@pytest.mark.parametrize("shape", [(7,), (3, 10), (2, 5, 4), (2, 7, 3, 5)])
def test_every_axis(shape):
    x = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    for axis in range(-1, len(shape)):
        assert_close(ops.softmax(x, axis), reference.softmax(x, axis), ulps=16.0)
        # A log-softmax is a difference of numbers of the logits' size.
        assert_close(ops.log_softmax(x, axis), reference.log_softmax(x, axis), ulps=8.0, magnitude=16.0)


@pytest.mark.parametrize("shape", [(7,), (3, 10), (2, 5, 4), (2, 7, 3, 5)])
def test_gradients(shape):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    for axis in range(-1, len(shape)):
        for name in ("softmax", "log_softmax"):
            ours, theirs = getattr(ops, name), getattr(torch, name)
            check_gradients(lambda a, f=ours, d=axis: f(a, d), lambda a, f=theirs, d=axis: f(a, d), [x])


def test_huge_logits_do_not_overflow():
    x = np.array([[1e30, 1e30, -1e30], [3e38, -3e38, 0.0]], np.float32)
    assert ops.softmax(x).tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
    assert ops.log_softmax(x)[1, 0] == 0.0


def test_nan_spreads_over_its_row_only():
    x = np.zeros((2, 3), np.float32)
    x[0, 1] = np.nan
    y = ops.softmax(x)
    assert np.isnan(y[0]).all()
    assert not np.isnan(y[1]).any()


def test_bad_axis():
    with pytest.raises(ValueError, match=r"\[softmax\] expected an axis from -2 to 1, got 2"):
        ops.softmax(np.ones((2, 3)), 2)
