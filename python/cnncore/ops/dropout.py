# SPDX-License-Identifier: Apache-2.0
"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import current_graph, emit
from .build import Single, with_layout
from .check import float_tensor, real


class DropoutAttributes(NamedTuple):
    """`key` numbers the dropouts of a graph."""

    p: float
    key: int


class Dropout(Op):
    """[x] -> [x * mask / (1 - p)]; the mask follows from (seed, step, key, element), so the gradient is
    the same operation with the same key."""

    name = "dropout"
    varies = True
    Inputs = Single
    Attributes = DropoutAttributes

    def infer(self, inputs: Single, attrs: DropoutAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, "float32", x.layout)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        grad = with_layout(present(grads[0]), node.output.layout)
        return [emit(Dropout, Single(grad), node.attrs).output]

    def lower(self, node: Node, builder: Builder) -> None:
        inputs = [*builder.slots(node.inputs), builder.bind_rng()]
        builder.step(self.name, inputs, builder.slots(node.outputs), node.attrs._asdict(), inplace=[(0, 0)])


@operator("input")
def dropout(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p), when training.

    The choice follows from `manual_seed`, the number of the run and the element's position, not from
    the number of threads.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    x = float_tensor(input, "dropout")
    p = real(p, "a probability p", "dropout", 0, 1)
    if not training or p == 0.0:
        return x
    graph = current_graph()
    graph.dropouts += 1
    return emit(Dropout, Single(x), DropoutAttributes(float(p), graph.dropouts)).output
