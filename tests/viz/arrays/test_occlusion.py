# SPDX-License-Identifier: Apache-2.0
"""Occlusion is exact on a linear model."""

from __future__ import annotations

import numpy as np
import pytest

from cnncore import nn
from cnncore.viz import arrays

RNG = np.random.default_rng(0)
X = RNG.integers(-3, 4, (2, 2, 5, 6)).astype(np.float32)


def linear() -> tuple[nn.Module, np.ndarray]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3, bias=False))
    weight = RNG.integers(-2, 3, (3, 60)).astype(np.float32)
    model[1].weight.assign(weight)
    return model, weight.reshape(3, 2, 5, 6)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_single_places(value: float) -> None:
    model, weight = linear()
    expected = ((X - value) * weight[1]).sum(axis=1)
    np.testing.assert_array_equal(arrays.occlusion(model, X, 1, window=1, value=value), expected)


def test_windows_are_averaged_where_they_overlap() -> None:
    model, weight = linear()
    parts = (X[:, :, :, :] * weight[2]).sum(axis=1)
    total, times = np.zeros(parts.shape), np.zeros(parts.shape[1:])
    for top in (0, 2, 3):  # stride 2, and the last one at the border
        for left in (0, 3, 4):  # stride 3, likewise
            place = (slice(None), slice(top, top + 2), slice(left, left + 2))
            total[place] += parts[place].sum(axis=(1, 2), keepdims=True)
            times[place[1:]] += 1
    found = arrays.occlusion(model, X, 2, window=2, stride=(2, 3), batch_size=5)
    np.testing.assert_allclose(found, total / np.maximum(times, 1), rtol=1e-6)


def test_targets_of_each_row() -> None:
    model, weight = linear()
    found = arrays.occlusion(model, X, [2, 0], window=1)
    np.testing.assert_array_equal(found, (X * weight[[2, 0]]).sum(axis=1))


def test_the_input_is_not_written_to() -> None:
    model, _ = linear()
    before = X.copy()
    X.setflags(write=False)
    arrays.occlusion(model, X, 1)
    np.testing.assert_array_equal(X, before)


def test_windows_that_do_not_fit() -> None:
    model, _ = linear()
    with pytest.raises(ValueError, match=r"within the input's \(5, 6\), got \(6, 6\)"):
        arrays.occlusion(model, X, 1, window=6)
    with pytest.raises(ValueError, match="expected stride as an integer from 1"):
        arrays.occlusion(model, X, 1, stride=0)
    with pytest.raises(ValueError, match="one for each of 2 axes"):
        arrays.occlusion(model, X, 1, window=(1, 2, 3))
