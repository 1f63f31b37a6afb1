# SPDX-License-Identifier: Apache-2.0
"""Rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .build import reshape_to
from .check import float_tensor, integer
from .comparison import equal, where
from .detach import detach
from .gather import take_axis
from .indices import indices_within

__all__ = ["embedding"]


@operator("input", "weight")
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a table at the given numbers.

    Args:
        input: integers of any shape (*), from 0 to entries - 1.
        weight: the table (entries, features).
        padding_idx: a number whose row gets no gradient; negative ones count from the end.
        max_norm: refused: it would change the table in the forward pass.
        norm_type: of `max_norm`.
        scale_grad_by_freq, sparse: refused when true: gradients are dense sums.

    Returns:
        (*, features).

    Raises:
        TypeError: numbers that are no integers.
        ValueError: a number outside the table, when the program runs where it is not known before.

    >>> from cnncore import ops
    >>> ops.embedding([2, 0], [[1, 2], [3, 4], [5, 6]]).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    op = "embedding"
    for name, given in (
        ("max_norm", max_norm),
        ("scale_grad_by_freq", scale_grad_by_freq),
        ("sparse", sparse),
    ):
        if given:
            raise shape_error(op, f"{name} is not available; scale the table or its gradient in the step")
    table = float_tensor(weight, op)
    if table.ndim != 2:
        raise shape_error(op, f"expected a weight (entries, features), got shape {table.shape}")
    entries, features = table.shape
    numbers = as_tensor(input, op)
    places = indices_within(numbers, entries, op)
    flat = reshape_to(places, (places.size,))
    rows = take_axis(table, flat, 0)
    if padding_idx is not None:
        padding = integer(padding_idx, "padding_idx", op)
        if not -entries <= padding < entries:
            raise shape_error(op, f"expected padding_idx from {-entries} to {entries - 1}, got {padding}")
        unused = reshape_to(equal(flat, padding % entries), (places.size, 1))
        rows = where(unused, detach(rows), rows)
    return reshape_to(rows, (*places.shape, features))
