# SPDX-License-Identifier: Apache-2.0
"""What is no argument of a picture is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cnncore import nn, viz

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
X = np.ones((2, 1, 4, 4), np.float32)
SHAPE = (1, 1, 4, 4)
LABELS = np.array([0, 1])
WRONG: list[Any] = [5, 0.5, object(), [[1, 2]], np.ones((2, 3)), {"a": 1}]


CASES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda v: viz.arrays.activation_maximisation(NETWORK, v, 0), "input_shape"),
    (lambda v: viz.arrays.activation_maximisation(NETWORK, SHAPE, [v]), "target"),
    (lambda v: viz.arrays.activation_maximisation(NETWORK, SHAPE, 0, v), "layer"),
    (lambda v: viz.arrays.activation_maximisation(NETWORK, SHAPE, 0, steps=[v]), "steps"),
    (lambda v: viz.arrays.activation_maximisation(NETWORK, SHAPE, 0, seed=[v]), "seed"),
    (lambda v: viz.arrays.layers(NETWORK, v), "input_shape"),
    (lambda v: viz.arrays.network(NETWORK, v), "input_shape"),
    (lambda v: viz.arrays.embedding(NETWORK, X, v), "layer"),
    (lambda v: viz.arrays.feature_maps(NETWORK, X, v), "layer"),
    (lambda v: viz.arrays.grad_cam(NETWORK, X, 0, v), "layer"),
    (lambda v: viz.arrays.integrated_gradients(NETWORK, X, 0, steps=[v]), "steps"),
    (lambda v: viz.arrays.integrated_gradients(NETWORK, X, 0, steps=2**70), "steps"),
    (lambda v: viz.arrays.integrated_gradients(NETWORK, X, 0, baseline=[object(), v]), "baseline"),
    (lambda v: viz.arrays.occlusion(NETWORK, X, 0, window=[v]), "window"),
    (lambda v: viz.arrays.occlusion(NETWORK, X, 0, stride=[v]), "stride"),
    (lambda v: viz.arrays.occlusion(NETWORK, X, 0, value="no number"), "value"),
]


@pytest.mark.parametrize(("call", "name"), CASES)
def test_arrays(call: Callable[[Any], Any], name: str) -> None:
    for wrong in WRONG:
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            call(wrong)


FIGURES: list[tuple[Callable[[], Any], str]] = [
    (lambda: viz.activation_maximisation(NETWORK, SHAPE, 3), "targets"),
    (lambda: viz.activation_maximisation(NETWORK, SHAPE, []), "targets"),
    (lambda: viz.confusion_matrix(LABELS, LABELS, 5), "classes"),
    (lambda: viz.embedding(NETWORK, X, LABELS, classes=["a"]), "classes"),
    (lambda: viz.embedding(NETWORK, X, LABELS, classes=5), "classes"),
    (lambda: viz.feature_maps(NETWORK, X, ["0"]), "layer"),
    (lambda: viz.history(5), "history"),
    (lambda: viz.history({"loss": [1.0, 2.0]}, names=5), "names"),
    (lambda: viz.history({"loss": [1.0, 2.0]}, names=[[1]]), "figures among loss"),
    (lambda: viz.roc(np.ones((2, 2)), LABELS, ["a"]), "classes"),
]


@pytest.mark.parametrize(("call", "name"), FIGURES)
def test_figures(call: Callable[[], Any], name: str) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises((TypeError, ValueError), match=name):
        call()
