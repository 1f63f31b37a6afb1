# SPDX-License-Identifier: Apache-2.0
"""Gradients of scores by inputs: against differences in float64, and by the axioms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import nn
from cnncore.viz import arrays
from reference.differences import numerical_gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 2, 5, 5)).astype(np.float32)


def smooth() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4), nn.Sigmoid(), nn.Linear(4, 3)
    )


def in_float64(model: nn.Sequential, x: Any) -> Any:
    """The network above in float64 numpy."""
    weights = [np.asarray(p, np.float64) for p in model.parameters()]
    rows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    maps = np.tanh(np.einsum("ncyxhw,kchw->nkyx", rows, weights[0]) + weights[1][:, None, None])
    hidden = maps.reshape(len(x), -1) @ weights[2].T + weights[3]
    return (1 / (1 + np.exp(-hidden))) @ weights[4].T + weights[5]


def differences(model: nn.Sequential, x: Any, target: int) -> Any:
    return numerical_gradient(lambda moved: in_float64(model, moved)[:, target], x)


def test_gradient_and_saliency_against_differences() -> None:
    """Differences err by step^2 times a third derivative, 1e-9; float32 sums of 27 and 18 terms by 1e-6."""
    model = smooth()
    expected = differences(model, X, 1)
    found = arrays.gradient(model, X, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arrays.saliency(model, X, 1), np.abs(expected).max(1), rtol=1e-4, atol=1e-6)


def test_saliency_of_features_has_no_channels() -> None:
    model = nn.Linear(3, 2)
    np.testing.assert_array_equal(
        arrays.saliency(model, np.zeros((2, 3)), [0, 1]), np.abs(np.asarray(model.weight))
    )


@pytest.mark.parametrize("baseline", [0.0, X[::-1] * 0.5])
def test_integrated_gradients_are_complete(baseline: Any) -> None:
    """The parts of a row sum to the difference of scores: quadrature of a smooth path errs by less."""
    model = smooth()
    parts = arrays.integrated_gradients(model, X, 2, baseline, steps=20)
    start = np.broadcast_to(np.asarray(baseline, np.float64), X.shape)
    expected = (in_float64(model, X.astype(float)) - in_float64(model, start))[:, 2]
    np.testing.assert_allclose(parts.sum(axis=(1, 2, 3), dtype=float), expected, rtol=1e-4, atol=1e-5)


def test_integrated_gradients_of_polynomials_are_exact() -> None:
    """Two places integrate the gradient of a cubic exactly: of x^3 the integral is x^3 itself."""

    class Cube(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * x * x

    x = np.array([[1.0, -2.0, 3.0]], np.float32)
    parts = arrays.integrated_gradients(Cube(), x, 2, steps=2)
    np.testing.assert_allclose(parts, [[0.0, 0.0, 27.0]], rtol=1e-6)


def test_integrated_gradients_do_not_depend_on_the_batches() -> None:
    model = smooth()
    whole = arrays.integrated_gradients(model, X, [0, 2], steps=7, batch_size=100)
    np.testing.assert_allclose(
        arrays.integrated_gradients(model, X, [0, 2], steps=7, batch_size=3), whole, rtol=1e-4, atol=1e-7
    )


def test_what_is_ignored_gets_nothing() -> None:
    """Sensitivity: an input that the score does not depend on, or that is as the baseline, has part 0."""
    model = nn.Linear(3, 2)
    model.weight.assign([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0]])
    parts = arrays.integrated_gradients(model, [[4.0, 5.0, 0.0]], 1)
    np.testing.assert_allclose(parts, [[4.0, 0.0, 0.0]], rtol=1e-6)


def test_scores_of_one_number_a_row() -> None:
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    parts = arrays.integrated_gradients(model, x, steps=3)
    np.testing.assert_allclose(parts, x * np.asarray(model[0].weight), rtol=1e-5)


def test_inputs_that_do_not_go() -> None:
    with pytest.raises(TypeError, match="expected an input of floats, got int64"):
        arrays.gradient(nn.Embedding(4, 2), np.zeros((1, 3), np.int64))
    with pytest.raises(ValueError, match=r"broadcasts to x \(2, 2, 5, 5\), got shape \(4,\)"):
        arrays.integrated_gradients(smooth(), X, 1, baseline=np.ones(4))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        arrays.integrated_gradients(smooth(), X, 1, steps=0)
