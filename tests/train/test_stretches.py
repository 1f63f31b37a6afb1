# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cnncore.train.batches import make_batches
from cnncore.train.stretches import Stretches, split_rows

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def rows(batches: Iterator[Any]) -> list[list[int]]:
    """Targets of each batch."""
    return [batch.y.tolist() for batch in batches]


class Pairs:
    """A dataset that is none of ours."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return X[index], int(Y[index])


FORMS = {"tuple": (X, Y), "any dataset": Pairs()}


@pytest.mark.parametrize("form", ["tuple", "any dataset", "endless"])
def test_epochs_of_so_many_steps_go_on_where_the_last_ended(form: str) -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            for i in range(10**6):
                chosen = np.arange(i, i + 3) % 10
                yield X[chosen], Y[chosen]

    def make() -> Stretches:
        return Stretches(make_batches(FORMS.get(form, Endless()), 4, True, 5), 4, 4)

    one = make()
    epochs = [rows(one.epoch(number)) for number in range(4)]
    assert all(len(epoch) == 4 for epoch in epochs)
    if form == "tuple":
        passes = [b for number in range(6) for b in rows(make_batches((X, Y), 4, True, 5).epoch(number))]
        assert [batch for epoch in epochs for batch in epoch] == passes[:16]
    for number, start in [(2, 0), (1, 3), (3, 2), (0, 4)]:
        assert rows(make().epoch(number, start)) == epochs[number][start:]


def test_a_generator_goes_on_and_ends_with_a_message() -> None:
    def generate() -> Iterator[Any]:
        for i in range(5):
            yield X[i : i + 2], Y[i : i + 2]

    batches = Stretches(make_batches(generate(), 1, True, 0), 2, 1)
    assert rows(batches.epoch(0)) == [[0, 1], [1, 2]]
    assert rows(batches.epoch(1)) == [[2, 3], [3, 4]]
    with pytest.raises(ValueError, match="the data ended in step 2 of 2 of an epoch"):
        rows(batches.epoch(2))


def test_the_last_rows_are_split_off() -> None:
    train, last = split_rows(make_batches((X, Y, Y / 10), 4, True, 5), 0.25, False)
    assert (train.rows(), last.rows()) == (7, 3)
    assert last.y.tolist() == [7, 8, 9]
    assert train.weight is not None
    labels = Y // 5
    with pytest.raises(ValueError, match="takes the last rows, and class 1 occurs only there: mix the rows"):
        split_rows(make_batches((X, labels), 4, True, 5), 0.5, True)
    split_rows(make_batches((X, labels), 4, True, 5), 0.5, False)
    for share, message in [(1.0, "between 0 and 1"), (0.01, None), (0.999, "leaves none on one side")]:
        if message is not None:
            with pytest.raises(ValueError, match=message):
                split_rows(make_batches((X, Y), 4, True, 5), share, False)
    with pytest.raises(TypeError, match="validation_split goes with arrays"):
        split_rows(make_batches([(X, Y)], 4, True, 5), 0.5, False)
