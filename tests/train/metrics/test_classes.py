# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train import metrics
from cnncore.train.metrics import confusion_matrix, dice, f1, mean_iou, precision, recall

FIGURES: dict[Callable[..., Any], Callable[[int, int, int], tuple[int, int]]] = {
    precision: lambda right, said, true: (right, said),
    recall: lambda right, said, true: (right, true),
    f1: lambda right, said, true: (2 * right, said + true),
    dice: lambda right, said, true: (2 * right, said + true),
    mean_iou: lambda right, said, true: (right, said + true - right),
}
NAMES = {precision: "precision_score", recall: "recall_score", f1: "f1_score", mean_iou: "jaccard_score"}


def reference(of: Any, said: list[int], true: list[int], average: str | None, classes: int) -> Any:
    """The definition row by row."""
    counts = []
    for c in range(classes):
        pairs = list(zip(said, true, strict=True))
        counts.append((pairs.count((c, c)), said.count(c), true.count(c)))
    figures = []
    for count in counts:
        part, whole = of(*count)
        figures.append(part / whole if whole else 0.0)
    if average is None:
        return figures
    if average == "micro":
        part, whole = of(*(sum(column) for column in zip(*counts, strict=True)))
        return part / whole
    there = [c for c in range(classes) if counts[c][1] + counts[c][2]]
    weights = [counts[c][2] if average == "weighted" else 1 for c in there]
    return sum(w * figures[c] for w, c in zip(weights, there, strict=True)) / sum(weights)


def drawn(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Of some classes there is nothing at all.
    chosen = rng.permutation(classes)[: rng.integers(1, classes + 1)]
    scores = np.full((rows, classes), -9.0)
    scores[:, chosen] = rng.normal(size=(rows, len(chosen)))
    return scores, rng.choice(chosen, rows)


@given(rows=st.integers(1, 25), classes=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_figures_of_classes(rows: int, classes: int, seed: int) -> None:
    scores, labels = drawn(rows, classes, seed)
    said, true = scores.argmax(1).tolist(), labels.tolist()
    for figure, of in FIGURES.items():
        for average in ("macro", "micro", "weighted", None):
            expected = reference(of, said, true, average, classes)
            assert figure(scores, labels, average) == pytest.approx(expected, rel=1e-14, abs=1e-15)
            assert figure(scores, np.eye(classes)[labels], average) == pytest.approx(expected, rel=1e-14)
    matrix = confusion_matrix(scores, labels)
    assert matrix.shape == (classes, classes)
    for (row, column), count in np.ndenumerate(matrix):
        assert count == sum((s, t) == (column, row) for s, t in zip(said, true, strict=True))


@pytest.mark.parametrize("classes", [2, 5])
def test_as_in_scikit_learn(classes: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    for seed in range(20):
        scores, labels = drawn(40, classes, seed)
        said = scores.argmax(1)
        for figure, name in NAMES.items():
            theirs = getattr(sklearn, name)
            for average in ("macro", "micro", "weighted"):
                assert figure(scores, labels, average) == pytest.approx(
                    theirs(labels, said, average=average, zero_division=0), rel=1e-14
                )
            each = theirs(labels, said, average=None, labels=range(classes), zero_division=0)
            np.testing.assert_allclose(figure(scores, labels, None), each, rtol=1e-14)
            if classes == 2:
                yes = theirs(labels, said, average="binary", zero_division=0)
                assert figure(scores[:, 1] - scores[:, 0], labels, "binary") == pytest.approx(yes, rel=1e-14)
                assert figure(said, labels, "binary") == pytest.approx(yes, rel=1e-14)
        matrix = sklearn.confusion_matrix(labels, said, labels=range(classes))
        np.testing.assert_array_equal(confusion_matrix(scores, labels), matrix)


def test_several_labels_as_in_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for _ in range(10):
        logits, target = rng.normal(size=(15, 4)), rng.integers(0, 2, (15, 4))
        target[:, 2] = 0
        for figure, name in NAMES.items():
            for average in ("macro", "micro", "weighted", None):
                expected = getattr(sklearn, name)(target, logits > 0, average=average, zero_division=0)
                found = figure(logits, target, average, multilabel=True)
                np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_several_labels() -> None:
    logits = np.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]])
    target = np.array([[1, 0, 0], [1, 1, 0]])
    assert precision(logits, target, None, multilabel=True).tolist() == [1.0, 0.0, 0.0]
    assert recall(logits, target, None, multilabel=True, zero_division=1).tolist() == [1.0, 0.0, 1.0]
    assert f1(logits, target, "micro", multilabel=True) == 4 / 6
    assert f1(logits, target, "macro", multilabel=True) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"f1: expected labels \(rows, labels\), got shape \(2,\)"):
        f1(np.zeros(2), np.zeros(2), multilabel=True)


