# SPDX-License-Identifier: Apache-2.0
"""Names of classes as targets, and their numbers; weights of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._checks import is_integer
from ..nn.arguments import finite

Classes = tuple[str, ...] | None


class Labels(NamedTuple):
    """Class numbers, and the classes' names where there are some."""

    numbers: Any
    classes: Classes


def encode(y: Any, classes: Classes = None) -> Labels:
    """Return targets with names of classes as class numbers.

    Args:
        y: texts, or a pandas Series or Categorical of categories; anything else is returned as it is.
        classes: the names, class number i being that of ``classes[i]``; without, those in `y` in order.

    Raises:
        ValueError: a missing label, or one that is none of the classes.

    >>> encode(["dog", "cat", "dog"])
    Labels(numbers=array([1, 0, 1]), classes=('cat', 'dog'))
    """
    categorical = getattr(y, "cat", y)
    if hasattr(categorical, "categories") and hasattr(categorical, "codes"):
        names = tuple(map(str, categorical.categories))
        codes = np.asarray(categorical.codes)
        if (codes < 0).any():
            raise ValueError(f"expected a label in each row, got {int((codes < 0).sum())} rows without one")
        numbers = codes.astype(np.int64)
        return Labels(numbers, names) if classes is None else _numbered(np.array(names)[numbers], classes)
    texts = _texts(y)
    if texts is None:
        return Labels(y, classes)
    return _numbered(texts, tuple(map(str, np.unique(texts))) if classes is None else classes)


def _texts(y: Any) -> NDArray[Any] | None:
    """Return labels as an array of texts, or None where they are something else."""
    if not (isinstance(y, (list, tuple)) or hasattr(y, "dtype")) or hasattr(y, "detach"):
        return None
    try:
        array = np.asarray(y)
    except ValueError:  # rows of different lengths
        return None
    if array.dtype.kind == "S":
        return array.astype("U")
    if array.dtype.kind == "U" or not array.size:
        return array if array.dtype.kind == "U" else None
    if array.dtype.kind not in "OT" or not any(isinstance(label, str) for label in array.flat):
        return None
    missing = sum(not isinstance(label, str) for label in array.flat)
    if missing:
        raise ValueError(f"expected a text as label in each row, got {missing} rows with something else")
    return array.astype("U")


def _numbered(texts: NDArray[Any], classes: tuple[str, ...]) -> Labels:
    names = np.array(classes, dtype="U")
    order = np.argsort(names, kind="stable")
    place = np.minimum(np.searchsorted(names[order], texts), len(names) - 1)
    numbers = order[place].astype(np.int64)
    strange = names[numbers] != texts
    if strange.any():
        raise ValueError(
            f"expected labels among {', '.join(classes)}, got {str(texts[strange][0])!r}; the classes are "
            "those of the first training"
        )
    return Labels(numbers, classes)


def class_weights(weights: Any, y: Any, classes: Classes) -> NDArray[np.float32]:
    """Return a weight for each class.

    Args:
        weights: by class number or name, a sequence, or "balanced": inversely to how often each class occurs
            in `y`, 1 on average over the rows.
        y: all class numbers, or None where they are not known beforehand.
        classes: the names of the classes.

    >>> class_weights("balanced", np.array([0, 0, 0, 1]), None).tolist()
    [0.6666666865348816, 2.0]
    """
    if isinstance(weights, str):
        if weights != "balanced":
            raise ValueError(f"expected class_weight as a dict, a sequence or 'balanced', got {weights!r}")
        labels = None if isinstance(y, (dict, tuple)) or y is None else np.asarray(y)
        if labels is None or labels.dtype.kind not in "iub" or labels.ndim != 1:
            raise ValueError("class_weight='balanced' needs all class numbers y (rows,) as an array")
        counts = np.bincount(labels, minlength=len(classes or ()))
        present = counts > 0
        balanced = np.zeros(len(counts), np.float32)
        balanced[present] = len(labels) / (np.count_nonzero(present) * counts[present])
        return balanced
    if isinstance(weights, Mapping):
        numbers = {
            _class_number(name, classes): finite("each class_weight", w) for name, w in weights.items()
        }
        found = np.ones(max([*numbers, len(classes or ()) - 1]) + 1, np.float32)
        found[list(numbers)] = list(numbers.values())
    elif isinstance(weights, (Sequence, np.ndarray)):
        given = np.asarray(weights)
        if given.dtype.kind not in "biuf":
            raise TypeError(f"expected class_weight as numbers, got {weights!r}")
        found = given.astype(np.float32)
    else:
        raise TypeError(f"expected class_weight as a dict, a sequence or 'balanced', got {weights!r}")
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"expected class_weight as finite numbers of at least 0, got {weights!r}")
    return found


def _class_number(name: Any, classes: Classes) -> int:
    if isinstance(name, str):
        if classes is None or name not in classes:
            known = f"the classes {', '.join(classes)}" if classes else "class numbers"
            raise ValueError(f"class_weight: expected {known}, got {name!r}")
        return classes.index(name)
    if not is_integer(name) or name < 0:
        raise ValueError(f"class_weight: expected class numbers or names, got {name!r}")
    return int(name)


def weights_of_rows(weights: NDArray[np.float32], y: Any, given: Any) -> NDArray[np.float32]:
    """Return the weights of a batch's rows or pixels: that of their class, times the given one of the row."""
    labels: NDArray[Any] = y if isinstance(y, np.ndarray) else np.empty(0)
    if labels.ndim == 2 and labels.dtype.kind == "f" and labels.shape[1] == len(weights):
        labels = labels.argmax(axis=1)
    if labels.dtype.kind not in "iub" or labels.ndim == 2:
        raise ValueError(
            "class_weight needs class numbers (rows,), one-hot rows of floats or class numbers of pixels "
            f"(rows, height, width) as y, got {_kind(y)}"
        )
    counts = (labels >= 0) & (labels < len(weights))
    found = np.where(counts, weights[np.where(counts, labels, 0)], np.float32(1))
    if given is not None:
        rows: Any = np.asarray(given, np.float32)
        found = found * rows.reshape(-1, *[1] * (found.ndim - 1))
    return np.asarray(found, np.float32)


def _kind(y: Any) -> str:
    return f"{y.dtype} of shape {y.shape}" if isinstance(y, np.ndarray) else type(y).__name__
