# SPDX-License-Identifier: Apache-2.0
"""Blocks by torchvision's names: what they are made of, their keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops


def drawn(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def kinds(block: Any) -> list[str]:
    return [type(layer).__name__ for layer in block]


def test_convolution_norm_activation() -> None:
    plain = nn.Conv2dNormActivation(3, 4, (3, 5), dilation=(2, 1), norm_layer=None, activation_layer=None)
    assert kinds(plain) == ["Conv2d"]
    assert plain(drawn(1, 3, 9, 9)).shape == (1, 4, 9, 9)
    assert plain[0].bias is not None
    whole = nn.Conv3dNormActivation(3, 4, 3, activation_layer=nn.SiLU, inplace=None)
    assert kinds(whole) == ["Conv3d", "BatchNorm3d", "SiLU"]
    assert whole[0].bias is None
    assert whole.out_channels == 4
    assert whole(drawn(1, 3, 4, 5, 6)).shape == (1, 4, 4, 5, 6)


def test_an_activation_is_told_whether_it_works_in_place() -> None:
    told: list[dict[str, bool]] = []

    def activation(**settings: bool) -> nn.Module:
        told.append(settings)
        return nn.ReLU()

    for inplace in (True, False, None):
        nn.Conv2dNormActivation(3, 4, activation_layer=activation, inplace=inplace)
    assert told == [{"inplace": True}, {"inplace": False}, {}]


def test_squeeze_excitation() -> None:
    block, x = nn.SqueezeExcitation(6, 2), drawn(2, 6, 3, 4)
    keys = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert list(block.state_dict()) == keys
    scale = ops.sigmoid(block.fc2(ops.relu(block.fc1(x.mean((2, 3), keepdims=True)))))
    assert np.abs(block(x) - x * scale).max() <= 1e-6


def test_layers_of_a_perceptron() -> None:
    block = nn.MLP(4, [8, 6, 2], norm_layer=nn.LayerNorm, dropout=0.5)
    between = ["Linear", "LayerNorm", "ReLU", "Dropout"]
    assert kinds(block) == [*between, *between, "Linear", "Dropout"]
    assert block.eval()(drawn(3, 4)).shape == (3, 2)
    with pytest.raises(ValueError, match="at least one layer"):
        nn.MLP(4, [])


def test_frozen_batch_norm() -> None:
    frozen, norm = nn.FrozenBatchNorm2d(3), nn.BatchNorm2d(3)
    state = {name: abs(drawn(3)) + i for i, name in enumerate(frozen.state_dict())}
    assert list(state) == ["weight", "bias", "running_mean", "running_var"]
    frozen.load_state_dict(state)
    norm.load_state_dict({**state, "num_batches_tracked": np.int64(0)})
    x = drawn(2, 3, 4, 5)
    assert np.array_equal(frozen(x), norm.eval()(x))
    assert list(frozen.parameters()) == []
    before = frozen.state_dict()
    model = nn.Sequential(nn.Conv2d(3, 3, 1), frozen)
    cc.train_step(lambda x: (model(x) ** 2).mean(), cc.optim.SGD(model.parameters(), lr=0.1))(x)
    assert all(np.array_equal(before[name], value) for name, value in frozen.state_dict().items())
