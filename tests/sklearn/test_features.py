# SPDX-License-Identifier: Apache-2.0
"""Out-of-fold columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="needs scikit-learn")

from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, ShuffleSplit
from sklearn.pipeline import make_pipeline

from cnncore.sklearn import CNNClassifier, CNNFeatures, CNNRegressor
from cnncore.sklearn.features import LEAST_LOG

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 4))
Y = np.arange(60) % 3


class Memory(ClassifierMixin, BaseEstimator):
    """Knows the rows it was fitted on, and says class 1 of 0 and 1 for these alone."""

    def fit(self, X: Any, y: Any) -> Memory:
        self.classes_ = np.unique(y)
        self.known_ = {row.tobytes() for row in X}
        return self

    def predict_proba(self, X: Any) -> Any:
        known = np.array([float(row.tobytes() in self.known_) for row in X])
        return np.stack([1 - known, known], 1)


@pytest.mark.parametrize("cv", [2, 5, ShuffleSplit(1, test_size=0.5)])
def test_no_column_comes_from_an_estimator_that_has_seen_the_row(cv: Any) -> None:
    features = CNNFeatures(Memory(), cv=cv)
    if isinstance(cv, ShuffleSplit):
        with pytest.raises(ValueError, match="exactly once"):
            features.fit_transform(X, Y > 0)
        return
    assert not features.fit_transform(X, Y > 0).any()
    np.testing.assert_allclose(features.transform(X), (cv - 1) / cv)
    assert clone(features).set_params(after="refit").fit(X, Y > 0).transform(X).min() == 1.0


def test_rows_of_a_group_stay_together() -> None:
    groups = np.repeat(np.arange(6), 10)
    for cv in (3, GroupKFold(3), LeaveOneGroupOut()):
        features = CNNFeatures(Memory(), cv=cv).fit(X, Y > 0, groups=groups)
        for fitted in features.estimators_:
            known = np.array([row.tobytes() in fitted.known_ for row in X])
            assert all(len(set(known[groups == g])) == 1 for g in range(6))


def test_columns_and_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    names = np.array(["low", "mid", "top"])[Y]
    features = CNNFeatures(CNNClassifier(epochs=1), cv=2, random_state=0).set_output(transform="pandas")
    frame = features.fit_transform(X, names)
    assert list(frame) == ["cnnclassifier_low", "cnnclassifier_mid", "cnnclassifier_top"]
    np.testing.assert_allclose(frame.sum(axis=1), 1)
    assert isinstance(features.transform(X), pandas.DataFrame)
    numbers = CNNFeatures(CNNRegressor(epochs=1), cv=2, random_state=0).fit(X, X[:, :2])
    assert numbers.get_feature_names_out().tolist() == ["cnnregressor_0", "cnnregressor_1"]
    assert CNNFeatures(cv=2).set_params(estimator=None)._prototype(X[:, 0]).__class__ is CNNRegressor


def test_logarithms_are_bounded() -> None:
    features = CNNFeatures(CNNClassifier(epochs=1), cv=2, method="predict_log_proba", random_state=0)
    np.testing.assert_allclose(np.exp(features.fit_transform(X, Y)).sum(1), 1, atol=1e-6)
    two = features.fit_transform(X, Y > 0)
    shares = clone(features).set_params(method="predict_proba").fit_transform(X, Y > 0)
    np.testing.assert_allclose(two, np.log(shares / (1 - shares)), atol=1e-5)
    rare = np.zeros(60, int)
    rare[0] = 2
    rare[1:30] = 1
    folds = [(np.arange(30, 60), np.arange(30)), (np.arange(30), np.arange(30, 60))]
    found = clone(features).set_params(cv=folds).fit_transform(X, rare)
    assert (found[:30, 1:] == LEAST_LOG).all()


def test_same_random_state_same_columns() -> None:
    def columns(state: int) -> Any:
        return CNNFeatures(CNNClassifier(epochs=1), cv=2, random_state=state).fit_transform(X, Y)

    assert np.array_equal(columns(0), columns(0))
    assert not np.array_equal(columns(0), columns(1))


def test_in_a_pipeline_with_texts() -> None:
    texts = [f"{word} film" for word in ["good", "bad"] * 20]
    labels = ["yes", "no"] * 20
    features = CNNFeatures(CNNClassifier(epochs=15), cv=2, random_state=0)
    pipeline = make_pipeline(features, LogisticRegression()).fit(texts, labels)
    assert pipeline.predict(["a good one", "a bad one"]).tolist() == ["yes", "no"]


def test_sample_weights_reach_the_networks() -> None:
    weights = np.where(Y == 0, 1.0, 1e-6)
    found = CNNFeatures(CNNClassifier(epochs=20), cv=2, random_state=0).fit_transform(
        X, Y, sample_weight=weights
    )
    assert (found.argmax(1) == 0).mean() > 0.95


def test_what_is_no_estimator() -> None:
    for wrong in ("forest", CNNClassifier):
        with pytest.raises(TypeError, match="estimator"):
            CNNFeatures(wrong).fit(X, Y)


@pytest.mark.parametrize("bad", [{"method": "predict"}, {"after": "never"}])
def test_settings_that_are_unknown(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="among"):
        CNNFeatures(**bad).fit(X, Y)
