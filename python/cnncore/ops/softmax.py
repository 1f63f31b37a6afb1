# SPDX-License-Identifier: Apache-2.0
"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import OPS, Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import with_layout
from .check import float_tensor, one_dim


class Softmax(Op):
    """exp(x) / sum(exp(x)) along an axis."""

    name = "softmax"

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        return [(x.shape, "float32", x.layout)]

    def gradient(
        self, node: Node, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        grad = with_layout(present(grads[0]), node.output.layout)
        return [emit(OPS[f"{self.name}_backward"], [grad, node.output], node.attrs).output]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class LogSoftmax(Softmax):
    """x - log(sum(exp(x))) along an axis."""

    name = "log_softmax"


class SoftmaxBackward(Op):
    """[grad_output, y] -> [grad_input]."""

    name = "softmax_backward"

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        y = present(inputs[1])
        return [(y.shape, "float32", y.layout)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class LogSoftmaxBackward(SoftmaxBackward):
    name = "log_softmax_backward"


def along(function: str, x: Tensor, axis: int) -> Tensor:
    """Add `function` ("softmax" or "log_softmax") along an axis."""
    return emit(OPS[function], [x], {"axis": axis}).output


@operator("input")
def softmax(input: Any, dim: int = -1) -> Tensor:
    """Return exp(input) / sum(exp(input)) along axis `dim`, without overflow.

    >>> from cnncore import ops
    >>> ops.softmax([[1000, 1000]]).tolist()
    [[0.5, 0.5]]
    """
    x = float_tensor(input, "softmax")
    return along("softmax", x, one_dim(dim, x.ndim, "softmax"))


@operator("input")
def log_softmax(input: Any, dim: int = -1) -> Tensor:
    """Return the logarithm of `softmax(input, dim)`, without underflow.

    >>> from cnncore import ops
    >>> ops.log_softmax([[0, -1000]]).tolist()
    [[0.0, -1000.0]]
    """
    x = float_tensor(input, "log_softmax")
    return along("log_softmax", x, one_dim(dim, x.ndim, "log_softmax"))
