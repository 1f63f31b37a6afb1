# SPDX-License-Identifier: Apache-2.0
"""Receiver operating characteristics, against scikit-learn where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from cnncore.train.metrics import auc
from cnncore.viz import arrays

RNG = np.random.default_rng(0)


def test_by_counting() -> None:
    scores = RNG.integers(0, 6, 40) / 5.0  # with many equal ones
    yes = RNG.integers(0, 2, 40)
    (curve,) = arrays.roc(scores, yes)
    assert curve.thresholds[0] == np.inf
    assert (np.diff(curve.thresholds) < 0).all()
    for false, true, threshold in zip(*curve[:3], strict=True):
        said = scores >= threshold
        assert false == (said & (yes == 0)).sum() / (yes == 0).sum()
        assert true == (said & (yes == 1)).sum() / (yes == 1).sum()
    widths = np.diff(curve.false_positive_rate)
    heights = (curve.true_positive_rate[1:] + curve.true_positive_rate[:-1]) / 2
    assert curve.auc == pytest.approx((widths * heights).sum(), abs=1e-12)


def test_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, classes = RNG.normal(size=(60, 4)).round(1), RNG.integers(0, 4, 60)
    for label, curve in enumerate(arrays.roc(scores, classes)):
        expected = metrics.roc_curve(classes == label, scores[:, label], drop_intermediate=False)
        for mine, theirs in zip(curve[:3], expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-15)
        assert curve.auc == pytest.approx(
            metrics.roc_auc_score(classes == label, scores[:, label]), abs=1e-12
        )


def test_the_areas_are_those_of_the_metric() -> None:
    scores, classes = RNG.normal(size=(60, 4)), RNG.integers(0, 4, 60)
    found = [curve.auc for curve in arrays.roc(scores, classes)]
    np.testing.assert_array_equal(found, auc(scores, classes, average=None, from_logits=False))


def test_a_class_that_nobody_has() -> None:
    curves = arrays.roc(np.eye(3), np.array([0, 1, 1]))
    assert np.isnan(curves[2].auc)
    assert np.isnan(curves[2].true_positive_rate).all()
    assert curves[0].auc == 1.0


def test_what_goes_together() -> None:
    (curve,) = arrays.roc([[0.1], [0.9]], [0, 1])
    assert curve.auc == 1.0
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        arrays.roc([0.1, 0.2], [0, 1, 1])
    with pytest.raises(ValueError, match="targets from 0 to 1, got some from 0 to 2"):
        arrays.roc([0.1, 0.2], [0, 2])
    with pytest.raises(ValueError, match="NaN"):
        arrays.roc([0.1, float("nan")], [0, 1])
