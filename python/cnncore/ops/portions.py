# SPDX-License-Identifier: Apache-2.0
"""The ends of a stretch of a graph that runs for one portion of the batch after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor


class Portions(NamedTuple):
    """`portions` is their number."""

    portions: int


class SplitBatch(Op):
    """[batch, ...] -> [portion of it, ...]."""

    name = "split_batch"
    differentiable = False
    Attributes = Portions

    def infer(self, inputs: Sequence[Tensor], attrs: Portions) -> list[Spec | None]:
        return [((x.shape[0] // attrs.portions, *x.shape[1:]), x.dtype, x.layout) for x in inputs]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.begin_portions(node)


class JoinBatch(Op):
    """[portion, ...] -> [the batch they are of, ...]."""

    name = "join_batch"
    differentiable = False
    joins_portions = True
    Attributes = Portions

    def infer(self, inputs: Sequence[Tensor], attrs: Portions) -> list[Spec | None]:
        return [((x.shape[0] * attrs.portions, *x.shape[1:]), x.dtype, x.layout) for x in inputs]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.end_portions()
