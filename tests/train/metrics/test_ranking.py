# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train.metrics import AUC, auc


def pairs(scores: list[int], positive: list[bool]) -> Fraction:
    """The share of (positive, negative) pairs in order, a tie counting half."""
    high = [s for s, p in zip(scores, positive, strict=True) if p]
    low = [s for s, p in zip(scores, positive, strict=True) if not p]
    won = sum(Fraction(1) if h > n else Fraction(1, 2) if h == n else Fraction(0) for h in high for n in low)
    return won / (len(high) * len(low))


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    )
)
def test_area_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    scores, positive = [s for s, _ in rows], [p for _, p in rows]
    expected = float(pairs(scores, positive))
    assert auc(np.array(scores, np.float32), np.array(positive, np.int64)) == expected
    assert auc(np.array(scores)[:, None], np.array(positive)[:, None]) == expected


def test_classes_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ranks = [np.unique(column, return_inverse=True)[1].tolist() for column in shares.T]
    each = [float(pairs(ranks[c], (labels == c).tolist())) for c in range(3)]
    np.testing.assert_allclose(auc(logits, labels, None), each, rtol=1e-15)
    assert auc(logits, labels) == pytest.approx(np.mean(each), rel=1e-15)
    assert auc(shares, labels, from_logits=False) == pytest.approx(np.mean(each), rel=1e-15)
    weights = np.bincount(labels)
    assert auc(logits, labels, "weighted") == pytest.approx(np.average(each, weights=weights), rel=1e-15)
    assert auc(logits, np.eye(3)[labels]) == auc(logits, labels)


def test_as_in_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for _ in range(10):
        scores, yes = rng.integers(0, 5, 30).astype(float), rng.integers(0, 2, 30)
        assert auc(scores, yes) == pytest.approx(sklearn.roc_auc_score(yes, scores), rel=1e-14)
        logits, labels = rng.normal(size=(30, 4)), rng.permutation(np.arange(30) % 4)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        for average in ("macro", "weighted", None):
            expected = sklearn.roc_auc_score(labels, shares, multi_class="ovr", average=average)
            np.testing.assert_allclose(auc(logits, labels, average), expected, rtol=1e-14)
        expected = sklearn.roc_auc_score(labels > 1, logits[:, 1] - logits[:, 0])
        assert auc(logits[:, :2], (labels > 1).astype(int)) == pytest.approx(expected, rel=1e-14)


def test_batches_are_counted_together() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    counted = AUC()
    for start in range(0, 20, 7):
        counted.update(scores[start : start + 7], labels[start : start + 7])
    assert counted.result() == auc(scores, labels)


def test_classes_without_an_area() -> None:
    assert math.isnan(auc(np.zeros(3), np.zeros(3, np.int64)))
    assert math.isnan(auc(np.zeros(0), np.zeros(0, np.int64)))
    assert math.isnan(AUC().result())
    assert math.isnan(auc(np.zeros((2, 3)), np.array([1, 1])))
    logits = np.array([[3.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    assert auc(logits, np.array([0, 1])) == 1.0
    np.testing.assert_array_equal(auc(logits, np.array([0, 1]), None), [1.0, 1.0, np.nan])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="auc: expected targets from 0 to 1, got some from 0 to 2"):
        auc(np.zeros(2), np.array([0, 2]))
    with pytest.raises(ValueError, match=r"auc: expected scores \(rows,\) or .* got output \(2, 2, 2\)"):
        auc(np.zeros((2, 2, 2)), np.array([0, 1]))
    with pytest.raises(ValueError, match="average among 'macro', 'weighted', None, got 'micro'"):
        AUC("micro")
