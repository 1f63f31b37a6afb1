# SPDX-License-Identifier: Apache-2.0
"""`parameter.data` shows the values, takes new ones, and says what to call where it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cnncore import nn


def add_in_place(weight: Any) -> None:
    view = weight.data
    view += 1


@pytest.mark.parametrize(
    "write",
    [
        lambda weight: weight.data.__setitem__(0, 5.0),
        lambda weight: weight.data[:2].__setitem__(0, 5.0),
        lambda weight: weight.data.fill(5.0),
        lambda weight: np.add(weight.data, 1, out=weight.data),
        add_in_place,
    ],
)
def test_writing_says_what_to_call(write: Callable[[Any], None]) -> None:
    weight = nn.Parameter([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"parameter\.assign\(values\)"):
        write(weight)
    assert weight.data.tolist() == [1.0, 2.0, 3.0]
    assert weight.version == nn.Parameter([1.0]).version


def test_items_of_a_parameter_are_not_written() -> None:
    with pytest.raises(TypeError, match=r"then parameter\.assign\(values\)"):
        nn.Parameter([1.0])[0] = 2.0


def test_assigning_is_assign() -> None:
    layer = nn.Linear(2, 1, bias=False)
    assert layer(np.ones((1, 2))).shape == (1, 1)
    layer.weight.data = np.array([[2.0, 3.0]])
    assert layer(np.ones((1, 2))).tolist() == [[5.0]]
    with pytest.raises(ValueError, match=r"expected an array of shape \(1, 2\), got \(3,\)"):
        layer.weight.data = np.ones(3)


def test_copies_and_results_are_ordinary() -> None:
    weight = nn.Parameter([1.0, 2.0, 3.0])
    copy = weight.data.copy()
    copy[0] = 7.0
    copy.fill(8.0)
    copy += 1.0
    assert copy.tolist() == [9.0, 9.0, 9.0]
    assert type(weight.data * 2) is np.ndarray
    assert type(np.sum(weight.data)) is np.float32
    assert type(weight.data.mean(keepdims=True)) is np.ndarray


def test_initial_values_go_through_data() -> None:
    weight = nn.Parameter(np.zeros((3, 3)))
    before = weight.version
    nn.init.normal_(weight.data)
    assert weight.version > before
    assert np.all(weight.numpy() != 0)
    nn.init.eye_(weight.data)
    assert weight.numpy().tolist() == np.eye(3).tolist()


def test_results_of_linear_algebra_are_ordinary() -> None:
    weight = nn.Parameter(np.array([[2.0, 0.0], [1.0, 4.0]]))
    inverse = np.linalg.inv(weight.data)
    assert type(inverse) is np.ndarray
    inverse[0, 0] = 7.0
    assert inverse.tolist() == [[7.0, 0.0], [-0.125, 0.25]]
    assert weight.tolist() == [[2.0, 0.0], [1.0, 4.0]]
