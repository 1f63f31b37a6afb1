# SPDX-License-Identifier: Apache-2.0
"""Filters and feature maps."""

from __future__ import annotations

import numpy as np
import pytest

from cnncore import nn
from cnncore.viz import arrays

RNG = np.random.default_rng(0)


def test_filters_are_a_copy_of_the_weight() -> None:
    layer = nn.Conv2d(3, 4, (2, 5))
    found = arrays.filters(layer)
    np.testing.assert_array_equal(found, layer.weight)
    found[...] = 0
    assert np.asarray(layer.weight).any()


def test_filters_of_other_layers() -> None:
    grey, signals = nn.Conv2d(1, 4, 3), nn.Conv1d(2, 4, 3)
    np.testing.assert_array_equal(arrays.filters(grey), grey.weight)
    np.testing.assert_array_equal(arrays.filters(signals), np.asarray(signals.weight)[:, :, None])
    np.testing.assert_array_equal(arrays.filters(np.ones((2, 1, 3, 3))), np.ones((2, 1, 3, 3)))


def test_layers_without_filters() -> None:
    with pytest.raises(TypeError, match="got ReLU, which has no weight"):
        arrays.filters(nn.ReLU())
    with pytest.raises(ValueError, match=r"got shape \(2, 3\)"):
        arrays.filters(nn.Linear(3, 2))


def test_feature_maps_of_one_layer_and_of_several() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)).eval()
    x = RNG.normal(size=(3, 1, 6, 6)).astype(np.float32)
    one = arrays.feature_maps(model, x, "1")
    np.testing.assert_allclose(one, np.maximum(model[0](x), 0), rtol=1e-6, atol=1e-7)
    several = arrays.feature_maps(model, x, ["2", "1"])
    assert list(several) == ["2", "1"]
    np.testing.assert_array_equal(several["1"], one)
