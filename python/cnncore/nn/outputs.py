# SPDX-License-Identifier: Apache-2.0
"""Joining a module's outputs for several batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def join_rows(parts: Sequence[Any], rows: Sequence[int]) -> Any:
    """Return the outputs of several batches as those of one: nested dicts, lists and tuples of arrays.

    Args:
        parts: the outputs, alike in structure.
        rows: the rows of each batch.

    Raises:
        ValueError: an output that has not one row for each row of its batch.

    >>> join_rows([{"a": (np.zeros((2, 3)),)}, {"a": (np.zeros((1, 3)),)}], [2, 1])["a"][0].shape
    (3, 3)
    """
    return _join(parts, rows, "output")


def _join(parts: Sequence[Any], rows: Sequence[int], place: str) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _join([part[key] for part in parts], rows, f"{place}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)):
        values = [
            _join(column, rows, f"{place}[{index}]") for index, column in enumerate(zip(*parts, strict=True))
        ]
        return type(first)(*values) if hasattr(first, "_fields") else type(first)(values)
    if first is None:
        return None
    for part, count in zip(parts, rows, strict=True):
        if np.ndim(part) == 0 or len(part) % count:
            raise ValueError(
                f"predict joins outputs row by row: expected {place} to have a row for each of the {count} "
                f"rows of x, got shape {np.shape(part)}; call the module itself for what is no value of a row"
            )
    return first if len(parts) == 1 else np.concatenate(parts)
