# SPDX-License-Identifier: Apache-2.0
"""Activations: values in float64, gradients against torch, extremes."""

import math

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from oracle import assert_close, check_gradients

REFERENCE = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[float])(x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("shape", [(), (1,), (33,), (2, 3, 5, 7)])
def test_values(name, shape):
    x = np.random.default_rng(0).uniform(-8, 8, shape).astype(np.float32)
    wanted = REFERENCE[name](x.astype(np.float64))
    if name.startswith("hard"):  # x + 3 cancels
        assert np.abs(getattr(ops, name)(x) - wanted).max(initial=0) <= 1e-6
    else:
        assert_close(getattr(ops, name)(x), wanted, ulps=8.0)


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


def test_bounds_keep_nan():
    x = np.array([np.nan, -1.0, 3.0], np.float32)
    for call in (
        lambda: ops.threshold(x, 0.0, 7.0),
        lambda: ops.hardtanh(x),
        lambda: ops.hardshrink(x),
        lambda: ops.softshrink(x),
        lambda: ops.relu6(x),
        lambda: ops.clamp(x, 0.0, 1.0),
    ):
        assert np.isnan(call()).tolist() == [True, False, False]


ARGUMENTS = {"gelu": [{}, {"approximate": "tanh"}], "elu": [{}, {"alpha": 0.3}, {"alpha": -0.5}]}
ARGUMENTS["softplus"] = [{"beta": 2.0}, {"beta": 0.5, "threshold": 1.0}, {"beta": -1.0}]
SMOOTH = ["elu", "gelu", "hardsigmoid", "hardswish", "mish", "silu", "softplus"]
CASES = [(name, arguments) for name in SMOOTH for arguments in ARGUMENTS.get(name, [{}])]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_values_and_gradients_with_arguments_against_torch(name, arguments):
    functional = pytest.importorskip("torch.nn.functional")
    x = np.random.default_rng(3).uniform(-8, 8, (3, 4, 5, 7))
    check_gradients(
        lambda a: getattr(ops, name)(a, **arguments), lambda a: getattr(functional, name)(a, **arguments), [x]
    )


def test_infinities_and_nan():
    x = np.array([np.inf, np.nan, -100.0, 100.0, 1e-42, -1e-42, 0.0], np.float32)
    for name in SMOOTH:
        y = getattr(ops, name)(x)
        assert y[0] == (1 if name == "hardsigmoid" else np.inf), name
        assert np.isnan(y[1]), name
        assert y[2] == (-1 if name == "elu" else 0), name
        assert y[3] == (1 if name == "hardsigmoid" else 100), name
        middle = {"hardsigmoid": 0.5, "softplus": np.float32(np.log(2))}.get(name, 0)
        assert np.abs(y[4:] - np.float32(middle)).max() <= 1e-38, name


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_at_infinity_are_limits(name):
    x = np.array([-np.inf, -1e30, -200.0, 200.0, 1e30, np.inf], np.float32)
    parameter = nn.Parameter(x)
    _, (grad,) = cc.value_and_grad(lambda: getattr(ops, name)(parameter).sum(), [parameter])()
    limits = [0, 0, 0, 0, 0, 0] if name == "hardsigmoid" else [0, 0, 0, 1, 1, 1]
    assert np.abs(grad - limits).max() <= 1e-30


def test_gelu_rejects_another_approximation():
    with pytest.raises(ValueError, match="'none' or 'tanh'"):
        ops.gelu([1.0], approximate="erf")


def test_softplus_rejects_a_beta_of_zero():
    with pytest.raises(ValueError, match="beta"):
        ops.softplus([1.0], beta=0)
