# SPDX-License-Identifier: Apache-2.0
"""`nn.utils.rnn`: sequences of different lengths, as torch's and inside traced functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.nn.utils import rnn

ROWS = [np.arange(3.0, dtype=np.float32), np.arange(10.0, 15.0, dtype=np.float32), np.float32([7.0])]
PADDED = np.array([[0, 1, 2, 0, 0], [10, 11, 12, 13, 14], [7, 0, 0, 0, 0]], np.float32)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_pad_sequence(batch_first: bool, side: str) -> None:
    found = rnn.pad_sequence(ROWS, batch_first, -1.0, side)
    rows = found if batch_first else found.T
    for row, values in zip(rows, ROWS, strict=True):
        ends = (0, 5 - len(values)) if side == "right" else (5 - len(values), 0)
        assert row.tolist() == np.pad(values, ends, constant_values=-1.0).tolist()
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.rnn.pad_sequence([torch.tensor(r) for r in ROWS], batch_first, -1.0, side)
    assert np.array_equal(found, theirs.numpy())


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_data_is_that_of_torch(enforce_sorted: bool) -> None:
    torch = pytest.importorskip("torch")
    rows = sorted(ROWS, key=len, reverse=True) if enforce_sorted else ROWS
    ours = rnn.pack_sequence(rows, enforce_sorted)
    theirs = torch.nn.utils.rnn.pack_sequence([torch.tensor(r) for r in rows], enforce_sorted)
    assert np.array_equal(ours.data, theirs.data.numpy())
    assert np.array_equal(ours.batch_sizes, theirs.batch_sizes.numpy())
    if not enforce_sorted:
        assert np.array_equal(ours.sorted_indices, theirs.sorted_indices.numpy())
        assert np.array_equal(ours.unsorted_indices, theirs.unsorted_indices.numpy())


def test_packed_data_step_by_step() -> None:
    packed = rnn.pack_sequence(ROWS, enforce_sorted=False)
    assert packed.data.tolist() == [10, 0, 7, 11, 1, 12, 2, 13, 14]
    assert packed.batch_sizes.tolist() == [3, 2, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    assert [row.tolist() for row in rnn.unpack_sequence(packed)] == [row.tolist() for row in ROWS]


@pytest.mark.parametrize("total", [None, 7])
@pytest.mark.parametrize("value", [0.0, -2.0])
@pytest.mark.parametrize("batch_first", [True, False])
def test_there_and_back(batch_first: bool, value: float, total: int | None) -> None:
    """Arrays, and inside a traced function."""
    x = np.full((3, 6), np.nan, np.float32)  # one more than the longest
    x[:, :5] = np.where(PADDED == 0, np.nan, PADDED)
    x[0, 0] = 0
    lengths = np.array([3, 5, 1])
    wide = np.full((3, total or 5), value, np.float32)
    for row, values in zip(wide, ROWS, strict=True):
        row[: len(values)] = values

    def through(x: Any, lengths: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
        return rnn.pad_packed_sequence(packed, batch_first, value, total)

    given = x if batch_first else x.T
    padded, counts = through(given, lengths)
    assert np.array_equal(padded if batch_first else padded.T, wide)
    assert counts.tolist() == lengths.tolist()

    class Through(nn.Module):
        def forward(self, x: Any, lengths: Any) -> Any:
            return through(x, lengths)

    padded, counts = Through()(given, lengths)
    longest = np.full((3, total or 6), value, np.float32)
    longest[:, : wide.shape[1]] = wide
    assert np.array_equal(padded if batch_first else padded.T, longest)
    assert counts.tolist() == lengths.tolist()


def test_gradients_reach_the_steps_of_the_sequences_alone() -> None:
    def loss(x: Any, lengths: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return ops.sum(rnn.pad_packed_sequence(packed)[0] * 3.0)

    found = cc.grad(loss, 0)(PADDED, np.array([3, 5, 1]))
    assert found.tolist() == [[3, 3, 3, 0, 0], [3] * 5, [3, 0, 0, 0, 0]]


def test_a_packed_sequence_may_be_an_argument_and_a_result() -> None:
    layer = nn.GRU(2, 3)
    packed = rnn.pack_padded_sequence(np.ones((4, 2, 2), np.float32), [4, 2])
    output, last = layer(packed)
    assert isinstance(output, rnn.PackedSequence)
    whole, ends = layer(np.ones((4, 2, 2), np.float32))
    assert np.array_equal(output.padded[:, 0], whole[:, 0])
    assert np.array_equal(output.padded[:2, 1], whole[:2, 1])
    assert np.array_equal(last[0, 1], whole[1, 1])
    assert np.array_equal(last[0, 0], ends[0, 0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rnn.pack_padded_sequence(PADDED, [6, 1, 1], True), ValueError, "lengths from 1 to 5"),
        (lambda: rnn.pack_padded_sequence(PADDED, [5, 1, 0], True), ValueError, "lengths from 1 to 5"),
        (lambda: rnn.pack_padded_sequence(PADDED, [1, 5, 1], True), ValueError, "descending order"),
        (lambda: rnn.pack_padded_sequence(PADDED, [5, 1], True), ValueError, r"integer lengths \(3,\)"),
        (lambda: rnn.pack_padded_sequence(PADDED, [5.0, 1.0, 1.0], True), ValueError, "integer lengths"),
        (lambda: rnn.pack_padded_sequence(ROWS[0], [3]), ValueError, r"expected input \(time, batch"),
        (lambda: rnn.pack_sequence(ROWS), ValueError, "descending order"),
        (lambda: rnn.pad_sequence([]), ValueError, "at least one sequence"),
        (lambda: rnn.pad_sequence([["a"]]), TypeError, r"\[pad_sequence\] expected an array of real numbers"),
        (lambda: rnn.pad_sequence([PADDED, ROWS[0]]), ValueError, "the same axes behind the first"),
        (lambda: rnn.pad_sequence(ROWS, padding_side="top"), ValueError, "'right', 'left'"),
        (lambda: rnn.pad_packed_sequence(PADDED), TypeError, "expected a PackedSequence, got ndarray"),
        (
            lambda: rnn.pad_packed_sequence(rnn.pack_sequence(ROWS, False), total_length=4),
            ValueError,
            "total_length of at least 5, got 4",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_data_is_not_known_while_a_function_is_traced() -> None:
    class Data(nn.Module):
        def forward(self, x: Any, lengths: Any) -> Any:
            return rnn.pack_padded_sequence(x, lengths, True, False).data

    with pytest.raises(TypeError, match="while a function is being traced: use padded and lengths"):
        Data()(PADDED, np.array([3, 5, 1]))


def test_rows_of_one_length_keep_their_order() -> None:
    lengths = np.array([3, 5] * 20 + [1])
    packed = rnn.PackedSequence(np.zeros((5, 41), np.float32), lengths)
    expected = [*range(1, 40, 2), *range(0, 40, 2), 40]
    assert packed.sorted_indices.tolist() == expected
    assert packed.unsorted_indices[expected].tolist() == list(range(41))


def test_sequences_may_be_lists_parameters_and_tensors() -> None:
    parameter = nn.Parameter(ROWS[0])
    found = rnn.pad_sequence([parameter, [10.0, 11.0, 12.0, 13.0, 14.0], [7.0]], True)
    assert found.tolist() == PADDED.tolist()
    function = cc.compile(lambda x: rnn.pad_sequence([x, [5.0]], True), (3,))
    assert function(ROWS[0]).tolist() == [[0.0, 1.0, 2.0], [5.0, 0.0, 0.0]]
