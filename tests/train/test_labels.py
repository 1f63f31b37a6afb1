# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train.labels import class_weights, encode, weights_of_rows


@given(st.lists(st.sampled_from(["dog", "cat", "Ärger", "dogs", ""]), min_size=1, max_size=20))
def test_texts_become_numbers_of_their_names(labels: list[str]) -> None:
    for y in (labels, tuple(labels), np.array(labels), np.array(labels, object)):
        numbers, classes = encode(y)
        assert classes == tuple(sorted(set(labels)))
        assert [classes[number] for number in numbers] == labels
        assert numbers.dtype == np.int64
    known = ("dogs", "cat", "", "dog", "Ärger")
    numbers, classes = encode(labels, known)
    assert classes == known
    assert [known[number] for number in numbers] == labels


def test_categories_keep_their_order() -> None:
    categorical = SimpleNamespace(categories=["small", "large"], codes=np.array([1, 0, 1], np.int8))
    for y in (categorical, SimpleNamespace(cat=categorical)):
        numbers, classes = encode(y)
        assert (numbers.tolist(), classes) == ([1, 0, 1], ("small", "large"))
        assert encode(y, ("large", "small")).numbers.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="a label in each row, got 1 rows without one"):
        encode(SimpleNamespace(categories=["a"], codes=np.array([0, -1])))


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(["b", "a", "b"])
    for y in (series, series.astype("category"), series.astype("string")):
        numbers, classes = encode(y)
        assert (list(numbers), classes) == ([1, 0, 1], ("a", "b"))


@pytest.mark.parametrize(
    "y", [np.arange(3), [0, 1], np.zeros((2, 2)), [np.zeros(2), np.ones(2)], [[1], [2, 3]], []]
)
def test_other_targets_stay_what_they_are(y: Any) -> None:
    assert encode(y).numbers is y
    assert encode(y).classes is None


def test_labels_that_are_none() -> None:
    with pytest.raises(
        ValueError, match="among cat, dog, got 'cow'; the classes are those of the first training"
    ):
        encode(["cat", "cow"], ("cat", "dog"))
    with pytest.raises(ValueError, match="a text as label in each row, got 1 rows with something else"):
        encode(np.array(["cat", None], object))


def test_weights_of_classes() -> None:
    names = ("cat", "dog", "cow")
    assert class_weights({0: 2.0}, None, None).tolist() == [2.0]
    assert class_weights({"cow": 3, 1: 0.5}, None, names).tolist() == [1.0, 0.5, 3.0]
    assert class_weights([1, 2], None, None).tolist() == [1.0, 2.0]
    labels = np.array([0, 0, 0, 2])
    balanced = class_weights("balanced", labels, names)
    assert balanced.tolist() == [np.float32(4 / 6), 0.0, 2.0]
    assert balanced[labels].mean() == pytest.approx(1.0)
    for weights, y, message in [
        ("equal", labels, "a dict, a sequence or 'balanced', got 'equal'"),
        ("balanced", None, "needs all class numbers"),
        ("balanced", np.zeros((2, 2)), "needs all class numbers"),
        ({"cow": 1}, labels, "class_weight: expected class numbers, got 'cow'"),
        ({-1: 1}, labels, "class_weight: expected class numbers or names, got -1"),
        ([1, -1], labels, "finite numbers of at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            class_weights(weights, y, None)
    with pytest.raises(TypeError, match="got 5"):
        class_weights(5, labels, None)


def test_weights_of_rows() -> None:
    weights = np.array([1.0, 3.0], np.float32)
    assert weights_of_rows(weights, np.array([1, 0, 5]), None).tolist() == [3.0, 1.0, 1.0]
    assert weights_of_rows(weights, np.array([1, 0]), np.array([0.5, 2.0])).tolist() == [1.5, 2.0]
    assert weights_of_rows(weights, np.eye(2)[[1, 0]], None).tolist() == [3.0, 1.0]
    masks = np.array([[[0, 1]], [[1, 1]]])
    assert weights_of_rows(weights, masks, np.array([1.0, 2.0])).tolist() == [[[1, 3]], [[6, 6]]]
    for y in (np.zeros(3), np.zeros((3, 2), np.int64), {"a": np.arange(3)}):
        with pytest.raises(ValueError, match="class_weight needs class numbers"):
            weights_of_rows(weights, y, None)
