# SPDX-License-Identifier: Apache-2.0
"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import Single, elementwise, keep_axes, reduce, reshape_to, with_layout
from .check import float_tensor, one_dim
from .promotion import require_float32
from .pull_back import pull_back


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

    def images(self, node: Node) -> Sequence[str]:
        return ("input",) if node.attrs.axis else ()

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

    def images(self, node: Node) -> Sequence[str]:
        return ("grad", "y") if node.attrs.axis else ()

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        axes = (node.attrs.axis,)

        def written_out(grad: Tensor, y: Tensor) -> list[Tensor | None]:
            return [self.formula(grad, y, axes)]

        return pull_back(written_out, node.inputs, grads, needs)

    def formula(self, grad: Tensor, y: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return y (grad - sum of grad y)."""
        total = reduce("sum", elementwise("mul", grad, y), axes)
        return elementwise("mul", y, elementwise("sub", grad, keep_axes(total, y, axes)))

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class LogSoftmaxBackward(SoftmaxBackward):
    name = "log_softmax_backward"

    def formula(self, grad: Tensor, y: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return grad - exp(y) * sum of grad."""
        total = keep_axes(reduce("sum", grad, axes), y, axes)
        return elementwise("sub", grad, elementwise("mul", elementwise("exp", y), total))


def along(function: type[Softmax], x: Tensor, axis: int) -> Tensor:
    """Add softmax or its logarithm along an axis."""
    return emit(function, Single(x), AxisAttributes(axis)).output


def _softmax(function: type[Softmax], input: Any, dim: int, dtype: Any) -> Tensor:
    op = function.name
    require_float32(dtype, op)
    x = float_tensor(input, op)
    axis = one_dim(dim, max(x.ndim, 1), op)
    return along(function, x, axis) if x.ndim else reshape_to(along(function, reshape_to(x, (1,)), 0), ())


@operator("input")
def softmax(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """Return exp(input) / sum(exp(input)) along axis `dim`, without overflow.

    Args:
        input: any shape.
        dim: the axis.
        dtype: float32 or None.

    Raises:
        ValueError: `dim` is no axis of `input`.
        TypeError: another dtype than float32.

    >>> from cnncore import ops
    >>> ops.softmax([[1000, 1000]]).tolist()
    [[0.5, 0.5]]
    """
    return _softmax(Softmax, input, dim, dtype)


@operator("input")
def log_softmax(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax(input, dim)`, without underflow; `dtype` is float32 or None.

    Raises:
        ValueError: `dim` is no axis of `input`.
        TypeError: another dtype than float32.

    >>> from cnncore import ops
    >>> ops.log_softmax([[0, -1000]]).tolist()
    [[0.0, -1000.0]]
    """
    return _softmax(LogSoftmax, input, dim, dtype)
