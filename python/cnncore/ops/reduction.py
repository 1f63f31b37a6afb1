# SPDX-License-Identifier: Apache-2.0
"""What losses share: their `reduction`, weights, shapes, guards."""

from __future__ import annotations

from typing import Any

from ..graph.tensor import Tensor
from ..graph.trace import current_graph, shape_error, where
from .build import cast, elementwise, reduce
from .check import float_tensor
from .formula import Function, apply

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: Any, op: str) -> str:
    """Return "none", "mean" or "sum", or raise."""
    if reduction not in REDUCTIONS:
        raise shape_error(op, f"expected reduction 'none', 'mean' or 'sum', got {reduction!r}")
    return str(reduction)


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Return losses as they are, their mean or their sum."""
    return values if reduction == "none" else reduce(reduction, values, tuple(range(values.ndim)))


def one_shape(op: str, **tensors: Any) -> list[Tensor]:
    """Return arguments as float32 tensors of one shape, or raise with their names."""
    found = [float_tensor(value, op) for value in tensors.values()]
    if any(tensor.shape != found[0].shape for tensor in found):
        names, shapes = list(tensors), [str(tensor.shape) for tensor in found]
        raise shape_error(
            op,
            f"expected {', '.join(names[:-1])} and {names[-1]} of one shape, "
            f"got {', '.join(shapes[:-1])} and {shapes[-1]}",
        )
    return found


def element_losses(
    op: str, fn: Function, *inputs: Tensor, weight: Any = None, reduction: Any = "mean", **settings: Any
) -> Tensor:
    """Return a formula of tensors of one shape, reduced; with `weight`, of that shape, its weighted mean."""
    reduction = check_reduction(reduction, op)
    if weight is None:
        return apply(fn, *inputs, reduction=reduction, **settings)
    (first, *_), factors = inputs, float_tensor(weight, op)
    if factors.shape != first.shape:
        raise shape_error(op, f"expected weight of input's shape {first.shape}, got {factors.shape}")
    losses = elementwise("mul", apply(fn, *inputs, **settings), factors)
    if reduction != "mean":
        return reduced(losses, reduction)
    return elementwise("div", reduced(losses, "sum"), reduced(factors, "sum"))


def expect_none(bad: Function, values: Tensor, op: str, message: str) -> None:
    """Make a run raise `message`, with their number in place of {}, where a formula is 1 instead of 0."""
    count = cast(apply(bad, values, reduction="sum"), "int64")
    current_graph().checks.append((count, f"[{where(op)}] {message}"))
