# SPDX-License-Identifier: Apache-2.0
"""Layers by their names, values inside of a model, and gradients by them."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops
from cnncore.viz import arrays
from cnncore.viz.arrays.probe import INPUT, look

RNG = np.random.default_rng(0)


class Twice(nn.Module):
    """Calls a layer twice, and operations of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Tanh())
        self.fc = nn.Linear(2 * 16, 3)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.block(x))
        x = ops.relu(self.block(x))
        return self.fc(ops.flatten(x, 1))


def test_names_tell_all_layers_apart() -> None:
    found = [layer.name for layer in arrays.layers(Twice(), (1, 2, 4, 4))]
    assert found == ["block.0", "block.1", "relu", "block.0#2", "block.1#2", "relu#2", "reshape", "fc"]
    resnet = [layer.name for layer in arrays.layers(models.resnet20(), (1, 3, 32, 32))]
    assert {"layer1.0.relu", "layer1.0.relu#2", "layer2.0.slice", "relu"} <= set(resnet)
    assert len(set(resnet)) == len(resnet)


def test_layers_are_the_rows_of_the_summary() -> None:
    model = models.resnet20()
    table = cc.summary(model, (2, 3, 32, 32))
    found = arrays.layers(model, (2, 3, 32, 32))
    assert [(row.kind, row.output_shape, row.parameters, row.flops) for row in table.layers] == [
        tuple(layer[1:]) for layer in found
    ]


def test_values_and_gradients_of_a_linear_chain_are_exact() -> None:
    """Small whole numbers: every sum is exact in float32."""
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    first, second = RNG.integers(-3, 4, (4, 3)), RNG.integers(-3, 4, (2, 4))
    model[0].weight.assign(first)
    model[1].weight.assign(second)
    x = RNG.integers(-3, 4, (5, 3)).astype(np.float32)
    weights = RNG.integers(-2, 3, (5, 2)).astype(np.float32)
    seen = look(model, x, ["0", "1", INPUT], weights)
    np.testing.assert_array_equal(seen.values["0"], x @ first.T)
    np.testing.assert_array_equal(seen.output, x @ first.T @ second.T)
    np.testing.assert_array_equal(seen.values["1"], seen.output)
    np.testing.assert_array_equal(seen.values[INPUT], x)
    np.testing.assert_array_equal(seen.gradients["1"], weights)
    np.testing.assert_array_equal(seen.gradients["0"], weights @ second)
    np.testing.assert_array_equal(seen.gradients[INPUT], weights @ second @ first)


def test_values_are_those_of_capture() -> None:
    model = models.resnet20().eval()
    x = RNG.normal(size=(2, 3, 32, 32)).astype(np.float32)
    names = ["conv1", "layer2", "layer3.0.conv2", "layer1.0"]
    expected = cc.capture(model, names, x)
    found = look(model, x, names).values
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_models_own_mode_and_statistics_stay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    x = RNG.normal(size=(4, 1, 6, 6)).astype(np.float32)
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    shape = (4, 2, 4, 4)
    first, again = (look(model, x, ["1", INPUT], np.ones(shape)) for _ in range(2))
    assert model.training
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(first.output, again.output)
    # Batch norm is folded into the convolution or not: float32 sums of 9 terms of size 1.
    np.testing.assert_allclose(first.output, model.eval()(x), rtol=1e-5, atol=1e-6)


def test_changes_of_weights_and_of_structure_are_seen() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    x = np.ones((1, 2), np.float32)
    look(model, x, ["0"])
    model[0].weight.assign(np.full((2, 2), 3.0))
    model[0].bias.assign(np.zeros(2))
    assert look(model, x, ["0"]).values["0"].tolist() == [[6.0, 6.0]]
    model[1] = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert [layer.name for layer in arrays.layers(model, (1, 2))] == ["0", "1.0", "1.1"]
    np.testing.assert_allclose(look(model, x).output, np.tanh([[6.0, 6.0]]), rtol=1e-6)


def test_what_is_kept_goes_with_the_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    look(model, np.ones((1, 2), np.float32), ["0"], np.ones((1, 2)))
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_what_cannot_be_looked_at_is_named() -> None:
    x = np.ones((1, 2, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"no layer 'block\.7'.*'block\.0'"):
        look(Twice(), x, ["block.7"])
    with pytest.raises(TypeError, match="expected a Module, got function"):
        arrays.layers(test_values_are_those_of_capture, (1, 2))  # type: ignore[arg-type]
    pair = nn.LSTM(3, 4)
    with pytest.raises(ValueError, match="returns one array, got tuple from LSTM"):
        arrays.layers(pair, (2, 1, 3))
    with pytest.raises(ValueError, match=r"one row is x\[None\]"):
        arrays.feature_maps(nn.Linear(2, 2), np.ones(2), "Linear")


def test_models_of_onnx(tmp_path: Any) -> None:
    pytest.importorskip("onnx")
    from cnncore import onnx

    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    path = tmp_path / "m.onnx"
    onnx.export(model.eval(), path, (2, 1, 8, 8))
    loaded = onnx.load(path)
    x = RNG.normal(size=(2, 1, 8, 8)).astype(np.float32)
    names = [layer.name for layer in arrays.layers(loaded, x.shape)]
    assert len(names) == len(set(names)) >= 4
    np.testing.assert_allclose(arrays.grad_cam(loaded, x, 1), arrays.grad_cam(model, x, 1, "2"), atol=1e-5)
