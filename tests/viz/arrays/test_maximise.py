# SPDX-License-Identifier: Apache-2.0
"""Activation maximisation."""

from __future__ import annotations

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.viz import arrays


def test_of_a_linear_model_the_direction_of_the_weight() -> None:
    """The largest w x - decay x^2 is at w / (2 decay)."""
    model = nn.Linear(3, 2)
    model.weight.assign([[0.0, 1.0, 0.0], [1.0, -2.0, 0.5]])
    made = arrays.activation_maximisation(model, (1, 3), 1, steps=400, lr=0.05, decay=0.5)
    np.testing.assert_allclose(made, [[1.0, -2.0, 0.5]], atol=1e-2)


def test_a_channel_of_a_layer_grows_and_the_model_stays() -> None:
    cc.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    noise = arrays.activation_maximisation(model, (2, 1, 8, 8), 2, "1", steps=1, lr=1e-9)
    made = arrays.activation_maximisation(model, (2, 1, 8, 8), 2, "1", steps=30)
    means = [arrays.feature_maps(model, x, "1")[:, 2].mean(axis=(1, 2)) for x in (noise, made)]
    assert (means[1] > means[0] + 0.1).all()
    assert model.training
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(made, arrays.activation_maximisation(model, (2, 1, 8, 8), 2, "1", steps=30))


def test_smoothness_makes_neighbours_alike() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    rough, smooth = (
        arrays.activation_maximisation(model, (1, 1, 8, 8), 1, smoothness=amount, decay=0.1, steps=60)
        for amount in (0.0, 1.0)
    )
    assert np.abs(np.diff(smooth, axis=3)).mean() < 0.5 * np.abs(np.diff(rough, axis=3)).mean()


def test_targets_that_are_none() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="a target from 0 to 1, the model's classes, got 2"):
        arrays.activation_maximisation(model, (1, 3), 2)
    with pytest.raises(ValueError, match="the channels of '0', got -1"):
        arrays.activation_maximisation(model, (1, 3), -1, "0")
    with pytest.raises(TypeError, match="class or channel number, got 'cat'"):
        arrays.activation_maximisation(model, (1, 3), "cat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        arrays.activation_maximisation(model, (1, 3), 0, "nowhere")
