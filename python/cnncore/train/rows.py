# SPDX-License-Identifier: Apache-2.0
"""Inputs and targets: an array, or a dict or tuple of arrays with the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graph.arrays import to_array
from ..graph.trace import map_tree


class Batch(NamedTuple):
    """Some rows: inputs, targets, and weights or None."""

    x: Any
    y: Any
    weight: Any = None


def rows_of(tree: Any) -> int:
    """Return how many rows there are."""
    return len(first_leaf(tree))


def first_leaf(tree: Any) -> Any:
    """Return the first array in a dict or tuple of arrays, or the array itself."""
    while isinstance(tree, (dict, tuple)):
        tree = next(iter(tree.values())) if isinstance(tree, dict) else tree[0]
    return tree


def is_several(value: Any) -> bool:
    """Whether a value is several inputs, a dict or tuple of arrays, and not rows of one."""
    if isinstance(value, dict):
        return bool(value)
    if not isinstance(value, tuple) or not value:
        return False
    return all(hasattr(part, "shape") or isinstance(part, dict) for part in value)


def as_rows(name: str, value: Any, convert: Callable[[Any], Any] = to_array) -> Any:
    """Return an array, or a dict or tuple of arrays, with at least one row and as many in each.

    Raises:
        ValueError: no rows, or different numbers of them.
    """
    if is_several(value):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        found = {key: as_rows(f"{name}[{key!r}]", part, convert) for key, part in parts}
        counts = {key: rows_of(part) for key, part in found.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"expected as many rows in each of {name}, got {counts}")
        return found if isinstance(value, dict) else tuple(found.values())
    array = convert(value)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"expected {name} with at least one row, got shape {array.shape}")
    return array


def shapes(tree: Any) -> Any:
    """Return the shapes of arrays, for messages."""
    return map_tree(lambda array: array.shape, tree)


def take(tree: Any, chosen: Any) -> Any:
    """Return the rows of these numbers or of a slice."""
    return map_tree(lambda array: array[chosen], tree)


def checked_weights(weights: Any, rows: int) -> NDArray[np.float32]:
    """Return weights of rows, (rows,), float32."""
    array = to_array(weights)
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise ValueError(f"expected a weight for each of {rows} rows, got shape {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("expected weights of rows that are finite and at least 0")
    return array.astype(np.float32, copy=False)
