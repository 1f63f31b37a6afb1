# SPDX-License-Identifier: Apache-2.0
"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import Single, with_layout
from .check import float_tensor, one_dim


class AxisAttributes(NamedTuple):
    axis: int


class BackwardInputs(NamedTuple):
    grad: Tensor
    y: Tensor


class Softmax(Op):
    """exp(x) / sum(exp(x)) along an axis."""

    name = "softmax"
    Inputs = Single
    Attributes = AxisAttributes

    def infer(self, inputs: Single, attrs: AxisAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, "float32", x.layout)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        grad = with_layout(present(grads[0]), node.output.layout)
        backward = LogSoftmaxBackward if isinstance(self, LogSoftmax) else SoftmaxBackward
        return [emit(backward, BackwardInputs(grad, node.output), node.attrs).output]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class LogSoftmax(Softmax):
    """x - log(sum(exp(x))) along an axis."""

    name = "log_softmax"


class SoftmaxBackward(Op):
    """[grad_output, y] -> [grad_input]."""

    name = "softmax_backward"
    Inputs = BackwardInputs
    Attributes = AxisAttributes

    def infer(self, inputs: BackwardInputs, attrs: AxisAttributes) -> list[Spec | None]:
        y = inputs.y
        return [(y.shape, "float32", y.layout)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class LogSoftmaxBackward(SoftmaxBackward):
    name = "log_softmax_backward"


def along(function: type[Softmax], x: Tensor, axis: int) -> Tensor:
    """Add softmax or its logarithm along an axis."""
    return emit(function, Single(x), AxisAttributes(axis)).output


@operator("input")
def softmax(input: Any, dim: int = -1) -> Tensor:
    """Return exp(input) / sum(exp(input)) along axis `dim`, without overflow.

    >>> from cnncore import ops
    >>> ops.softmax([[1000, 1000]]).tolist()
    [[0.5, 0.5]]
    """
    x = float_tensor(input, "softmax")
    return along(Softmax, x, one_dim(dim, x.ndim, "softmax"))


@operator("input")
def log_softmax(input: Any, dim: int = -1) -> Tensor:
    """Return the logarithm of `softmax(input, dim)`, without underflow.

    >>> from cnncore import ops
    >>> ops.log_softmax([[0, -1000]]).tolist()
    [[0.0, -1000.0]]
    """
    x = float_tensor(input, "log_softmax")
    return along(LogSoftmax, x, one_dim(dim, x.ndim, "log_softmax"))
