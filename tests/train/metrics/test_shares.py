# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train.metrics import accuracy, multilabel_accuracy, top5_accuracy, top_k_accuracy


def test_accuracy_of_classes_pixels_and_yes_or_no() -> None:
    scores = np.array([[0.1, 0.9, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([1, 0, 0, 2])) == 0.5
    images = np.zeros((2, 3, 4, 4))
    images[:, 2] = 1
    assert accuracy(images, np.full((2, 4, 4), 2)) == 1.0
    assert accuracy(np.array([-1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"got output \(4, 3\) and target \(4, 3, 1\)"):
        accuracy(scores, np.zeros((4, 3, 1)))


def test_top5() -> None:
    scores = np.tile(np.arange(10.0), (10, 1))
    assert top5_accuracy(scores, np.arange(10)) == 0.5
    assert top5_accuracy(scores[:, :3], np.arange(10) % 3) == 1.0
    with pytest.raises(ValueError, match="top5_accuracy: expected scores"):
        top5_accuracy(scores, scores)


@given(rows=st.integers(1, 20), classes=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_one_hot_labels_count_as_class_numbers(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    expected = np.mean(scores.argmax(1) == labels)
    one_hot = np.eye(classes)[labels]
    assert accuracy(scores, labels) == accuracy(scores, one_hot) == expected
    assert accuracy(scores, one_hot.astype(np.int64)) == expected
    assert accuracy(scores, one_hot * 0.9 + 0.1 / classes) == expected


def test_a_constant_model_scores_its_share() -> None:
    one_hot = np.eye(10)[np.arange(1000) % 10]
    assert accuracy(-np.ones((1000, 10)), one_hot) == 0.1
    assert multilabel_accuracy(-np.ones((1000, 10)), one_hot) == 0.9


def test_targets_that_are_not_one_class_a_row() -> None:
    scores = np.zeros((2, 3))
    for target in ([[1, 1, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1]]):
        with pytest.raises(ValueError, match="the metric for several labels a row is 'multilabel_accuracy'"):
            accuracy(scores, np.array(target))
    with pytest.raises(ValueError, match=r"from 0.5 to 50.0; metrics of a regression are 'mse' and 'mae'"):
        accuracy(np.zeros(2), np.array([0.5, 50.0]))
    with pytest.raises(ValueError, match="at least two classes"):
        accuracy(np.zeros((2, 1)), np.array([0, 1]))
    with pytest.raises(ValueError, match="multilabel_accuracy: expected output and target of one shape"):
        multilabel_accuracy(scores, np.zeros(2))


@given(
    rows=st.integers(1, 30), classes=st.integers(2, 7), k=st.integers(1, 8), seed=st.integers(0, 2**32 - 1)
)
def test_top_k_with_ties(rows: int, classes: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 3, (rows, classes)).astype(float), rng.integers(0, classes, rows)
    best = [sorted(range(classes), key=lambda c: (row[c], c))[-k:] for row in scores]
    expected = np.mean([label in chosen for label, chosen in zip(labels, best, strict=True)])
    assert top_k_accuracy(scores, labels, k) == pytest.approx(expected, abs=1e-15)


def test_top_k_as_in_scikit_learn() -> None:
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 3, (200, 6)).astype(float), rng.integers(0, 6, 200)
    for k in range(1, 6):
        expected = reference.top_k_accuracy_score(labels, scores, k=k, labels=range(6))
        assert top_k_accuracy(scores, labels, k) == expected


def test_what_does_not_count_and_nothing_at_all() -> None:
    scores = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    assert accuracy(scores, np.array([0, -100, 0])) == 0.5
    assert accuracy(scores, np.array([0, 1, 0]), ignore_index=0) == 1.0
    assert math.isnan(accuracy(scores, np.full(3, -100)))
    assert math.isnan(accuracy(np.zeros((0, 2)), np.zeros(0, np.int64)))
    assert math.isnan(multilabel_accuracy(np.zeros((0, 2)), np.zeros((0, 2))))
    assert math.isnan(top_k_accuracy(np.zeros((0, 2)), np.zeros(0, np.int64)))


def test_class_numbers_as_output() -> None:
    assert accuracy(np.array([0, 2, 1]), np.array([0, 1, 1])) == pytest.approx(2 / 3)
    assert accuracy(np.array([True, False]), np.array([1, 1])) == 0.5


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [255, 1]])
def test_labels_out_of_range(labels: list[int]) -> None:
    for function in (accuracy, top_k_accuracy):
        with pytest.raises(ValueError, match="expected targets from 0 to 2, got some from"):
            function(np.zeros((2, 3)), np.array(labels))
    with pytest.raises(ValueError, match="got fractions"):
        accuracy(np.zeros((2, 3)), np.array([0.5, 1.0]))
    with pytest.raises(ValueError, match="expected k as an integer of at least 1, got 0"):
        top_k_accuracy(np.zeros((2, 3)), np.array([0, 1]), k=0)
