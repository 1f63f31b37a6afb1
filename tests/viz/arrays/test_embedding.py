# SPDX-License-Identifier: Apache-2.0
"""Principal components."""

from __future__ import annotations

import numpy as np
import pytest

from cnncore import nn
from cnncore.viz import arrays

RNG = np.random.default_rng(0)


def test_components_are_eigenvectors_of_the_covariance() -> None:
    features = RNG.normal(size=(30, 5)) * [5.0, 3.0, 1.0, 0.5, 0.1] + 2.0
    found = arrays.pca(features, 3)
    np.testing.assert_allclose(found.mean, features.mean(axis=0))
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(3), atol=1e-12)
    covariance = np.cov(features.T)
    variances = found.explained * np.trace(covariance)
    np.testing.assert_allclose(covariance @ found.components.T, variances * found.components.T, atol=1e-10)
    np.testing.assert_allclose(found.coordinates.var(axis=0, ddof=1), variances)
    assert (np.diff(variances) < 0).all()


def test_signs_are_fixed() -> None:
    features = RNG.normal(size=(10, 4))
    components = arrays.pca(features, 4).components
    assert (components[range(4), np.abs(components).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(arrays.pca(features[::-1], 4).components, components, atol=1e-12)


def test_equal_rows_explain_nothing() -> None:
    assert arrays.pca(np.ones((3, 2))).explained.tolist() == [0.0, 0.0]


def test_features_of_a_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    x = RNG.normal(size=(7, 4)).astype(np.float32)
    expected = arrays.pca(arrays.feature_maps(model, x, "1"))
    np.testing.assert_allclose(
        arrays.embedding(model, x, batch_size=3).coordinates, expected.coordinates, atol=1e-6
    )
    other = arrays.embedding(model, x, "0", components=3)
    assert other.coordinates.shape == (7, 3)


def test_what_cannot_be_projected() -> None:
    with pytest.raises(ValueError, match="from 1 to 2 components, the rows or features, got 3"):
        arrays.pca(np.ones((2, 5)), 3)
    with pytest.raises(ValueError, match="finite"):
        arrays.pca(np.array([[0.0, np.inf], [1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"\(rows, \.\.\.\), got \(3,\)"):
        arrays.pca(np.ones(3))
