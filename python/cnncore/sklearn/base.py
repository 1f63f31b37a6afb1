# SPDX-License-Identifier: Apache-2.0
"""What classifier and regressor have in common: reading rows, training, running the network."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import nn, optim
from ..graph.random import rng_state
from ..nn.arguments import at_least, finite, flag
from ..train import EarlyStopping, Trainer
from ..train.settings import count
from .inputs import ArrayReader, TextReader, checked, powers_of_two
from .networks import default_network
from .randomness import drawing

ROWS = 128
"""Rows that the network runs on at a time in predictions; 32 of tables."""

TABLE_ROWS = 32


class CNNEstimator(BaseEstimator):
    """The parameters that `CNNClassifier` and `CNNRegressor` document, and training.

    A fitted estimator has `network_`, the trained Module; `history_`, the figures of the last call's epochs;
    `n_iter_`, the epochs trained so far; and what rows go through before the network: `reader_`.
    """

    network_: nn.Module
    n_iter_: int
    reader_: TextReader | ArrayReader
    _trainer: Trainer | None

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
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.standardize = standardize
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    # -- training -------------------------------------------------------------------------------

    def _train(
        self, rows: Any, targets: NDArray[Any], weight: NDArray[Any] | None, outputs: int, epochs: int
    ) -> None:
        """Train a new network, or go on where there is `network_`.

        Args:
            rows: what `checked` returned.
            targets: class numbers (rows,), or float32 (rows, outputs).
            weight: (rows,) or None; rows of weight 0 count as absent.
            outputs: of the network.
            epochs: to train.
        """
        epochs = at_least("epochs", epochs, 1)
        self._check_settings()
        if weight is not None:
            weight = np.ldexp(weight, -powers_of_two(weight))  # float32 holds them
            kept = np.flatnonzero(weight.astype(np.float32) > 0)
            if not len(kept):
                raise ValueError(
                    "expected a weight above zero for at least one row, got class_weight 0 for all"
                )
            rows = [rows[i] for i in kept] if isinstance(rows, list) else rows[kept]
            targets, weight = targets[kept], weight[kept]
        new = not hasattr(self, "network_")
        try:
            self._train_rows(rows, targets, weight, outputs, epochs, new)
        except BaseException:  # Ctrl-C, too, must leave nothing half fitted
            if new:
                self._forget()
            raise

    def _check_settings(self) -> None:
        """Raise for what is no setting, whether it is used or not: scikit-learn's way is to look in `fit`."""
        for name in ("early_stopping", "standardize", "warm_start"):
            flag(name, getattr(self, name))
        for name in ("learning_rate", "weight_decay"):
            finite(name, getattr(self, name), 0)
        count("n_iter_no_change", self.n_iter_no_change, 0)
        at_least("max_length", self.max_length, 1)
        if self.vocabulary_size is not None:
            at_least("vocabulary_size", self.vocabulary_size, 3)
        if not 0 < finite("validation_fraction", self.validation_fraction) < 1:
            raise ValueError(
                f"expected validation_fraction above 0 and below 1, got {self.validation_fraction!r}"
            )

    def _train_rows(
        self,
        rows: Any,
        targets: NDArray[Any],
        weight: NDArray[Any] | None,
        outputs: int,
        epochs: int,
        new: bool,
    ) -> None:
        if new:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self._draws, self._trainer = 0, None
            self.n_iter_ = 0
            self.reader_ = self._make_reader(rows, weight)
        x = self.reader_(rows)
        with drawing(self._seed, self._draws):
            if new:
                network = self._make_network(outputs)
                if self.network is not None:  # one row tells whether it fits, and lazy layers their shapes
                    _check_outputs(network.predict(x[:1]), outputs)
                self._optimizer = self._make_optimizer(network)
                self.network_ = network
            self._run(x, targets, weight, epochs)
            self._draws = rng_state()[1]

    def _run(self, x: Any, y: NDArray[Any], weight: NDArray[Any] | None, epochs: int) -> None:
        trainer = self._trainer
        if trainer is None:
            trainer = Trainer(self.network_, self._loss(), self._optimizer, metrics=None)
            trainer.epoch = self.n_iter_
        validation, callbacks = None, []
        if self.early_stopping:
            train, test = self._held_out(y)
            validation = (x[test], y[test]) if weight is None else (x[test], y[test], weight[test])
            x, y, weight = x[train], y[train], None if weight is None else weight[train]
            callbacks = [EarlyStopping(patience=self.n_iter_no_change, restore_best=True)]
        self.history_ = trainer.fit(
            x,
            y,
            epochs=epochs,
            batch_size=self.batch_size,
            validation=validation,
            callbacks=callbacks,
            seed=self._seed,
            verbose=self.verbose,
            sample_weight=weight,
        )
        self._trainer, self.n_iter_ = trainer, trainer.epoch
        self.loss_curve_ = list(self.history_["loss"])

    def _check_partial(self) -> None:
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True needs all rows, and partial_fit trains on those it is given"
            )

    def _held_out(self, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the numbers of the rows to train on, and of those held out for early stopping."""
        share = self.validation_fraction
        try:
            train, test = train_test_split(
                np.arange(len(y)), test_size=share, random_state=self._seed, stratify=self._strata(y)
            )
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={share} of {len(y)} rows cannot be held out: {error}"
            ) from None
        return train, test

    def _forget(self) -> None:
        """Let the next training make a new network."""
        for name in ("network_", "history_", "loss_curve_"):
            if hasattr(self, name):
                delattr(self, name)

    def _make_reader(self, rows: Any, weight: NDArray[Any] | None) -> TextReader | ArrayReader:
        if isinstance(rows, list):
            return TextReader(rows, self.vocabulary_size, self.max_length)
        return ArrayReader(rows, weight, self.standardize)

    def _make_network(self, outputs: int) -> nn.Module:
        """Return the network to train: the usual one, a copy of a Module, or what a function returns."""
        form: list[Any] = [self.reader_.shape, outputs]
        if isinstance(self.reader_, TextReader):
            form.append(len(self.reader_.tokenizer))
        if self.network is None:
            return default_network(*form)
        if isinstance(self.network, nn.Module):
            return copy.deepcopy(self.network)
        if hasattr(self.network, "state_dict"):
            raise TypeError(
                f"expected network as a Module of cnncore, got {type(self.network).__module__}."
                f"{type(self.network).__name__}: cnncore.from_torch(network, example) makes one of torch's"
            )
        made = self.network(*form) if callable(self.network) else self.network
        if not isinstance(made, nn.Module):
            raise TypeError(
                "expected network as a Module or a function (input shape, outputs) that returns one, "
                f"got {type(made).__name__}"
            )
        return made

    def _make_optimizer(self, network: nn.Module) -> optim.Optimizer:
        if self.optimizer is None:
            return optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        made = self.optimizer(network.parameters()) if callable(self.optimizer) else self.optimizer
        if not isinstance(made, optim.Optimizer):
            raise TypeError(
                "expected optimizer as a function of the parameters that returns an optimiser, "
                f"got {type(made).__name__}"
            )
        return made

    def _loss(self) -> nn.Module:
        raise NotImplementedError

    def _strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """Return what rows held out for early stopping keep the shares of."""
        return None

    # -- running --------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        """Return the network's outputs, (rows, outputs).

        Rows of tables go through in batches of one size, filled up with zeros, so that a row has the same
        bits whatever rows stand beside it; larger inputs would be slow to fill up.
        """
        check_is_fitted(self, "network_")
        x = self.reader_(checked(self, X, reset=False))
        network: nn.Module = self.network_
        if x.ndim > 2 or isinstance(self.reader_, TextReader):
            return np.asarray(network.predict(x, ROWS))
        count = len(x)
        filled = np.zeros((-(-count // TABLE_ROWS) * TABLE_ROWS, x.shape[1]), np.float32)
        filled[:count] = x
        return np.asarray(network.predict(filled, TABLE_ROWS)[:count])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_trainer" in state:  # holds compiled steps
            state["_trainer"] = None
        return state


def _check_outputs(output: Any, outputs: int) -> None:
    if not isinstance(output, np.ndarray) or output.shape != (1, outputs):
        found = output.shape if isinstance(output, np.ndarray) else type(output).__name__
        raise ValueError(f"expected a network whose outputs are (rows, {outputs}), got {found} for one row")


def row_weights(sample_weight: Any, rows: Any) -> NDArray[np.float64] | None:
    """Return weights of rows as (rows,) float64, or None.

    Raises:
        ValueError: not a finite number of at least 0 for each row.
    """
    if sample_weight is None:
        return None
    count = len(rows)
    if isinstance(sample_weight, (int, float)):
        sample_weight = np.full(count, sample_weight)
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (count,):
        raise ValueError(f"expected sample_weight of shape ({count},), got {weight.shape}")
    if (weight < 0).any():
        raise ValueError("expected sample_weight of at least 0, got negative ones")
    if not weight.any():
        raise ValueError("expected sample_weight above 0 for at least one row, got a weight of zero for all")
    found: NDArray[np.float64] = weight
    return found
