# SPDX-License-Identifier: Apache-2.0
"""Tables of rows: the padding row, gradients that add up, numbers outside the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops


def _gradient(layer: Any, numbers: Any) -> Any:
    gradient = cc.value_and_grad(lambda i: (layer(i) * 2).sum(), list(layer.parameters()))
    return gradient(numbers)[1][0]


def test_gradients_of_one_row_add_up() -> None:
    layer = nn.Embedding(4, 3)
    expected = np.array([[2.0], [0.0], [6.0], [0.0]]) * np.ones(3)
    np.testing.assert_array_equal(_gradient(layer, np.array([[2, 0], [2, 2]])), expected)


def test_no_numbers() -> None:
    layer = nn.Embedding(4, 3)
    assert layer(np.zeros((0, 2), np.int64)).shape == (0, 2, 3)
    np.testing.assert_array_equal(_gradient(layer, np.zeros((0, 2), np.int64)), np.zeros((4, 3)))


def test_padding_row() -> None:
    layer = nn.Embedding(4, 3, padding_idx=-1)
    assert layer.padding_idx == 3
    np.testing.assert_array_equal(layer.weight[3], 0)
    np.testing.assert_array_equal(_gradient(layer, np.array([3, 1, 3])), [[0] * 3, [2] * 3, [0] * 3, [0] * 3])
    step = cc.train_step(lambda i: layer(i).sum(), cc.optim.SGD(layer.parameters(), lr=1.0))
    step(np.array([3, 1]))
    np.testing.assert_array_equal(layer.weight[3], 0)


@pytest.mark.parametrize("numbers", [[4], [-1], [2**40]])
def test_numbers_outside_the_table(numbers: list[int]) -> None:
    layer = nn.Embedding(4, 3)
    with pytest.raises(ValueError, match="indices from 0 to 3, got 1 outside"):
        layer(np.array(numbers))


def test_floats_are_no_numbers_of_rows() -> None:
    with pytest.raises(TypeError, match="expected integer indices, got float32"):
        ops.embedding([1.0], np.eye(2))


@pytest.mark.parametrize(
    "settings", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}, {"padding_idx": 4}]
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        nn.Embedding(4, 3, **settings)
    with pytest.raises(ValueError, match=name):
        ops.embedding([1], np.ones((4, 3)), **settings)


def test_pretrained_tables_are_frozen_unless_asked() -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert not nn.Embedding.from_pretrained(table).weight.requires_grad
    layer = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0)
    assert (layer.weight.requires_grad, layer.padding_idx) == (True, 0)
    np.testing.assert_array_equal(layer.weight, table)
    with pytest.raises(ValueError, match=r"embeddings \(rows, size\), got shape \(3,\)"):
        nn.Embedding.from_pretrained([1, 2, 3])


def test_same_as_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Embedding(7, 4, padding_idx=2), nn.Embedding(7, 4, padding_idx=2)
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.state_dict().items()})
    numbers = np.random.default_rng(0).integers(0, 7, (3, 5))
    result = theirs(torch.from_numpy(numbers))
    np.testing.assert_array_equal(ours(numbers), result.detach().numpy())
    (result * 2).sum().backward()
    np.testing.assert_array_equal(_gradient(ours, numbers), theirs.weight.grad.numpy())
