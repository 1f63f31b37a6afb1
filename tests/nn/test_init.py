# SPDX-License-Identifier: Apache-2.0
"""Initial values against the moments and bounds of their distributions, and against torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from cnncore import nn, runtime
from cnncore.nn import Parameter, init

SHAPE = (64, 32, 5, 5)
FAN_IN, FAN_OUT = 32 * 25, 64 * 25
COUNT = math.prod(SHAPE)


@pytest.fixture(autouse=True)
def _seed() -> None:
    runtime.manual_seed(0)


def check_moments(values: np.ndarray, mean: float, std: float) -> None:
    """Mean and standard deviation within five standard errors (of a distribution with kurtosis up to 3)."""
    assert abs(values.mean(dtype=np.float64) - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std(dtype=np.float64) - std) < 5 * std / math.sqrt(2 * values.size)


def uniform_bound(parameter: Parameter, bound: float) -> None:
    values = np.asarray(parameter)
    assert np.abs(values).max() <= np.float32(bound)
    assert np.abs(values).max() > bound * (1 - 1e-3)
    check_moments(values, 0.0, bound / math.sqrt(3))


@pytest.mark.parametrize(
    ("function", "bound"),
    [
        (lambda p: init.uniform_(p, -0.3, 0.3), 0.3),
        (lambda p: init.xavier_uniform_(p, gain=2.0), 2.0 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (lambda p: init.kaiming_uniform_(p), math.sqrt(6 / FAN_IN)),
        (lambda p: init.kaiming_uniform_(p, a=math.sqrt(5)), 1 / math.sqrt(FAN_IN)),
        (
            lambda p: init.kaiming_uniform_(p, mode="fan_out", nonlinearity="tanh"),
            5 / 3 * math.sqrt(3 / FAN_OUT),
        ),
        (lambda p: init.lecun_uniform_(p), math.sqrt(3 / FAN_IN)),
    ],
)
def test_uniform(function: Callable[[Parameter], Parameter], bound: float) -> None:
    parameter = Parameter(np.zeros(SHAPE))
    assert function(parameter) is parameter
    uniform_bound(parameter, bound)


@pytest.mark.parametrize(
    ("function", "mean", "std"),
    [
        (lambda p: init.normal_(p, 0.5, 0.1), 0.5, 0.1),
        (lambda p: init.xavier_normal_(p), 0.0, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lambda p: init.kaiming_normal_(p, nonlinearity="relu"), 0.0, math.sqrt(2 / FAN_IN)),
        (lambda p: init.kaiming_normal_(p, mode="fan_out"), 0.0, math.sqrt(2 / FAN_OUT)),
        (lambda p: init.lecun_normal_(p), 0.0, math.sqrt(1 / FAN_IN)),
    ],
)
def test_normal(function: Callable[[Parameter], Parameter], mean: float, std: float) -> None:
    check_moments(np.asarray(function(Parameter(np.zeros(SHAPE)))), mean, std)


def test_trunc_normal() -> None:
    values = np.asarray(init.trunc_normal_(Parameter(np.zeros(SHAPE)), 1.0, 2.0, 0.0, 2.0))
    assert values.min() >= 0.0
    assert values.max() <= 2.0
    assert abs(values.mean(dtype=np.float64) - 1.0) < 5 / math.sqrt(COUNT)
    with pytest.raises(ValueError, match="expected a < b"):
        init.trunc_normal_(Parameter([1.0]), a=1.0, b=1.0)
    with pytest.raises(ValueError, match="holds almost nothing"):
        init.trunc_normal_(Parameter([1.0]), mean=0.0, std=1.0, a=50.0, b=51.0)


def test_constants() -> None:
    assert (np.asarray(init.constant_(Parameter(np.zeros(3)), 0.3)) == np.float32(0.3)).all()
    assert (np.asarray(init.zeros_(Parameter(np.ones(3)))) == 0).all()
    assert (np.asarray(init.ones_(Parameter(np.zeros(3)))) == 1).all()
    np.testing.assert_array_equal(init.eye_(Parameter(np.zeros((2, 3)))), np.eye(2, 3))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (6, 3, 5, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = np.asarray(init.orthogonal_(Parameter(np.zeros(shape)), gain=2.0)).reshape(shape[0], -1)
    matrix = matrix.astype(np.float64)
    gram = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_dirac_matches_torch() -> None:
    torch = pytest.importorskip("torch")
    for shape, groups in [((4, 4, 3, 3), 1), ((6, 2, 3), 3), ((4, 8, 2, 3, 4), 2)]:
        expected = torch.nn.init.dirac_(torch.empty(shape), groups)
        np.testing.assert_array_equal(init.dirac_(Parameter(np.ones(shape)), groups), expected.numpy())


def test_sparse() -> None:
    values = np.asarray(init.sparse_(Parameter(np.zeros((50, 20))), sparsity=0.1, std=0.5))
    assert ((values == 0).sum(axis=0) == 5).all()


def test_gains_match_torch() -> None:
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.calculate_gain("swish"), "unknown nonlinearity 'swish'; known: linear"),
        (lambda: init.calculate_gain("convex"), "unknown nonlinearity 'convex'; known: linear"),
        (lambda: init.xavier_uniform_(Parameter(np.zeros(3))), "at least 2 dimensions"),
        (lambda: init.kaiming_normal_(Parameter(np.zeros((3, 3))), mode="in"), "'fan_in', 'fan_out'"),
        (lambda: init.orthogonal_(Parameter(np.zeros(3))), "at least 2 dimensions"),
        (lambda: init.eye_(Parameter(np.zeros(3))), "expected a matrix"),
        (lambda: init.sparse_(Parameter(np.zeros((3, 3))), 1.5), "sparsity from 0 to 1, got 1.5"),
        (lambda: init.dirac_(Parameter(np.zeros((3, 3)))), "3 to 5 dimensions"),
    ],
)
def test_wrong_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_fills_arrays_but_nothing_else() -> None:
    array = np.zeros(4, np.float64)
    assert init.ones_(array) is array
    assert array.tolist() == [1, 1, 1, 1]
    with pytest.raises(TypeError, match="expected a Parameter or a float array"):
        init.ones_(np.zeros(3, np.int64))


def test_default_of_layers_is_torchs() -> None:
    conv = nn.Conv2d(32, 256, 5, groups=2)
    uniform_bound(conv.weight, 1 / math.sqrt(16 * 25))
    bias = np.asarray(conv.bias)
    assert np.abs(bias).max() <= np.float32(1 / math.sqrt(16 * 25))
    check_moments(bias, 0.0, 1 / math.sqrt(16 * 25 * 3))
    linear = nn.Linear(300, 500)
    uniform_bound(linear.weight, 1 / math.sqrt(300))
    norm = nn.BatchNorm2d(4)
    assert (np.asarray(norm.weight) == 1).all()
    assert (np.asarray(norm.bias) == 0).all()


def test_seed_decides() -> None:
    runtime.manual_seed(3)
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    runtime.manual_seed(3)
    again = nn.Linear(4, 4)
    np.testing.assert_array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight, second.weight)
    runtime.manual_seed(4)
    assert not np.array_equal(first.weight, nn.Linear(4, 4).weight)


def test_dirac_copies_channels() -> None:
    expected = np.zeros((6, 2, 3, 2))
    for group in range(3):
        for channel in range(2):
            expected[2 * group + channel, channel, 1, 1] = 1
    np.testing.assert_array_equal(init.dirac_(Parameter(np.ones((6, 2, 3, 2))), 3), expected)
    wide = np.zeros((2, 5, 1))
    wide[0, 0, 0] = wide[1, 1, 0] = 1
    np.testing.assert_array_equal(init.dirac_(np.ones((2, 5, 1))), wide)
    narrow = init.dirac_(np.ones((4, 1, 5), np.float32))
    assert np.argwhere(narrow).tolist() == [[0, 0, 2]]
    for shape, groups in (((4, 4), 1), ((1, 1, 1, 1, 1, 1), 1), ((4, 2, 3), 3)):
        with pytest.raises(ValueError, match="3 to 5 dimensions"):
            init.dirac_(np.zeros(shape), groups)


def test_gains_keep_the_variance() -> None:
    """Of an activation's standard normal arguments, but for names that torch gives 1."""
    for name in ("linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose3d"):
        assert init.calculate_gain(name) == 1.0
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("selu") == 3 / 4
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / (1 + 0.01**2)), rel=1e-15)
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(math.sqrt(2 / 1.09), rel=1e-15)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_filled_as_parameters_are(order: Literal["C", "F"], dtype: type) -> None:
    shape = (300, 1500)  # more than one block of numbers
    runtime.manual_seed(3)
    array = init.normal_(np.zeros(shape, dtype, order), 0.5, 0.1)
    check_moments(array, 0.5, 0.1)
    assert len(np.unique(array)) > array.size * 0.9
    runtime.manual_seed(3)
    parameter = np.asarray(init.normal_(Parameter(np.zeros(shape)), 0.5, 0.1))
    if order == "C":
        np.testing.assert_allclose(array, parameter, rtol=1e-6)
