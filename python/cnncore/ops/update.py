# SPDX-License-Identifier: Apache-2.0
"""The update of a training step: the machine's optimiser steps as an operation of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor


class UpdateAttributes(NamedTuple):
    """Name and settings of the machine's step, and how many tensors a parameter has beside the gradient."""

    step: str
    tensors: int
    settings: tuple[tuple[str, Any], ...]


class OptimizerUpdate(Op):
    """[hyper, gradient scale?, (p, g, slots...) of each parameter] -> [(p', slots'...) of each], in place."""

    name = "optimizer_update"
    differentiable = False
    varies = True
    writes_updates = True
    Attributes = UpdateAttributes

    def infer(self, inputs: Sequence[Tensor | None], attrs: UpdateAttributes) -> list[Spec | None]:
        _, _, *rest = inputs
        kept = [t for i, t in enumerate(rest) if i % (attrs.tensors + 1) != 1]
        return [None if t is None else (t.shape, t.dtype, t.layout) for t in kept]

    def lower(self, node: Node, builder: Builder) -> None:
        step, _, settings = node.attrs
        builder.step(step, builder.slots(node.inputs), builder.slots(node.outputs), dict(settings))
