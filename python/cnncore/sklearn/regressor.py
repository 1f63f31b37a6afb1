# SPDX-License-Identifier: Apache-2.0
"""A network as a regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, check_consistent_length

from .. import nn
from ..nn.arguments import flag
from .base import CNNEstimator, row_weights
from .inputs import checked, powers_of_two

if TYPE_CHECKING:
    from typing_extensions import Self


class CNNRegressor(RegressorMixin, CNNEstimator):
    """A network that predicts one number a row, or several, as an estimator of scikit-learn.

    Rows and arguments are those of `CNNClassifier`, without `class_weight`. The loss is the mean squared
    error of targets brought to mean 0 and deviation 1.

    Args:
        network: a Module whose outputs are (rows, targets), a function (input shape, targets) that returns
            one, or None for the network that `CNNClassifier` has.

    Attributes:
        target_mean_, target_scale_: (targets,) of the training rows.
        network_, history_, loss_curve_, n_iter_, n_features_in_, feature_names_in_: as in `CNNClassifier`.

    >>> import numpy as np
    >>> from cnncore.sklearn import CNNRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> regressor = CNNRegressor(epochs=40, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> regressor.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """

    target_mean_: NDArray[np.float64]
    target_scale_: NDArray[np.float64]
    _flat: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows `X` with targets `y`.

        Args:
            X: the rows.
            y: (rows,) or (rows, targets).
            sample_weight: (rows,) what each row counts; rows of weight 0 count as absent.

        Raises:
            ValueError: NaN or infinity, no rows, as many rows in `X` as in `y`; after a warm start, rows of
                another shape or another number of targets.
        """
        goes_on = flag("warm_start", self.warm_start) and hasattr(self, "network_")
        return self._fit(X, y, sample_weight, goes_on, self.epochs)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch more, on these rows.

        Vocabulary, length of texts, means and deviations, also of targets, are those of the first call's
        rows.

        Args:
            X: the rows.
            y: (rows,) or (rows, targets).
            sample_weight: (rows,) what each row counts.

        Raises:
            ValueError: rows or targets that are no finite numbers, or of other features than before.
        """
        self._check_partial()
        return self._fit(X, y, sample_weight, hasattr(self, "network_"), 1)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the predictions, (rows,) or (rows, targets), as the targets were given."""
        found: NDArray[np.float64] = self._outputs(X).astype(np.float64) * self.target_scale_
        found += self.target_mean_
        return found[:, 0] if self._flat else found

    def _fit(self, X: Any, y: Any, sample_weight: Any, goes_on: bool, epochs: int) -> Self:
        rows = checked(self, X, reset=not goes_on)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(rows, targets)
        if targets.ndim > 2:
            raise ValueError(f"expected y of shape (rows,) or (rows, targets), got {targets.shape}")
        flat = targets.ndim == 1
        matrix = targets.reshape(len(targets), -1)
        weight = row_weights(sample_weight, rows)
        if goes_on and (matrix.shape[1] != len(self.target_mean_) or flat != self._flat):
            raise ValueError(
                f"expected y with {len(self.target_mean_)} targets as in the first fit, got {targets.shape}"
            )
        if not goes_on:
            self._forget()
            self._flat = flat
            power = powers_of_two(matrix, 0)
            near = np.ldexp(matrix, -power)
            mean = np.average(near, axis=0, weights=weight)
            spread = np.average((near - mean) ** 2, axis=0, weights=weight)
            self.target_mean_ = np.ldexp(mean, power)
            self.target_scale_ = np.where(spread > 0, np.ldexp(np.sqrt(spread), power), 1.0)
        with np.errstate(over="ignore"):
            scaled = ((matrix - self.target_mean_) / self.target_scale_).astype(np.float32)
        if not np.isfinite(scaled).all():
            raise ValueError(
                "expected targets that float32 holds, less than 3.4e38 in size, once mean and deviation of "
                "the first fit's are taken out"
            )
        self._train(rows, scaled, weight, matrix.shape[1], epochs)
        return self

    def _loss(self) -> nn.Module:
        return nn.MSELoss()
