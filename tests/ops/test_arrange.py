# SPDX-License-Identifier: Apache-2.0
"""Errors, integers and methods of the operations that arrange elements."""

from typing import Any

import numpy as np
import pytest

from cnncore import nn, ops

X = np.arange(6).reshape(2, 3)


def test_integers_stay_integers():
    for y in (ops.stack([X, X]), ops.flip(X, 0), ops.roll(X, 1), ops.repeat(X, (2, 2)), ops.split(X, 1)[0]):
        assert y.dtype == np.int64


def test_methods_take_numbers_or_a_tuple():
    class Model(nn.Module):
        def forward(self, x):
            pairs = [
                (x.expand(4, 2, 3), x.expand((4, 2, 3))),
                (x.repeat(2, 1), x.repeat((2, 1))),
                (x.flip(0, 1), x.flip((0, 1))),
                (x.tile(2), x.tile((2,))),
            ]
            halves = x.split(2, 1), x.chunk(2, 1), x.unbind(0)
            return pairs, halves, x.unsqueeze(0).squeeze(0), x.swapaxes(0, 1), x.movedim(0, 1), x.roll(1, 1)

    pairs, (split, chunk, rows), same, turned, moved, rolled = Model()(X.astype(np.float32))
    for a, b in pairs:
        assert np.array_equal(a, b)
    assert pairs[2][0].tolist() == [[5, 4, 3], [2, 1, 0]]
    assert [part.tolist() for part in split] == [part.tolist() for part in chunk]
    assert [row.tolist() for row in rows] == X.tolist()
    assert np.array_equal(same, X)
    assert np.array_equal(turned, X.T)
    assert np.array_equal(moved, X.T)
    assert rolled.tolist() == [[2, 0, 1], [5, 3, 4]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.stack([X, X.T]), r"\[stack\] expected tensors of one shape"),
        (lambda: ops.stack([]), r"\[stack\] expected tensors of one shape"),
        (lambda: ops.split(X, [1, 1], 1), r"\[split\] expected sections that add up to 3, got \(1, 1\)"),
        (lambda: ops.split(X, 0), "expected split_size_or_sections of at least 1, got 0"),
        (lambda: ops.chunk(X, 0), "expected chunks of at least 1, got 0"),
        (lambda: ops.unsqueeze(X, 4), "expected an axis from -3 to 2, got 4"),
        (lambda: ops.movedim(X, (0, 0), (0, 1)), r"\[movedim\] expected different axes and as many places"),
        (lambda: ops.movedim(X, 0, (0, 1)), r"\[movedim\] expected different axes and as many places"),
        (lambda: ops.expand(X, (3, 3)), r"\[expand\] \(2, 3\) cannot be repeated to \(3, 3\)"),
        (lambda: ops.expand(X, (-1, 2, 3)), r"cannot be repeated to \(-1, 2, 3\)"),
        (lambda: ops.expand(X, (3,)), r"cannot be repeated to \(3,\)"),
        (lambda: ops.expand(X, (2, 0)), r"cannot be repeated to \(2, 0\)"),
        (lambda: ops.repeat(X, (2,)), r"\[repeat\] expected at least 2 numbers for \(2, 3\), got \(2,\)"),
        (lambda: ops.flip(X, (1, -1)), "expected different axes"),
        (lambda: ops.roll(X, (1, 2), 0), "expected shifts to be an int or 1 ints"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pieces_of_nothing() -> None:
    """As in PyTorch: an axis of no elements is one piece, `chunks` of them, or sections of no elements."""
    x = np.ones((0, 2), np.float32)

    def shapes(pieces: Any) -> list[tuple[int, ...]]:
        return [piece.shape for piece in pieces]

    assert shapes(ops.split(x, 2)) == shapes(ops.split(x, 0)) == [(0, 2)]
    assert shapes(ops.chunk(x, 3)) == [(0, 2)] * 3
    assert shapes(ops.split(x, [])) == []
    assert shapes(ops.split(np.ones((3, 2)), [0, 3, 0])) == [(0, 2), (3, 2), (0, 2)]
    for size in (0, [-1, 1]):
        with pytest.raises(ValueError, match="split_size_or_sections of at least"):
            ops.split(np.ones(2), size)
