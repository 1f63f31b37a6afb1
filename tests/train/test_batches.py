# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data
from cnncore.train.batches import Rows, bounds, epoch_order, make_batches

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def rows(batches: Iterator[Any]) -> list[list[int]]:
    """Targets of each batch; every x must belong to its y."""
    found = []
    for x, y, weight in batches:
        assert weight is None
        np.testing.assert_array_equal(x, X[y])
        found.append(y.tolist())
    return found


@given(st.integers(1, 300), st.integers(1, 64))
def test_bounds_cover_every_row_once_and_leave_no_single_row(count: int, size: int) -> None:
    found = bounds(count, size)
    assert [begin for begin, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == count
    lengths = [end - begin for begin, end in found]
    assert all(length == size for length in lengths[:-1])
    assert lengths[-1] <= size + 1
    assert size == 1 or count == 1 or lengths[-1] > 1


class Pairs:
    """A dataset that is none of ours."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return X[index], int(Y[index])


class Own(data.Dataset):
    """A dataset that overrides what it may."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return X[index], int(Y[index])


FORMS = {
    "tuple": (X, Y),
    "list": [X, Y],
    "Dataset": data.Dataset(X, Y),
    "own Dataset": Own(),
    "any dataset": Pairs(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_give_the_same_batches(form: str) -> None:
    batches = make_batches(FORMS[form], 4, True, 5)
    assert batches.rows() == 10
    order = epoch_order(10, 5, 3).tolist()
    assert rows(batches.epoch(3)) == [order[:4], order[4:8], order[8:]]
    assert rows(make_batches(FORMS[form], 3, False, 5).epoch(1)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_order_depends_on_seed_and_epoch_only() -> None:
    orders = {(seed, epoch): tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert orders[1, 2] == tuple(epoch_order(50, 1, 2))
    loader = data.DataLoader((X, Y), 10, shuffle=True, seed=7)
    loader.epoch = 2
    assert next(iter(loader))[1].tolist() == epoch_order(10, 7, 2).tolist()


def test_iterables_of_batches() -> None:
    ready = [(X[:3], Y[:3]), [X[3:], Y[3:]]]
    batches = make_batches(ready, 99, True, 0)
    assert batches.rows() is None
    assert rows(batches.epoch(0)) == rows(batches.epoch(1)) == [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]


def test_loaders_are_told_the_epoch() -> None:
    loader = data.DataLoader((X, Y), 4, shuffle=True, seed=1)
    batches = make_batches(loader, 99, True, 0)
    assert batches.rows() == 10
    third = rows(batches.epoch(2))
    assert third == rows(batches.epoch(2))
    assert third != rows(batches.epoch(1))
    assert make_batches(data.DataLoader((X, Y), 4, drop_last=True), 1, False, 0).rows() is None


def test_an_exhausted_generator_is_explained() -> None:
    batches = make_batches(((X[i : i + 5], Y[i : i + 5]) for i in (0, 5)), 1, False, 0)
    assert len(rows(batches.epoch(0))) == 2
    with pytest.raises(ValueError, match="a generator can be used for one epoch only"):
        list(batches.epoch(1))


def test_data_in_memory_are_not_copied_when_in_order() -> None:
    for x, y, _ in make_batches((X, Y), 4, False, 0).epoch(0):
        assert np.shares_memory(x, X)
        assert np.shares_memory(y, Y)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ((X, Y[:9]), ValueError, r"as many rows in x as in y, got \(10, 2\) and \(9,\)"),
        ((X[:0], Y[:0]), ValueError, r"x with at least one row, got shape \(0, 2\)"),
        ((X.astype(complex), Y), TypeError, "array of real numbers"),
        ((np.array(["a", "b"]), Y[:2]), TypeError, "array of real numbers"),
        (X, TypeError, r"expected \(x, y\), got one array"),
        ([], ValueError, "at least one batch, got none"),
        (3, TypeError, r"expected \(x, y\) arrays, a dataset or an iterable of batches, got int"),
        ({"x": X}, TypeError, "got dict"),
        (data.Dataset(X[:0], Y[:0]), ValueError, "at least one row"),
    ],
)
def test_bad_data(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_batches(value, 4, True, 0)


@pytest.mark.parametrize("batch", [(X,), (X, Y, Y, Y), X, {"x": X}])
def test_bad_batches(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"expected batches \(x, y\) or \(x, y, weights\), got a"):
        list(make_batches([batch] * 4, 4, True, 0).epoch(0))


def test_weights_of_rows_go_with_their_rows() -> None:
    weights = Y / 10
    for form in ((X, Y, weights), data.Dataset(X, Y, weights)):
        found = list(make_batches(form, 4, True, 5).epoch(1))
        assert all(np.array_equal(batch.weight, np.float32(batch.y / 10)) for batch in found)
    found = list(make_batches((X, Y), 4, True, 5, weight=weights[:, None]).epoch(1))
    assert all(np.array_equal(batch.weight, np.float32(batch.y / 10)) for batch in found)
    (batch,) = make_batches([(X, Y, weights)] * 1, 4, True, 5).epoch(0)
    assert np.array_equal(batch.weight, np.float32(weights))
    for wrong, message in [
        (weights[:9], r"a weight for each of 10 rows, got shape \(9,\)"),
        (-weights, "finite and at least 0"),
        (np.full(10, np.nan), "finite and at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_batches((X, Y, wrong), 4, True, 5)
    with pytest.raises(TypeError, match="weights of rows once"):
        make_batches((X, Y, weights), 4, True, 5, weight=weights)
    with pytest.raises(TypeError, match="sample_weight goes with arrays"):
        make_batches([(X, Y)], 4, True, 5, weight=weights)


@pytest.mark.parametrize("shuffle", [True, False])
def test_several_inputs_and_targets_keep_their_rows(shuffle: bool) -> None:
    given = Rows({"a": X, "b": X[:, 0]}, (Y, {"c": Y * 2}))
    batches = make_batches(given, 4, shuffle, 5)
    assert (batches.rows(), batches.count()) == (10, 3)
    seen = []
    for x, y, _ in batches.epoch(2):
        np.testing.assert_array_equal(x["a"], X[y[0]])
        np.testing.assert_array_equal(x["b"], X[y[0], 0])
        np.testing.assert_array_equal(y[1]["c"], y[0] * 2)
        seen += y[0].tolist()
    assert sorted(seen) == list(range(10))
    assert (seen == list(range(10))) is not shuffle
    with pytest.raises(ValueError, match=r"as many rows in each of x, got {'a': 10, 'b': 9}"):
        make_batches(Rows({"a": X, "b": X[:9]}, Y), 4, True, 0)


@pytest.mark.parametrize("form", [*FORMS, "list of batches", "loader"])
@given(start=st.integers(0, 3))
def test_an_epoch_from_a_batch_on(form: str, start: int) -> None:
    whole = {
        **FORMS,
        "list of batches": [(X[:4], Y[:4]), (X[4:8], Y[4:8]), (X[8:], Y[8:])],
        "loader": data.DataLoader((X, Y), 4, shuffle=True, seed=1),
    }[form]
    batches = make_batches(whole, 4, True, 5)
    assert rows(batches.epoch(3, start)) == rows(batches.epoch(3))[start:]
