# SPDX-License-Identifier: Apache-2.0
"""Layers with running statistics, through training and evaluation, against the same in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnncore import nn

SHAPES = {"1d": (4, 3, 5), "2d": (4, 3, 5, 6), "3d": (4, 3, 2, 5, 6)}
KINDS = [f"{kind}{axes}" for kind in ("BatchNorm", "InstanceNorm") for axes in SHAPES]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"affine": True},
    {"affine": True, "bias": False},
    {"affine": False, "eps": 0.5},
    {"affine": True, "track_running_stats": True, "momentum": 0.3, "eps": 0.25},
    {"affine": False, "track_running_stats": True, "momentum": None},
    {"affine": True, "track_running_stats": False, "momentum": 0.3},
]


class Reference:
    """A layer of statistics over some axes: of a batch's or each sample's images."""

    def __init__(self, layer: Any, each: bool) -> None:
        self.layer, self.each, self.batches = layer, each, 0
        self.mean, self.var = np.zeros(3), np.ones(3)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        layer, axes = self.layer, tuple(range(2, x.ndim))
        shape = (3,) + (1,) * len(axes)
        mean, var = self.mean.reshape(shape), self.var.reshape(shape)
        if layer.training or not layer.track_running_stats:
            over = axes if self.each else (0, *axes)
            mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
            self._follow(x, over, mean)
        y = (x - mean) / np.sqrt(var + layer.eps)
        if layer.weight is not None:
            y = y * np.asarray(layer.weight, np.float64).reshape(shape)
        return y if layer.bias is None else y + np.asarray(layer.bias, np.float64).reshape(shape)

    def _follow(self, x: NDArray[Any], over: tuple[int, ...], mean: NDArray[Any]) -> None:
        self.batches += 1
        share = self.layer.momentum
        if share is None:
            share = 0.0 if self.each else 1 / self.batches
        var = x.var(over, ddof=1)
        self.mean += share * (mean.reshape(-1, 3).mean(0) - self.mean)
        self.var += share * (var.reshape(-1, 3).mean(0) - self.var)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_training_and_evaluation(kind: str, settings: dict[str, Any]) -> None:
    layer = getattr(nn, kind)(3, **settings)
    each = kind.startswith("Instance")
    assert (layer.weight is not None) is settings.get("affine", not each)
    assert (layer.running_mean is not None) is settings.get("track_running_stats", not each)
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.assign(rng.normal(size=3))
    reference = Reference(layer, each)
    for shift in range(3):
        x = rng.normal(shift, 1.5, SHAPES[kind[-2:]]).astype(np.float32)
        np.testing.assert_allclose(layer(x), reference(x.astype(np.float64)), rtol=1e-5, atol=1e-5)
    if layer.running_mean is not None:
        np.testing.assert_allclose(layer.running_mean, reference.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.running_var, reference.var, rtol=1e-5, atol=1e-6)
        assert layer.num_batches_tracked.item() == (0 if each else 3)
    layer.eval()
    np.testing.assert_allclose(layer(x), reference(x.astype(np.float64)), rtol=1e-5, atol=1e-5)
