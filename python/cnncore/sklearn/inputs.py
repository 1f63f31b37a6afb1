# SPDX-License-Identifier: Apache-2.0
"""What estimators read: tables, sequences, images and volumes as arrays, and texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from ..data.text import Tokenizer
from ..nn.arguments import at_least

LEAST_LENGTH = 5
"""Tokens of a text's row at least: the widest filter of the usual network for texts."""

_SMALL = ("u1", "i1", "u2", "i2", "f2", "f4")
"""Types whose values float32 holds."""


def as_texts(X: Any) -> list[str] | None:
    """Return texts, (rows,) or a single column, as a list; None where `X` is something else.

    Raises:
        ValueError: texts among which a row is none, or several columns of texts.
    """
    if isinstance(X, str):
        raise ValueError("expected a sequence of texts, got one text")
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        if X.shape[1] != 1:
            return None
        X = X.iloc[:, 0]
    if not isinstance(X, (list, tuple)) and not hasattr(X, "dtype"):
        return None
    column = isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1
    rows = list(X[:, 0]) if column else list(X) if not hasattr(X, "ndim") or X.ndim == 1 else []
    if any(isinstance(row, bytes) for row in rows):
        raise ValueError("expected texts as str, got bytes: decode them, [row.decode() for row in X]")
    if not any(isinstance(row, str) for row in rows):
        return None
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            raise ValueError(f"expected a text in each row, got {type(row).__name__} in row {number}")
    return [str(row) for row in rows]


def checked(estimator: Any, X: Any, *, reset: bool, least: int = 1) -> Any:
    """Return a list of texts, or an array (rows, ...) of finite numbers whose form is the one fitted.

    Args:
        estimator: whose names and numbers of features are set or compared.
        X: what the user gave.
        reset: whether the estimator is being fitted anew.
        least: rows that are needed.
    """
    texts = as_texts(X)
    if texts is not None:
        _drop_features(estimator, reset)
        if len(texts) < least:
            raise ValueError(f"expected at least {least} texts, got n_samples = {len(texts)}")
        return texts
    array = validate_data(estimator, X, reset=reset, dtype="numeric", allow_nd=True, ensure_min_samples=least)
    return array if array.dtype.kind in "fiu" else array.astype(np.float64)


def _drop_features(estimator: Any, reset: bool) -> None:
    """Texts have no features to be counted or named."""
    for name in ("n_features_in_", "feature_names_in_"):
        if reset and hasattr(estimator, name):
            delattr(estimator, name)


class TextReader:
    """Texts as rows of a vocabulary's numbers, (rows, length), all of one length.

    Args:
        texts: the vocabulary and the length are theirs.
        size: numbers of the vocabulary at most.
        longest: tokens that are read of a text at most.
    """

    kind = "text"

    def __init__(self, texts: list[str], size: int | None, longest: int) -> None:
        longest = at_least("max_length", longest, 1)
        self.tokenizer = Tokenizer(size=size).fit(texts)
        if len(self.tokenizer) < 3:
            raise ValueError("expected texts with at least one word, got empty ones")
        width = max(len(self.tokenizer.tokens(text)) for text in texts)
        self.shape = (max(min(width, longest), LEAST_LENGTH),)

    def __call__(self, texts: Any) -> NDArray[np.int64]:
        if not isinstance(texts, list):
            raise ValueError("expected texts, which this estimator was fitted on, got an array")
        return self.tokenizer(texts, self.shape[0])


class ArrayReader:
    """Arrays (rows, ...) as float32, each column or channel with mean 0 and deviation 1.

    Args:
        array: tables (rows, columns), or arrays (rows, channels, ...).
        weight: (rows,) what the rows count in mean and deviation, or None.
        standardize: False leaves values as they are.

    Attributes:
        mean, scale: of each column or channel, float64.
    """

    kind = "array"

    def __init__(self, array: NDArray[Any], weight: NDArray[Any] | None, standardize: bool) -> None:
        self.shape = tuple(array.shape[1:])
        channels = self.shape[0]
        self.mean, self.scale = np.zeros(channels), np.ones(channels)
        if not standardize:
            return
        for channel in range(channels):  # one at a time: images in float64 would need eight times their bytes
            values = array[:, channel].astype(np.float64).reshape(len(array), -1)
            power = int(powers_of_two(values))
            values = np.ldexp(values, -power, out=values)
            mean = np.average(values.mean(axis=1), weights=weight)
            spread = np.average(((values - mean) ** 2).mean(axis=1), weights=weight)
            self.mean[channel] = np.ldexp(mean, power)
            self.scale[channel] = np.ldexp(np.sqrt(spread), power) or 1.0

    def __call__(self, array: Any) -> NDArray[np.float32]:
        if isinstance(array, list):
            raise ValueError(f"expected arrays (rows, {_names(self.shape)}), got texts")
        if array.shape[1:] != self.shape:
            raise ValueError(
                f"expected rows of shape {self.shape}, which this estimator was fitted on, "
                f"got {array.shape[1:]}"
            )
        kind = np.float32 if array.dtype.str[1:] in _SMALL else np.float64
        each = (-1, *(1,) * (array.ndim - 2))
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            centred = array - self.mean.astype(kind).reshape(each)
            centred /= self.scale.astype(kind).reshape(each)
            found = np.asarray(centred, np.float32)
        if not np.isfinite(found).all():
            raise ValueError(
                "expected values that float32 holds, less than 3.4e38 in size, once mean and deviation of "
                "the training rows are taken out"
            )
        return found


def powers_of_two(values: NDArray[np.float64], axis: int | None = None) -> NDArray[np.intp]:
    """Return by which powers of two the largest values are below 1: squares of what `ldexp` brings there do
    not overflow, and those that vanish do not count."""
    return np.asarray(np.frexp(np.abs(values).max(axis=axis))[1], np.intp)


def _names(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
