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
from cnncore import _core, nn, ops, optim
from cnncore.ops.fusion.linear import LARGE_COPY
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


def choose(direction: str, rows: int, outputs: int, inputs: int) -> _core.ConvChoice:
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


def backward_weight(x: Array, grad: Array) -> tuple[Array, Array]:
    """The gradients by weight and bias."""
    inputs, outputs = x.shape[1], grad.shape[1]
    attrs = {**NO_GEOMETRY, "algorithm": "linear"}
    results = [((outputs, inputs), "float32", "c"), ((outputs,), "float32", "c")]
    grad_weight, grad_bias = run_step("conv_backward_weight", [(x, "c"), (grad, "c")], results, attrs)
    return grad_weight, grad_bias


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
        grad_weight, grad_bias = backward_weight(x, grad)
        np.testing.assert_array_equal(grad_weight, grad.T @ x)
        np.testing.assert_array_equal(grad_bias, grad.sum(0))


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
    error = np.abs(backward_weight(x, grad)[0] - grad64.T @ x64)
    assert (error <= ref.dot_bound(rows, np.abs(grad64).T @ np.abs(x64))).all()


def test_threads_and_other_rows_do_not_change_a_bit() -> None:
    rng = np.random.default_rng(1)
    outputs, inputs = LARGE
    x, grad = rng.standard_normal((33, inputs), np.float32), rng.standard_normal((33, outputs), np.float32)
    weight = rng.standard_normal((outputs, inputs), np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append((forward(x, weight), backward_data(grad, weight), *backward_weight(x, grad)))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for found, first in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(forward(x[5:6], weight), results[0][0][5:6])


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
    found = np.isnan(backward_weight(np.where(np.isinf(x), np.nan, x), grad)[0])
    expected = np.zeros((outputs, inputs), bool)
    expected[:, inputs - 1] = True
    np.testing.assert_array_equal(found, expected)


def test_results_need_no_alignment() -> None:
    """Gradients of widths that are whole vectors are written past the cache, which needs aligned memory."""
    rng = np.random.default_rng(5)
    x, grad = whole(rng, 6, 128), whole(rng, 6, 11)
    memory = np.zeros(11 * 128 + 16, np.float32)
    for skip in (0, 1, 3, 8):
        start = -(memory.ctypes.data // 4) % 16 + skip
        result = memory[start % 16 : start % 16 + 11 * 128].reshape(11, 128)
        program = _core.Program()
        values = [program.add_value(a.shape, "float32", "c") for a in (x, grad, result)]
        for value, array in zip(values, (x, grad, result), strict=True):
            program.bind(value, array, array is result)
        step = program.add_step(
            "conv_backward_weight", values[:2], values[2:], {**NO_GEOMETRY, "algorithm": "linear"}
        )
        program.place_workspace(step, 0)
        program.set_inputs([])
        program.set_outputs([])
        program.finish(program.step_info(step)["workspace"])
        program.run([])
        np.testing.assert_array_equal(result, grad.T @ x)


def test_large_weights_are_not_packed() -> None:
    for direction in ("forward", "backward_data"):
        for rows in (1, 32):
            choice = choose(direction, rows, *LARGE)
            assert (choice.algorithm, choice.packed.count) == ("linear", 0)
        assert choose(direction, 4096, *LARGE).packed.count > 0
        weight = [1024, 1024, 2, 2]
        image = _core.conv_choose(direction, [1, *weight[1:]], weight, {**NO_GEOMETRY, **WINDOW}, "exact")
        assert "not a linear layer" in dict(image.refused)["linear"]


def test_small_weights_are_packed_where_that_turns_them() -> None:
    forward = choose("forward", 32, 120, 400)
    assert forward.packed.count > 0
    assert "small" in dict(forward.refused)["linear"]
    assert choose("backward_data", 32, 120, 400).packed.count == 0
    assert choose("backward_weight", 32, 120, 400).algorithm == "linear"
    assert choose("backward_weight", 4096, 120, 400).algorithm == "direct"


WINDOW = {"stride": [1, 1], "padding_begin": [0, 0], "padding_end": [0, 0], "dilation": [1, 1]}


def test_large_layers_run_on_the_parameter_itself() -> None:
    rng = np.random.default_rng(3)
    outputs, inputs = LARGE
    model = nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU()).eval()
    weight, bias = whole(rng, outputs, inputs), whole(rng, outputs)
    model[0].weight.assign(weight)
    model[0].bias.assign(bias)
    predict = cc.compile(model, (3, inputs))
    x = whole(rng, 3, inputs)
    expected = np.maximum(x @ weight.T + bias, 0)
    np.testing.assert_array_equal(predict(x), expected)
    assert "conv_pack_weight" not in all_steps(predict)
    model[0].weight.assign(2 * weight)
    np.testing.assert_array_equal(predict(x), expected)  # a predictor keeps the weights it was made with
    np.testing.assert_array_equal(model(x), np.maximum(x @ (2 * weight).T + bias, 0))


@pytest.mark.parametrize(("outputs", "packs"), [(2 * LARGE_COPY // 2080, False), (1024, True)])
def test_flattened_images_enter_large_layers(outputs: int, packs: bool) -> None:
    """Only a very large weight is not rearranged for inference."""
    rng = np.random.default_rng(6)
    weight = whole(rng, outputs, 2080)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2080, outputs, bias=False)).eval()
    model[1].weight.assign(weight)
    x = whole(rng, 3, 208, 2, 5)
    predict = cc.compile(model, x.shape)
    np.testing.assert_array_equal(predict(x), x.reshape(3, -1) @ weight.T)
    image = cc.compile(nn.Sequential(nn.MaxPool2d(1), model), x.shape)  # its output is channels-last
    np.testing.assert_array_equal(image(x), x.reshape(3, -1) @ weight.T)
    assert ("conv_pack_weight" in all_steps(image)) == packs


def test_training_turns_the_smaller_of_images_and_weight() -> None:
    rng = np.random.default_rng(7)
    for rows, turned in ((8, True), (40, False)):
        layer = nn.Linear(160, 24)
        layer.weight.assign(whole(rng, 24, 160))
        model = nn.Sequential(nn.MaxPool2d(1), nn.Flatten(), layer)
        x, scale = whole(rng, rows, 16, 2, 5), whole(rng, rows, 24)

        def loss(x: Any, model: Any = model, scale: Any = scale) -> Any:
            return ops.sum(model(x) * scale)

        function = cc.value_and_grad(loss, [layer.weight])
        _, grads = function(x)
        np.testing.assert_array_equal(grads[0], scale.T @ x.reshape(rows, -1))
        (program,) = function._programs.values()
        shapes = [step.attrs.get("weight_shape") for step in program.executable.run_steps]
        assert ((24, 160) in shapes) == turned
        assert ((24, 16, 2, 5) in shapes) != turned


def all_steps(predict: Any) -> list[str]:
    return [step.op for step in predict._executable.steps]


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


@pytest.mark.parametrize("shape", [(8, 128, 256), (2, 3, 5, 7), (1024, 256)])
def test_layers_on_sequences_are_a_step_each(shape):
    """Features stay together in memory: nothing is copied, and activations are the layers' own."""
    features = shape[-1]
    model = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 6), nn.ReLU()).eval()
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    predictor = cc.compile(model, shape)
    assert [row["step"] for row in predictor.explain()] == ["conv_forward"] * 2
    rows = cc.compile(model, (x.size // features, features))(x.reshape(-1, features))
    np.testing.assert_array_equal(predictor(x).reshape(rows.shape), rows)

    def loss(x):
        return ops.sum(ops.square(model(x)))

    _, grads = cc.value_and_grad(loss, model.parameters())(x)
    _, expected = cc.value_and_grad(loss, model.parameters())(x.reshape(-1, features))
    for grad, other in zip(grads, expected, strict=True):
        np.testing.assert_array_equal(grad, other)


def test_training_on_sequences_copies_nothing():
    model = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8))
    step = cc.train_step(lambda x: ops.sum(ops.square(model(x))), optim.SGD(model.parameters(), lr=0.01))
    step(np.ones((4, 6, 16), np.float32))
    assert "copy" not in [row["step"] for row in step.explain()]