def test_yes_and_no() -> None:
    logits, target = np.array([2.0, 1.0, -1.0, -2.0]), np.array([1, 0, 1, 0])
    assert precision(logits, target) == recall(logits, target) == 0.5
    assert precision(logits[:, None], target[:, None], "macro") == 0.5
    assert precision(-np.abs(logits), target, zero_division=np.nan) != precision(logits, target)
    # Only class 0 occurs: there is no yes.
    assert f1(np.zeros(3, np.int64), np.zeros(3, np.int64), "binary") == 0.0
    assert mean_iou(logits, target) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="average='binary' is for yes and no, got 3 classes"):
        f1(np.zeros((2, 3)), np.array([0, 1]), "binary")


def test_masks_of_images() -> None:
    rng = np.random.default_rng(2)
    scores, masks = rng.normal(size=(3, 4, 5, 6)), rng.integers(0, 4, (3, 5, 6))
    masks[0, 0] = -100
    counts = masks.ravel() != -100
    said, true = scores.argmax(1).ravel()[counts], masks.ravel()[counts]
    ious = [np.sum((said == c) & (true == c)) / np.sum((said == c) | (true == c)) for c in range(4)]
    assert mean_iou(scores, masks) == pytest.approx(np.mean(ious), rel=1e-14)
    np.testing.assert_allclose(dice(scores, masks, None), [2 * i / (1 + i) for i in ious], rtol=1e-14)


@pytest.mark.parametrize("figure", FIGURES)
def test_no_rows(figure: Callable[..., Any]) -> None:
    nothing = np.zeros((0, 3)), np.zeros(0, np.int64)
    assert math.isnan(figure(*nothing))
    assert math.isnan(figure(np.zeros((2, 3)), np.full(2, -100)))
    assert figure(*nothing, average=None).tolist() == [0.0, 0.0, 0.0]
    assert confusion_matrix(*nothing).tolist() == [[0] * 3] * 3


def test_batches_of_more_and_more_classes() -> None:
    counted, figure = metrics.ConfusionMatrix(classes=2), metrics.F1("macro")
    for said, true in (([0, 1], [0, 0]), ([4], [2])):
        counted.update(np.array(said), np.array(true))
        figure.update(np.array(said), np.array(true))
    expected = confusion_matrix(np.array([0, 1, 4]), np.array([0, 0, 2]))
    np.testing.assert_array_equal(counted.result(), expected)
    assert figure.result() == f1(np.array([0, 1, 4]), np.array([0, 0, 2]))


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match=r"expected average among 'auto', 'binary', .*, got 'samples'"):
        metrics.F1("samples")
    with pytest.raises(ValueError, match="several labels a row need multilabel=True"):
        f1(np.zeros((2, 3)), np.array([[1, 1, 0], [0, 0, 1]]))
    with pytest.raises(ValueError, match="precision: expected answers from 0 to 1, got some from -1 to 1"):
        precision(np.array([-1, 1]), np.array([0, 1]))
