# SPDX-License-Identifier: Apache-2.0
"""Gated linear units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .build import Single, elementwise, window, with_layout
from .check import float_tensor, one_dim
from .parts import concat
from .pull_back import pull_back
from .softmax import AxisAttributes

__all__ = ["glu"]

Grads = Sequence[Tensor | None]


def _halves(x: Tensor, axis: int) -> list[Tensor]:
    half = x.shape[axis] // 2
    shape = tuple(half if i == axis else n for i, n in enumerate(x.shape))
    starts = [tuple(at if i == axis else 0 for i in range(x.ndim)) for at in (0, half)]
    return [window(x, start, (1,) * x.ndim, shape) for start in starts]


class Glu(Op):
    """[x] -> [a sigmoid(b)], a and b being the halves along an axis."""

    name = "glu"
    Inputs = Single
    Attributes = AxisAttributes

    def infer(self, inputs: Single, attrs: AxisAttributes) -> list[Spec | None]:
        x, axis = inputs.input, attrs.axis
        return [((*x.shape[:axis], x.shape[axis] // 2, *x.shape[axis + 1 :]), "float32", x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad = with_layout(present(grads[0]), node.output.layout)
        return [emit(GluBackward, GluBackwardInputs(grad, node.inputs.input), node.attrs).output]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def images(self, node: Node) -> Sequence[str]:
        return ("input",) if node.attrs.axis else ()

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class GluBackwardInputs(NamedTuple):
    grad: Tensor
    input: Tensor


class GluBackward(Op):
    """[grad, x] -> [grad_x]."""

    name = "glu_backward"
    Inputs = GluBackwardInputs
    Attributes = AxisAttributes

    def infer(self, inputs: GluBackwardInputs, attrs: AxisAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, "float32", x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        axis = node.attrs.axis

        def compute(grad: Tensor, x: Tensor) -> list[Tensor | None]:
            a, b = _halves(x, axis)
            gate = elementwise("sigmoid", b)
            by_gate = elementwise("sigmoid_backward", elementwise("mul", grad, a), gate)
            return [concat([elementwise("mul", grad, gate), by_gate], axis)]

        return pull_back(compute, node.inputs, grads, needs)

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


@operator("input")
def glu(input: Any, dim: int = -1) -> Tensor:
    """Return a * sigmoid(b), a and b being the halves of the input along `dim` (Dauphin et al., 2017).

    Args:
        input: any shape with an even extent along `dim`.
        dim: the axis that is halved.

    Raises:
        ValueError: an odd extent.

    >>> from cnncore import ops
    >>> ops.glu([[2.0, 0.0]]).tolist()
    [[1.0]]
    """
    x = float_tensor(input, "glu")
    axis = one_dim(dim, x.ndim, "glu")
    if x.shape[axis] % 2:
        raise shape_error("glu", f"expected an even extent along axis {axis}, got {x.shape}")
    return emit(Glu, Single(x), AxisAttributes(axis)).output
