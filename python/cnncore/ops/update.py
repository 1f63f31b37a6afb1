# SPDX-License-Identifier: Apache-2.0
"""The update of a training step: the machine's optimiser steps as an operation of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor


class OptimizerUpdate(Op):
    """[hyper, gradient scale?, (p, g, slots...) of each parameter] -> [(p', slots'...) of each], in place.

    attrs: step (the name of the machine's step), count (tensors per parameter, without the gradient),
    settings (those of the machine's step).
    """

    name = "optimizer_update"
    differentiable = False
    varies = True
    writes_updates = True

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        kept = [t for i, t in enumerate(inputs[2:]) if i % (attrs["count"] + 1) != 1]
        return [None if t is None else (t.shape, t.dtype, t.layout) for t in kept]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(
            node.attrs["step"],
            builder.slots(node.inputs),
            builder.slots(node.outputs),
            node.attrs["settings"],
        )
