# SPDX-License-Identifier: Apache-2.0
"""Products with one-hot rows, as tf2onnx and jax write embeddings: they read rows of the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...graph.dtype import is_float
from ...graph.tensor import Tensor
from ...ops.elementwise import Elementwise, is_cast


def hot_places(a: Any) -> Tensor | None:
    """Return the integers (..., 1) that one-hot rows (..., classes) were made of: where they have their one.

    Such rows are a comparison of the integers with 0, 1, ..., turned into floats; None for all others.
    """
    if not isinstance(a, Tensor) or a.node is None or not is_cast(a.node):
        return None
    (found,) = a.node.inputs
    compared = found.node
    if compared is None or not isinstance(compared.op, Elementwise) or compared.attrs.function != "equal":
        return None
    pairs: tuple[tuple[Tensor, Tensor], ...] = (tuple(compared.inputs), tuple(reversed(compared.inputs)))
    for places, classes in pairs:
        whole = not is_float(places.dtype) and places.shape == (*a.shape[:-1], 1)
        if whole and isinstance(classes.source, np.ndarray):
            count = a.shape[-1]
            counted = classes.shape[-1:] == (count,) and classes.source.size == count
            if counted and (classes.source.reshape(-1) == np.arange(count)).all():
                return places
    return None


def rows_at(matrix: Any, places: Any) -> Any:
    """Return the rows of a matrix (classes, features) at places (..., 1), zeros at places outside of it."""
    classes, features = matrix.shape
    inside = ops.logical_and(ops.greater_equal(places, 0), ops.less(places, classes))
    safe = ops.reshape(ops.where(inside, places, 0), (-1,))
    rows = ops.reshape(ops.index_select(matrix, 0, safe), (*places.shape[:-1], features))
    return ops.where(inside, rows, 0.0)
