# SPDX-License-Identifier: Apache-2.0
"""Classes as weights of a model's output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import nn
from cnncore.viz.arrays.targets import scores, target_weights

X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]], np.float32)


def identity() -> nn.Module:
    return nn.Sequential(nn.Identity())


@pytest.mark.parametrize(
    ("target", "classes"),
    [(None, [0, 1, 1]), (1, [1, 1, 1]), ([1, 0, 1], [1, 0, 1]), (np.int64(0), [0, 0, 0])],
)
def test_class_numbers(target: Any, classes: list[int]) -> None:
    weights = target_weights(identity(), X, target)
    np.testing.assert_array_equal(weights, np.eye(2)[classes])
    np.testing.assert_array_equal(scores(X, weights), X[range(3), classes])


def test_weights_of_ones_own() -> None:
    weights = np.array([[1.0, -1.0]] * 3)
    np.testing.assert_array_equal(target_weights(identity(), X, weights), weights)
    assert scores(X, weights).tolist() == [1.0, -1.0, -1.0]


def test_of_pixels_the_commonest_class() -> None:
    x = np.zeros((1, 3, 2, 2), np.float32)
    x[0, 2] = 1.0
    weights = target_weights(identity(), x, None)
    assert weights.sum(axis=(2, 3)).tolist() == [[0.0, 0.0, 4.0]]


def test_one_number_for_a_row() -> None:
    model = nn.Sequential(nn.Flatten(0))
    x = np.ones((3, 1), np.float32)
    assert target_weights(model, x, None).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="expected target None or 0, got 1"):
        target_weights(model, x, 1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, "a target from 0 to 1, the model's classes, got 2"),
        (-1, "from 0 to 1"),
        ([0, 1], "one for each of 3 rows"),
        (0.5, "as a class number"),
        (np.ones((3, 3)), r"weights of the output, \(3, 2\), got \(3, 3\)"),
    ],
)
def test_targets_that_the_model_has_not(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target_weights(identity(), X, target)
