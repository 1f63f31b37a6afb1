# SPDX-License-Identifier: Apache-2.0
"""A network as a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .. import nn, ops
from ..nn.arguments import flag
from .base import CNNEstimator, row_weights
from .inputs import checked

if TYPE_CHECKING:
    from typing_extensions import Self


class CNNClassifier(ClassifierMixin, CNNEstimator):
    """A network that tells classes, as an estimator of scikit-learn.

    `X` is a table (rows, columns), sequences (rows, channels, length), images (rows, channels, height,
    width), volumes (rows, channels, depth, height, width) or texts: a list, Series or array of strings.

    Args:
        network: a Module whose outputs are (rows, classes), which is copied; a function (input shape,
            classes), of texts also (..., tokens), that returns one; or None: a multilayer perceptron for
            tables, whose columns have no neighbours; convolutions over time for sequences; stages of
            convolutions and pooling for images and volumes; an embedding, convolutions of 2 to 5 tokens and
            their largest values for texts.
        epochs: how often `fit` goes through the rows.
        batch_size: rows of a training step.
        learning_rate, weight_decay: of AdamW.
        optimizer: a function of the network's parameters that returns another optimiser.
        early_stopping: hold a share of the rows out, the same share of each class, and end when the loss on
            them has not become less; the network is then that of the best epoch.
        validation_fraction: the share held out.
        n_iter_no_change: epochs without a smaller loss after which training ends.
        standardize: give each column, or each channel, mean 0 and deviation 1 over the training rows.
        vocabulary_size: tokens that get a number; None: all.
        max_length: tokens of a text that are read at most.
        class_weight: None, "balanced", or a dict of weights by class.
        warm_start: `fit` goes on with the network that is there.
        random_state: None, an int, or a numpy RandomState: initial weights, the order of rows and dropout
            follow from it, with the same bits on any number of threads.
        verbose: as in `Trainer.fit`.

    Attributes:
        classes_: the labels; column i of `predict_proba` is that of ``classes_[i]``.
        network_: the trained Module.
        history_: figures of the last training's epochs.
        loss_curve_: its losses.
        n_iter_: epochs trained, through all calls.
        n_features_in_, feature_names_in_: of tables, as elsewhere in scikit-learn.

    >>> import numpy as np
    >>> from cnncore.sklearn import CNNClassifier
    >>> texts = ["good film", "bad film", "a good one", "a bad one"] * 8
    >>> labels = ["yes", "no", "yes", "no"] * 8
    >>> classifier = CNNClassifier(epochs=20, random_state=0).fit(texts, labels)
    >>> classifier.predict(["good", "bad"]).tolist()
    ['yes', 'no']
    """

    classes_: NDArray[Any]

    def __init__(
        self,
        network: Any = None,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        optimizer: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        standardize: bool = True,
        vocabulary_size: int | None = 20_000,
        max_length: int = 256,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            network,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            optimizer=optimizer,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            standardize=standardize,
            vocabulary_size=vocabulary_size,
            max_length=max_length,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows `X` with labels `y`.

        Args:
            X: the rows.
            y: (rows,) labels: numbers or texts.
            sample_weight: (rows,) what each row counts; rows of weight 0 count as absent.

        Raises:
            ValueError: NaN or infinity, no rows, as many rows in `X` as in `y`; after a warm start, rows of
                another shape or other classes.
        """
        goes_on = flag("warm_start", self.warm_start) and hasattr(self, "network_")
        rows, labels = self._rows(X, y, reset=not goes_on)
        classes = np.unique(labels)
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start: expected the classes {self.classes_.tolist()} of the first fit, "
                f"got {classes.tolist()}"
            )
        weight = self._weights(labels, classes, sample_weight, rows)
        if not goes_on:
            self._forget()
            self.classes_ = classes
        self._train(rows, np.searchsorted(classes, labels), weight, len(classes), self.epochs)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch more, on these rows.

        Vocabulary, length of texts, means and deviations are those of the first call's rows.

        Args:
            X: the rows.
            y: (rows,) labels.
            classes: all labels there will be; needed in the first call.
            sample_weight: (rows,) what each row counts.

        Raises:
            ValueError: the first call without `classes`, later ones with others; labels that are not among
                them; `class_weight="balanced"`, which needs all rows.
        """
        new = not hasattr(self, "network_")
        if new and classes is None:
            raise ValueError("expected classes= in the first call of partial_fit")
        self._check_partial()
        if isinstance(self.class_weight, str):
            raise ValueError("class_weight='balanced' needs all rows: pass the weights as a dict")
        rows, labels = self._rows(X, y, reset=new)
        known = self.classes_ if classes is None else np.unique(classes)
        if not new and not np.array_equal(known, self.classes_):
            raise ValueError(f"expected the classes of the first call, {self.classes_}, got {known}")
        strange = np.setdiff1d(labels, known)
        if len(strange):
            raise ValueError(f"expected labels among {known.tolist()}, got {strange.tolist()}")
        weight = self._weights(labels, known, sample_weight, rows)
        self.classes_ = known
        self._train(rows, np.searchsorted(known, labels), weight, len(known), 1)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest label of each row, (rows,)."""
        numbers = self._outputs(X).argmax(1)
        return np.asarray(self.classes_[numbers])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of the classes, (rows, classes), each row with the sum 1."""
        shares = ops.softmax(self._outputs(X), 1).astype(np.float64)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of the probabilities, (rows, classes), finite also where those are 0."""
        return np.asarray(ops.log_softmax(self._outputs(X), 1), np.float64)

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, NDArray[Any]]:
        rows = checked(self, X, reset=reset)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        labels: NDArray[Any] = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(rows, labels)
        return rows, labels

    def _weights(
        self, labels: NDArray[Any], classes: NDArray[Any], sample_weight: Any, rows: Any
    ) -> NDArray[Any] | None:
        weight = row_weights(sample_weight, rows)
        if self.class_weight is None:
            return weight
        each = self._class_weights(labels if weight is None else labels[weight > 0], classes)
        found = each[np.searchsorted(classes, labels)]
        return found if weight is None else found * weight

    def _class_weights(self, labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float64]:
        """Return what a row of each class counts: rows / (classes * rows of the class) where "balanced"."""
        asked = self.class_weight
        if isinstance(asked, str) and asked == "balanced":
            counts = np.bincount(np.searchsorted(classes, labels), minlength=len(classes))
            return np.asarray(len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))
        if not isinstance(asked, Mapping):
            raise ValueError(f"expected class_weight None, 'balanced' or a dict of weights, got {asked!r}")
        known = classes.tolist()
        strange = [label for label in asked if label not in known]
        if strange:
            raise ValueError(f"expected class_weight for labels among {known}, got {strange}")
        weights = np.array([asked.get(label, 1.0) for label in known], np.float64)
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError(f"expected finite weights of at least 0 in class_weight, got {asked}")
        return weights

    def _loss(self) -> nn.Module:
        return nn.CrossEntropyLoss()

    def _strata(self, y: NDArray[Any]) -> NDArray[Any]:
        return y
