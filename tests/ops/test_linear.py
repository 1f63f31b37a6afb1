# SPDX-License-Identifier: Apache-2.0
"""Linear layers: the algorithm for large weights, which reads them as they lie, against float64.

Whole numbers make float32 sums exact whatever their order, so there the tolerance is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import _core, nn, ops
from steps import run_step

Array = NDArray[Any]
NO_GEOMETRY = {"stride": [], "padding_begin": [], "padding_end": [], "dilation": [], "groups": 1}
ACTIVATIONS = ("none", "relu", "leaky_relu", "relu6")
SLOPE = 0.25
# Depths around the vectors of every instruction set and around the blocks the sums are cut into; columns
# around the tiles.
SIZES = [
    (1, 1),
    (15, 3),
    (17, 5),
    (64, 64),
    (100, 33),
    (127, 66),
    (1024, 4),
    (1030, 131),
    (2065, 70),
    (200, 2100),
]
LARGE = (1024, 1030)
"""Outputs and inputs of a layer that is large enough to be taken without asking for it."""


def choose(direction: str, rows: int, outputs: int, inputs: int) -> dict[str, Any]:
    return _core.conv_choose(direction, [rows, inputs], [outputs, inputs], NO_GEOMETRY, "exact")


def forward(
    x: Array, weight: Array, bias: Any = None, residual: Any = None, activation: str = "none"
) -> Array:
    attrs = {
        **NO_GEOMETRY,
        "algorithm": "linear",
        "weight_shape": list(weight.shape),
        "activation": activation,
        "alpha": SLOPE,
    }
    inputs = [None if a is None else (a, "c") for a in (x, weight, bias, residual)]
    return run_step("conv_forward", inputs, [((len(x), len(weight)), "float32", "c")], attrs)[0]


def backward_data(grad: Array, weight: Array) -> Array:
    attrs = {**NO_GEOMETRY, "algorithm": "linear", "weight_shape": list(weight.shape)}
    output = ((len(grad), weight.shape[1]), "float32", "c")
    return run_step("conv_backward_data", [(grad, "c"), (weight, "c")], [output], attrs)[0]


def whole(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float32)


def activated(x: Array, activation: str) -> Array:
    if activation == "leaky_relu":
        return np.where(x < 0, SLOPE * x, x)
    low, high = {"none": (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6)}[activation]
    return np.clip(x, low, high)


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_whole_numbers_are_exact(inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(inputs)
    weight = whole(rng, outputs, inputs)
    bias = whole(rng, outputs)
    for rows in (*range(1, 14), 17, 33, 64, 65):
        x, grad, residual = whole(rng, rows, inputs), whole(rng, rows, outputs), whole(rng, rows, outputs)
        activation = ACTIVATIONS[rows % 4]
        np.testing.assert_array_equal(forward(x, weight), x @ weight.T)
        expected = activated(x @ weight.T + bias + residual, activation)
        np.testing.assert_array_equal(forward(x, weight, bias, residual, activation), expected)
        np.testing.assert_array_equal(backward_data(grad, weight), grad @ weight)


@pytest.mark.parametrize("rows", [1, 7, 32])
def test_real_numbers_are_within_the_bound_of_a_sum(rows: int) -> None:
    rng = np.random.default_rng(rows)
    inputs, outputs = 3001, 517
    x, grad = (
        rng.standard_normal((rows, inputs), np.float32),
        rng.standard_normal((rows, outputs), np.float32),
    )
    weight = rng.standard_normal((outputs, inputs), np.float32)
    x64, grad64, weight64 = ref.float64(x), ref.float64(grad), ref.float64(weight)
    error = np.abs(forward(x, weight) - x64 @ weight64.T)
    assert (error <= ref.dot_bound(inputs, np.abs(x64) @ np.abs(weight64.T))).all()
    error = np.abs(backward_data(grad, weight) - grad64 @ weight64)
    assert (error <= ref.dot_bound(outputs, np.abs(grad64) @ np.abs(weight64))).all()


def test_threads_and_the_rest_of_the_batch_do_not_change_a_bit() -> None:
    rng = np.random.default_rng(1)
    outputs, inputs = LARGE
    x, grad = rng.standard_normal((33, inputs), np.float32), rng.standard_normal((33, outputs), np.float32)
    weight = rng.standard_normal((outputs, inputs), np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append((forward(x, weight), backward_data(grad, weight)))
    finally:
        _core.set_num_threads(before)
    for output, grad_input in results[1:]:
        np.testing.assert_array_equal(output, results[0][0])
        np.testing.assert_array_equal(grad_input, results[0][1])
    np.testing.assert_array_equal(forward(x[5:6], weight), results[0][0][5:6])
    np.testing.assert_array_equal(backward_data(grad[5:6], weight), results[0][1][5:6])


def test_what_is_not_a_number_stays_in_its_row_and_column() -> None:
    """Vectors that end past a row of the weight do not see the next row."""
    rng = np.random.default_rng(2)
    outputs, inputs = 37, 1043
    weight, x, grad = whole(rng, outputs, inputs), whole(rng, 7, inputs), whole(rng, 7, outputs)
    weight[20, 0] = np.nan
    x[3, inputs - 1] = np.inf
    found = ~np.isfinite(forward(x, weight))
    expected = np.zeros((7, outputs), bool)
    expected[3], expected[:, 20] = True, True
    np.testing.assert_array_equal(found | (expected & (weight[:, -1] == 0)), expected)
    found = np.isnan(backward_data(grad, weight))
    expected = np.zeros((7, inputs), bool)
    expected[:, 0] = True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_large_weights_are_not_packed(direction: str) -> None:
    for rows in (1, 32):
        choice = choose(direction, rows, *LARGE)
        assert (choice["algorithm"], choice["packed_floats"]) == ("linear", 0)
    assert choose(direction, 32, 120, 400)["packed_floats"] > 0
    assert choose(direction, 4096, *LARGE)["packed_floats"] > 0
    reasons = dict(choose(direction, 32, 120, 400)["refused"])
    assert "small" in reasons["linear"]
    image = _core.conv_choose(
        direction, [1, 1024, 2, 2], [1024, 1024, 2, 2], {**NO_GEOMETRY, **WINDOW}, "exact"
    )
    assert "not a linear layer" in dict(image["refused"])["linear"]


WINDOW = {"stride": [1, 1], "padding_begin": [0, 0], "padding_end": [0, 0], "dilation": [1, 1]}


def test_large_layers_run_on_the_parameter_itself() -> None:
    rng = np.random.default_rng(3)
    outputs, inputs = LARGE
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU()).eval()
    weight, bias = whole(rng, outputs, inputs), whole(rng, outputs)
    model[1].weight.assign(weight)
    model[1].bias.assign(bias)
    predict = cc.compile(model, (3, inputs // 10, 2, 5))
    x = whole(rng, 3, inputs // 10, 2, 5)
    expected = np.maximum(x.reshape(3, -1) @ weight.T + bias, 0)
    np.testing.assert_array_equal(predict(x), expected)
    assert "conv_pack_weight" not in [step.op for step in predict._executable.steps]
    model[1].weight.assign(2 * weight)
    np.testing.assert_array_equal(predict(x), expected)  # a predictor keeps the weights it was made with
    np.testing.assert_array_equal(model(x), np.maximum(x.reshape(3, -1) @ (2 * weight).T + bias, 0))


def test_gradients_of_large_layers() -> None:
    rng = np.random.default_rng(4)
    outputs, inputs = LARGE
    weight, bias = nn.Parameter(whole(rng, outputs, inputs)), nn.Parameter(whole(rng, outputs))
    x, scale = whole(rng, 5, inputs), whole(rng, 5, outputs)

    def loss(x: Any) -> Any:
        return ops.sum(ops.linear(x, weight, bias) * scale)

    _, grads = cc.value_and_grad(loss, {"weight": weight, "bias": bias})(x)
    np.testing.assert_array_equal(grads["weight"], scale.T @ x)
    np.testing.assert_array_equal(grads["bias"], scale.sum(0))
    np.testing.assert_array_equal(cc.grad(loss)(x), scale @ weight.numpy())
