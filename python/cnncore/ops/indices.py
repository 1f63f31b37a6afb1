# SPDX-License-Identifier: Apache-2.0
"""Indices as tensors: each within its axis, or an error when the program runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, where
from .build import Single, decided


class IndicesAttributes(NamedTuple):
    """Indices are from `least` to `most`; `extent` is that of the axis they are places of."""

    least: int
    most: int
    extent: int


class PlaceIndices(Op):
    """[integers] -> [int64 places from 0 to extent - 1, how many are outside (int64 scalar)]: one pass.

    Where `least` is negative, negative indices count from the end; those outside become the nearest inside.
    """

    name = "place_indices"
    differentiable = False
    Inputs = Single
    Attributes = IndicesAttributes

    def infer(self, inputs: Single, attrs: IndicesAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, "int64", x.layout), ((), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class RangeAttributes(NamedTuple):
    least: int
    most: int


class CountOutside(Op):
    """[integers] -> [how many are outside least .. most (int64 scalar)]."""

    name = "count_outside"
    differentiable = False
    Inputs = Single
    Attributes = RangeAttributes

    def infer(self, inputs: Single, attrs: RangeAttributes) -> list[Spec | None]:
        return [((), "int64", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        least, most = node.attrs
        attrs = {"least": least, "most": most, "extent": 0}
        builder.step(PlaceIndices.name, builder.slots(node.inputs), [None, builder.slot(node.output)], attrs)


def require_range(x: Tensor, least: int, most: int, op: str, what: str = "indices") -> None:
    """Let calls raise ValueError when an element of `x` is outside least .. most."""
    message = _message(least, most, op, what)
    if not _known(x, least, most, message):
        outside = emit(CountOutside, Single(decided(x)), RangeAttributes(least, most)).output
        current_graph().checks.append((outside, message))


def _message(least: int, most: int, op: str, what: str) -> str:
    return f"[{where(op)}] expected {what} from {least} to {most}, got {{}} outside"


def _known(x: Tensor, least: int, most: int, message: str) -> bool:
    """Whether the elements are known now; raises ValueError where one is outside."""
    if not isinstance(x.source, np.ndarray):
        return False
    count = int(((x.source < least) | (x.source > most)).sum())
    if count:
        raise ValueError(message.format(count))
    return True


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
    attrs = IndicesAttributes(-extent if negative else 0, extent - 1, max(1, extent))
    message = _message(attrs.least, attrs.most, op, "indices")
    if _known(x, attrs.least, attrs.most, message):
        known = np.asarray(x.source).astype(np.int64)
        return as_tensor(np.where(known < 0, known + extent, known))
    places, outside = emit(PlaceIndices, Single(x), attrs).outputs
    current_graph().checks.append((present(outside), message))
    return present(places)
