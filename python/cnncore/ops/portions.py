# SPDX-License-Identifier: Apache-2.0
"""The ends of a stretch of a graph that runs for one portion of the batch after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present


class SplitBatch(Op):
    """[batch, ...] -> [portion of it, ...]. attrs: portions, their number."""

    name = "split_batch"
    differentiable = False

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        return [
            ((x.shape[0] // attrs["portions"], *x.shape[1:]), x.dtype, x.layout) for x in map(present, inputs)
        ]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.begin_portions(node)


class JoinBatch(Op):
    """[portion, ...] -> [the batch they are of, ...]. attrs: portions, their number."""

    name = "join_batch"
    differentiable = False
    joins_portions = True

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        return [
            ((x.shape[0] * attrs["portions"], *x.shape[1:]), x.dtype, x.layout) for x in map(present, inputs)
        ]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.end_portions()
