# SPDX-License-Identifier: Apache-2.0
"""Grad-CAM and Grad-CAM++ against cases worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import models, nn
from cnncore.viz import arrays

RNG = np.random.default_rng(0)


def by_hand() -> tuple[nn.Module, Any, Any]:
    """A network whose maps are its input: score[k] = sum over channels and places of weight * input."""
    weight = np.zeros((2, 2, 2, 2), np.float32)
    weight[1, 0] = [[1.0, 2.0], [3.0, 2.0]]
    weight[1, 1] = [[-1.0, 0.0], [-1.0, 0.0]]
    model = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2, bias=False))
    model[3].weight.assign(weight.reshape(2, 8))
    x = np.array([[[[1.0, 0.0], [2.0, 1.0]], [[3.0, 1.0], [1.0, 8.0]]]], np.float32)
    return model, x, weight[1]


def test_grad_cam_by_hand() -> None:
    """Mean gradients are 2 and -0.5: the map is max(2 * first - 0.5 * second, 0), but where ReLU is 0."""
    model, x, _ = by_hand()
    found = arrays.grad_cam(model, x, 1, "1")
    assert found.tolist() == [[[0.5, 0.0], [3.5, 0.0]]]
    assert arrays.grad_cam(model, x, 0, "1").tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert found.tolist() == arrays.grad_cam(model, x, 1).tolist()  # the last layer with places


def test_grad_cam_plus_plus_by_hand() -> None:
    """Weights by equation 19 in float64."""
    model, x, slope = by_hand()
    values = x[0].astype(float)
    sums = values.sum(axis=(1, 2), keepdims=True)
    below = 2 * slope.astype(float) ** 2 + slope.astype(float) ** 3 * sums
    share = np.where(below == 0, 0, slope.astype(float) ** 2 / np.where(below == 0, 1, below))
    weights = (share * np.maximum(slope, 0)).sum(axis=(1, 2))
    expected = np.maximum((weights[:, None, None] * values).sum(axis=0), 0)
    assert weights[0] > 0
    np.testing.assert_allclose(arrays.grad_cam_plus_plus(model, x, 1, "1")[0], expected, rtol=1e-6)


def test_equal_gradients_make_both_the_same_but_for_scale() -> None:
    """Behind global average pooling all gradients of a channel are equal, as the paper says of CAM."""
    model = nn.Sequential(
        nn.Conv2d(1, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1)
    )
    model[4].weight.assign([[2.0]])
    x = RNG.normal(size=(2, 1, 6, 6)).astype(np.float32)
    first, second = arrays.grad_cam(model, x, 0, "1"), arrays.grad_cam_plus_plus(model, x, 0, "1")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one / one.max(), other / other.max(), rtol=1e-5)


def test_rows_do_not_depend_on_each_other() -> None:
    model = models.resnet20()
    x = RNG.normal(size=(3, 3, 32, 32)).astype(np.float32)
    together = arrays.grad_cam(model, x, [3, 1, 4])
    for row, label in enumerate([3, 1, 4]):
        np.testing.assert_allclose(
            together[row], arrays.grad_cam(model, x[row : row + 1], label)[0], rtol=1e-4, atol=1e-6
        )


def test_sizes() -> None:
    model = models.resnet20()
    x = RNG.normal(size=(1, 3, 32, 32)).astype(np.float32)
    assert arrays.grad_cam(model, x, 3).shape == (1, 32, 32)
    small = arrays.grad_cam(model, x, 3, "layer2", resize=False)
    assert small.shape == (1, 16, 16)
    large = arrays.grad_cam(model, x, 3, "layer2")
    # Twice the size, linearly: what lies between two places is 3/4 and 1/4 of them.
    np.testing.assert_allclose(
        large[0, 1, 1], np.array([9, 3, 3, 1]) / 16 @ small[0, :2, :2].ravel(), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes(rank: int) -> None:
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[rank]
    model = nn.Sequential(conv(2, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    x = RNG.normal(size=(2, 2, *[7] * rank)).astype(np.float32)
    model(x)
    assert arrays.grad_cam(model, x, 1).shape == (2, *[7] * rank)


def test_layers_without_places() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="no layer with spatial axes"):
        arrays.grad_cam(model, np.ones((1, 1, 2, 2)), 1)
    with pytest.raises(ValueError, match=r"as many axes as the input, 4, got \(1, 4\) of '0'"):
        arrays.grad_cam(model, np.ones((1, 1, 2, 2)), 1, "0")
