# SPDX-License-Identifier: Apache-2.0
"""Predictions of networks as columns for other estimators, without leaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from .base import row_weights
from .classifier import CNNClassifier
from .inputs import checked
from .regressor import CNNRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

METHODS = ("predict_log_proba", "predict_proba")

AFTER = ("average", "refit")

LEAST_LOG = -16.0
"""Logarithms of probabilities are at least this, e**-16 = 1e-7: those of a confident network are unbounded,
and a class that a fold has not met has none."""


class CNNFeatures(TransformerMixin, BaseEstimator):
    """What networks predict for each row, as columns for another estimator.

    `fit_transform` returns out-of-fold columns: those of a row come from a network that was trained on the
    other folds, so that they tell the estimator behind what such columns are worth on new rows. Columns from
    a network that has seen the row and its target would be too good, and be trusted too much (Wolpert,
    "Stacked Generalization", 1992). So ``fit(X, y).transform(X)`` is not ``fit_transform(X, y)``.

    Args:
        estimator: `CNNClassifier`, `CNNRegressor`, or any other classifier or regressor; None: by the
            targets, with its default arguments.
        cv: folds: their number (of classes, each with the same shares; shuffled), a splitter of scikit-learn,
            or an iterable of (train, test) rows in which each row is tested exactly once.
        method: of a classifier: "predict_proba", or "predict_log_proba", which suits linear models.
        after: what `transform` uses for new rows: "average", the mean of the folds' networks, whose columns
            are the more alike to the out-of-fold ones; or "refit", one more network, trained on all rows:
            one run a row instead of `cv`.
        random_state: the folds' order and, where the estimator has none, its own.

    Attributes:
        estimators_: the fitted estimators of the folds.
        estimator_: the one trained on all rows, with ``after="refit"``.
        classes_: the labels, of classifiers. Of two there is one column, the second one's.

    >>> import numpy as np
    >>> from cnncore.sklearn import CNNClassifier, CNNFeatures
    >>> texts, labels = ["a good one", "a bad one"] * 20, [1, 0] * 20
    >>> features = CNNFeatures(CNNClassifier(epochs=10), cv=4, random_state=0)
    >>> features.fit_transform(texts, labels).shape, features.transform(["good"]).shape
    ((40, 1), (1, 1))
    >>> features.get_feature_names_out().tolist()
    ['cnnclassifier_1']
    """

    classes_: NDArray[Any]

    def __init__(
        self,
        estimator: Any = None,
        *,
        cv: Any = 5,
        method: str = "predict_proba",
        after: str = "average",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.method = method
        self.after = after
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Train the networks; see `fit_transform`.

        Raises:
            ValueError: a setting out of its range, or rows that are no finite numbers, images or texts.
        """
        self.fit_transform(X, y, groups, sample_weight)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, groups: Any = None, sample_weight: Any = None
    ) -> NDArray[np.float64]:
        """Train a network for each fold, and return the out-of-fold columns.

        Args:
            X: rows, as the estimator takes them.
            y: their targets.
            groups: (rows,) rows of one group stay in one fold, as those of a person or a day should.
            sample_weight: (rows,) what each row counts in training.

        Returns:
            (rows, columns): a column for each class (of two, one), or for each number predicted.

        Raises:
            ValueError: folds in which a row is tested not once; settings that are unknown.
        """
        self._check_settings()
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        rows = checked(self, X, reset=True, least=2)
        targets = np.asarray(y)
        check_consistent_length(rows, targets)
        weight = row_weights(sample_weight, rows)
        random = check_random_state(self.random_state)
        prototype = self._prototype(targets)
        self._classifies = is_classifier(prototype)
        if hasattr(self, "classes_"):
            del self.classes_
        if self._classifies:
            targets = (
                targets.reshape(len(targets)) if targets.ndim == 2 and targets.shape[1] == 1 else targets
            )
            self.classes_ = np.unique(targets)
        self.estimators_: list[Any] = []
        columns: Any = None
        tested = np.zeros(len(targets), np.int64)
        for train, test in self._folds(rows, targets, groups, random):
            fitted = self._fitted(prototype, _taken(rows, train), targets[train], weight, train, random)
            self.estimators_.append(fitted)
            found = self._columns(fitted, _taken(rows, test))
            if columns is None:
                columns = np.zeros((len(targets), found.shape[1]))
            columns[test] = found
            tested[test] += 1
        if columns is None or (tested != 1).any():
            raise ValueError("expected folds in which each row is tested exactly once")
        if self.after == "refit":
            self.estimator_ = self._fitted(prototype, rows, targets, weight, slice(None), random)
        self._stem = type(prototype).__name__.lower()
        self.n_columns_ = columns.shape[1]
        return np.asarray(columns)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the columns of new rows, (rows, columns), from the networks that `after` says.

        Raises:
            ValueError: rows of other features than those of `fit`.
        """
        check_is_fitted(self, "n_columns_")
        rows = checked(self, X, reset=False)
        if self.after == "refit":
            return self._columns(self.estimator_, rows)
        found = [self._columns(fitted, rows) for fitted in self.estimators_]
        return np.asarray(np.mean(found, axis=0))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns: the estimator's, and the class or the number of the target."""
        check_is_fitted(self, "n_columns_")
        ends: Any = range(self.n_columns_)
        if self._classifies:
            ends = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        return np.array([f"{self._stem}_{end}" for end in ends], dtype=object)

    # -- parts ----------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise ValueError(f"expected method among {', '.join(METHODS)}, got {self.method!r}")
        if not isinstance(self.after, str) or self.after not in AFTER:
            raise ValueError(f"expected after among {', '.join(AFTER)}, got {self.after!r}")

    def _prototype(self, targets: NDArray[Any]) -> Any:
        kind = type_of_target(targets, input_name="y", raise_unknown=True)
        if self.estimator is not None:
            if isinstance(self.estimator, type) or not hasattr(self.estimator, "fit"):
                raise TypeError(f"expected estimator as an estimator of scikit-learn, got {self.estimator!r}")
            return self.estimator
        return CNNRegressor() if kind.startswith("continuous") else CNNClassifier()

    def _folds(
        self, rows: Any, targets: NDArray[Any], groups: Any, random: Any
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        cv = self.cv
        if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
            seed = int(random.randint(2**31 - 1))
            if groups is not None:
                kind = StratifiedGroupKFold if self._classifies else GroupKFold
                cv = kind(cv, shuffle=True, random_state=seed)
            else:
                kind = StratifiedKFold if self._classifies else KFold
                cv = kind(cv, shuffle=True, random_state=seed)
        splitter = check_cv(cv, targets, classifier=self._classifies)
        yield from splitter.split(np.zeros((len(targets), 1)), targets, groups)

    def _fitted(
        self,
        prototype: Any,
        rows: Any,
        targets: NDArray[Any],
        weight: NDArray[Any] | None,
        chosen: Any,
        random: Any,
    ) -> Any:
        estimator = clone(prototype)
        if "random_state" in estimator.get_params() and estimator.random_state is None:
            estimator.set_params(random_state=int(random.randint(2**31 - 1)))
        if weight is None:
            return estimator.fit(rows, targets)
        return estimator.fit(rows, targets, sample_weight=weight[chosen])

    def _columns(self, fitted: Any, rows: Any) -> NDArray[np.float64]:
        """Return what an estimator predicts for rows, with a column for each class, also one it never met."""
        if not self._classifies:
            found: NDArray[np.float64] = np.asarray(fitted.predict(rows), np.float64)
            return found.reshape(len(found), -1)
        logs = self.method == "predict_log_proba"
        shares = np.asarray(getattr(fitted, self.method)(rows), np.float64)
        columns = np.full((len(shares), len(self.classes_)), LEAST_LOG if logs else 0.0)
        columns[:, np.searchsorted(self.classes_, fitted.classes_)] = shares
        if len(self.classes_) != 2:
            return np.maximum(columns, LEAST_LOG) if logs else columns
        if not logs:
            return columns[:, 1:]
        clipped = np.maximum(columns, LEAST_LOG)
        return np.asarray(clipped[:, 1:] - clipped[:, :1])


def _taken(rows: Any, chosen: NDArray[Any]) -> Any:
    return [rows[i] for i in chosen] if isinstance(rows, list) else rows[chosen]
