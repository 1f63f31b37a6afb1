# SPDX-License-Identifier: Apache-2.0
"""Activations: values in float64, gradients against torch, extremes."""

import numpy as np
import pytest

from cnncore import ops
from oracle import assert_close, check_gradients

REFERENCE = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("shape", [(), (1,), (33,), (2, 3, 5, 7)])
def test_values(name, shape):
    x = np.random.default_rng(0).uniform(-8, 8, shape).astype(np.float32)
    assert_close(getattr(ops, name)(x), REFERENCE[name](x.astype(np.float64)), ulps=8.0)


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5)])
def test_gradients(name, shape):
    functional = pytest.importorskip("torch.nn.functional")
    x = np.random.default_rng(1).uniform(-8, 8, shape)
    check_gradients(getattr(ops, name), getattr(functional, name), [x])


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, 2.0, -0.5])
def test_leaky_relu_with_any_slope(slope):
    functional = pytest.importorskip("torch.nn.functional")
    x = np.random.default_rng(2).uniform(-3, 3, (5, 7))
    check_gradients(lambda a: ops.leaky_relu(a, slope), lambda a: functional.leaky_relu(a, slope), [x])


def test_extremes_do_not_overflow():
    x = np.array([-1e30, -1000.0, 1000.0, 1e30, np.inf, -np.inf, np.nan], np.float32)
    assert ops.sigmoid(x).tolist()[:6] == [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert ops.tanh(x).tolist()[:6] == [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0]
    assert ops.softplus(x).tolist()[:3] == [0.0, 0.0, 1000.0]
    for name in REFERENCE:
        assert np.isnan(getattr(ops, name)(x)[6]), name
