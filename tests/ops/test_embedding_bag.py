# SPDX-License-Identifier: Apache-2.0
"""Bags of rows: settings and numbers that mean nothing, empty bags, the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_bags_of_nothing_are_zeros() -> None:
    for mode in ("sum", "mean", "max"):
        found = ops.embedding_bag([1], TABLE - 20, [0, 1, 1], mode=mode, padding_idx=1)
        assert found.tolist() == [[0.0] * 3] * 3
        gradient = cc.grad(lambda t, m=mode: ops.embedding_bag([1], t, [0, 1], mode=m, padding_idx=-3).sum())(
            TABLE
        )
        assert not gradient.any()
    none = ops.embedding_bag(np.zeros(0, int), TABLE, np.array([0, 0]), mode="sum")
    assert none.tolist() == [[0.0] * 3] * 2
    assert ops.embedding_bag(np.zeros((0, 2), int), TABLE).shape == (0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": [4], "offsets": [0]}, "expected indices from 0 to 3"),
        ({"input": [1, 2], "offsets": [1]}, "expected a first offset from 0 to 0"),
        ({"input": [1, 2], "offsets": [0, 3]}, "expected offsets from 0 to 2"),
        ({"input": [1, 2], "offsets": [0, 2, 1]}, "expected offsets that rise, 1 of them"),
        (
            {"input": [1, 2], "offsets": [0, 1], "include_last_offset": True},
            "expected a last offset from 2 to 2",
        ),
        ({"input": [1, 2]}, r"expected input \(bags, length\) without offsets or \(count,\) with them"),
        ({"input": [[1, 2]], "offsets": [0]}, r"expected input \(bags, length\) without offsets"),
        ({"input": [1], "offsets": [[0]]}, r"expected offsets \(bags,\)"),
        ({"input": [[1, 2]], "mode": "median"}, "expected mode 'sum', 'mean' or 'max'"),
        ({"input": [[1, 2]], "per_sample_weights": [[1.0, 2.0]]}, "with mode 'sum'"),
        ({"input": [[1, 2]], "mode": "sum", "per_sample_weights": [1.0]}, r"per_sample_weights \(1, 2\)"),
        ({"input": [[1, 2]], "padding_idx": 4}, "expected padding_idx from -4 to 3, got 4"),
        ({"input": [[1, 2]], "max_norm": 1.0}, "max_norm is not available"),
        ({"input": [[1, 2]], "sparse": True}, "sparse is not available"),
    ],
)
def test_errors(settings: Any, message: str) -> None:
    arrays = {k: np.array(v) if k in ("input", "offsets") else v for k, v in settings.items()}
    with pytest.raises(ValueError, match=message):
        ops.embedding_bag(weight=TABLE, **arrays)


def test_numbers_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match="expected integer indices"):
        ops.embedding_bag([[0.5]], TABLE)
    with pytest.raises(TypeError, match="expected integer offsets"):
        ops.embedding_bag([1], TABLE, [0.0])


def test_the_layer_learns_its_table() -> None:
    layer = nn.EmbeddingBag(6, 3, mode="mean", padding_idx=-1)
    assert list(layer.state_dict()) == ["weight"]
    assert not layer.weight[5].any()
    target = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    numbers, offsets = np.array([0, 1, 2, 5, 3, 4]), np.array([0, 3])
    step = cc.train_step(
        lambda i, o, t: ((layer(i, o) - t) ** 2).mean(), cc.optim.Adam(layer.parameters(), lr=0.1)
    )
    losses = [float(step(numbers, offsets, target)) for _ in range(100)]
    assert losses[-1] < 0.01 * losses[0]
    assert not layer.weight[5].any()
    frozen = nn.EmbeddingBag.from_pretrained(TABLE, mode="max", include_last_offset=True)
    assert frozen([0, 3, 1], [0, 2, 3]).tolist() == [[9.0, 10.0, 11.0], [3.0, 4.0, 5.0]]
    assert not frozen.weight.requires_grad
    with pytest.raises(ValueError, match="expected mode"):
        nn.EmbeddingBag(3, 2, mode="min")
    with pytest.raises(ValueError, match="gradients are dense sums"):
        nn.EmbeddingBag(3, 2, sparse=True)


@pytest.mark.parametrize("features", [5, 64, 129, 256, 300, 528])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_rows_of_any_width_are_exact(features: int, mode: str) -> None:
    rng = np.random.default_rng(features)
    table = rng.integers(-50, 50, (70, features)).astype(np.float32)
    indices = rng.integers(0, 70, 400)
    offsets = np.array([0, 1, 1, 9, 200, 328])  # bags of 1, 0, 8, 191, 128 and 72 rows
    found = ops.embedding_bag(indices, table, offsets, mode=mode)
    for bag, part in enumerate(np.split(table[indices], offsets[1:])):
        rows = part if len(part) else np.zeros((1, features), np.float32)
        expected = rows.max(0) if mode == "max" else rows.sum(0)
        if mode == "mean":
            assert np.allclose(found[bag], expected / len(rows), rtol=1e-5, atol=1e-4)
        else:
            assert (found[bag] == expected).all()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(("entries", "features"), [(33000, 256), (3, 200), (97, 250), (40, 16)])
def test_gradients_of_tables_are_exact_sums(mode: str, entries: int, features: int) -> None:
    """Of tables beyond the caches, of few rows, and of rows that are no whole lines; bags are of 4 and 8."""
    rng = np.random.default_rng(0)
    numbers, offsets = rng.integers(0, entries, 1200), np.cumsum([0, *[4, 8] * 99, 4])
    table = rng.permutation(entries * features).reshape(entries, features).astype(np.float32)
    given = rng.integers(-8, 9, (len(offsets), features)).astype(np.float32) * 96
    gradient = cc.grad(lambda t: ops.sum(ops.embedding_bag(numbers, t, offsets, mode=mode) * given))(table)
    wanted = np.zeros((entries, features))
    for bag, rows in enumerate(np.split(numbers, offsets[1:])):
        if mode == "max":
            np.add.at(wanted, (rows[table[rows].argmax(0)], np.arange(features)), given[bag])
        else:
            np.add.at(wanted, rows, given[bag] / (len(rows) if mode == "mean" else 1))
    np.testing.assert_array_equal(gradient, wanted)
