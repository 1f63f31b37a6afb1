# SPDX-License-Identifier: Apache-2.0
"""Indices as tensors: each within its axis, or an error when the program runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, current_graph, dtype_error, where
from .build import cast, integral, reduce, reshape_to


def _number(value: int) -> Tensor:
    return as_tensor(np.array(value), "index")


def require_range(x: Tensor, least: int, most: int, op: str, what: str = "indices") -> None:
    """Let calls raise ValueError when an element of `x` is outside least .. most."""
    message = f"[{where(op)}] expected {what} from {least} to {most}, got {{}} outside"
    if isinstance(x.source, np.ndarray):
        count = int(((x.source < least) | (x.source > most)).sum())
        if count:
            raise ValueError(message.format(count))
        return
    below = integral("greater", "bool", _number(least), x)
    above = integral("greater", "bool", x, _number(most))
    outside = integral("bit_or", "bool", below, above)
    flat = reshape_to(outside, (outside.size,))
    current_graph().checks.append((reduce("sum", flat, (0,)), message))


def indices_within(value: Any, extent: int, op: str, negative: bool = False) -> Tensor:
    """Return indices (int64) from 0 to extent - 1; with `negative`, those from -extent on count from the end.

    Raises:
        TypeError: not integers.
        ValueError: an index outside, when the program runs where it is not known before. What runs until then
            reads at the nearest index inside.
    """
    x = as_tensor(value, op)
    if x.dtype in ("float32", "bool"):
        raise dtype_error(op, f"expected integer indices, got {x.dtype}")
    require_range(x, -extent if negative else 0, extent - 1, op)
    if isinstance(x.source, np.ndarray):
        places = x.source.astype(np.int64)
        return as_tensor(np.where(places < 0, places + extent, places), op)
    x = cast(x, "int64")
    if negative:
        wrapped = integral("add", "int64", x, _number(extent))
        x = integral("select", "int64", integral("greater", "bool", _number(0), x), wrapped, x)
    return integral("minimum", "int64", integral("maximum", "int64", x, _number(0)), _number(extent - 1))
