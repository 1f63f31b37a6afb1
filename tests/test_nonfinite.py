# SPDX-License-Identifier: Apache-2.0
"""The first layer with NaN or infinity is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.random import rng_state

X = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
Y = np.array([0, 1])


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 3)
    )


def loss_of(model: nn.Module) -> Any:
    return lambda x, y: ops.cross_entropy(model(x), y)


def test_nothing_to_find_and_nothing_changed() -> None:
    model = network()
    before, random = model.state_dict(), rng_state()
    assert cc.find_nonfinite(model, X) is None
    assert cc.find_nonfinite(loss_of(model), X, Y) is None
    assert rng_state() == random
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_and_weights(value: float) -> None:
    model = network()
    x = X.copy()
    x[0, 0, 0, 0] = value
    found = cc.find_nonfinite(model, x)
    assert found == ("0", "input", "0")
    assert str(found) == "input 0"
    for name, parameter in model.named_parameters():
        layer, own = name.split(".")
        before = np.array(parameter)
        parameter.assign(np.full(parameter.shape, value))
        for fn, inputs in ((model, (X,)), (loss_of(model), (X, Y))):
            assert cc.find_nonfinite(fn, *inputs) == (layer, "weights", own)
        parameter.assign(before)
    model.eval()[1].running_var.assign(np.full(4, value))
    assert cc.find_nonfinite(model, X) == ("1", "weights", "running_var")


@pytest.mark.parametrize("layer", ["0", "5"])
def test_outputs(layer: str) -> None:
    model = network()
    weight = model.get_submodule(layer).weight
    weight.assign(np.full(weight.shape, 3e38))
    found = cc.find_nonfinite(loss_of(model), X, Y)
    assert found is not None
    assert found[:2] == (layer, "output")
    assert f"the output of {layer}" in str(found)


def test_gradients() -> None:
    """The root's slope at 0 is infinite: everything is finite on the way to the loss."""
    scale = nn.Parameter(np.zeros(3))
    found = cc.find_nonfinite(lambda x: ops.sum(ops.sqrt(x * scale)), np.ones(3))
    assert found is not None
    assert found[1:] == ("gradient", "sqrt")


def test_what_is_no_model() -> None:
    with pytest.raises(TypeError, match="expected a Module or a function, got int"):
        cc.find_nonfinite(5, X)  # type: ignore[arg-type]
