# SPDX-License-Identifier: Apache-2.0
"""Reductions over axes: sums and means; and the places of maxima."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import ReduceAttributes, Single, elementwise, expand_to, keep_axes, reduce, reshape_to
from .check import float_tensor, many_dims, one_dim


class Reduce(Op):
    """Reduces `axes` (ascending) away: sum, mean, max, min, sum_squares, argmax."""

    name = "reduce"
    Inputs = Single
    Attributes = ReduceAttributes

    def infer(self, inputs: Single, attrs: ReduceAttributes) -> list[Spec | None]:
        x = inputs.input
        shape = tuple(n for i, n in enumerate(x.shape) if i not in attrs.axes)
        return [(shape, "int64" if attrs.function == "argmax" else "float32", x.layout)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        x, grad = node.inputs.input, present(grads[0])
        function, axes = node.attrs
        if function == "mean":
            count = prod(x.shape[i] for i in axes)
            grad = elementwise("mul_scalar", grad, alpha=1.0 / count if count else nan)
        grad = keep_axes(grad, x, axes)
        if function in ("sum", "mean"):
            return [expand_to(grad, x.shape)]
        if function == "sum_squares":
            return [elementwise("square_backward", grad, x)]
        return [share(present(grads[0]), x, node.output, axes)]

    def of_nothing(self, node: Node) -> float:
        values = {"sum": 0.0, "sum_squares": 0.0, "mean": nan}
        function = node.attrs.function
        return values[function] if function in values else super().of_nothing(node)

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = node.attrs._asdict()
        builder.step(Reduce.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def share(grad: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the gradient by `x` of `y`, an element for all `axes`: those equal to it have equal shares."""
    chosen = elementwise("equal", x, keep_axes(y, x, axes))
    count = keep_axes(reduce("sum", chosen, axes), x, axes)
    return elementwise("mul", chosen, elementwise("div", keep_axes(grad, x, axes), count))


class ArgMax(Reduce):
    """The index of the maximum along one axis; it has no gradient."""

    name = "argmax"
    differentiable = False


def _reduction(function: str, op: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    x = float_tensor(input, op)
    axes = many_dims(dim, x.ndim, op)
    if not axes:
        return x
    y = reduce(function, x, axes)
    return keep_axes(y, x, axes) if keepdim else y


@operator("input")
def sum(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the sum over axes `dim` (None: all); `keepdim` keeps them with extent 1.

    >>> from cnncore import ops
    >>> ops.sum([[1, 2], [3, 4]], dim=1).tolist()
    [3.0, 7.0]
    """
    return _reduction("sum", "sum", input, dim, keepdim)


@operator("input")
def mean(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the mean over axes `dim` (None: all); `keepdim` keeps them with extent 1.

    >>> from cnncore import ops
    >>> ops.mean([[1, 2], [3, 4]]).item()
    2.5
    """
    return _reduction("mean", "mean", input, dim, keepdim)


@operator("input")
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index (int64) of the first maximum along axis `dim` (None: of all elements in C order).

    Indices carry no gradient: they add nothing to it, and a loss that depends on parameters through nothing
    else raises, as in torch.

    >>> from cnncore import ops
    >>> ops.argmax([[1, 2], [4, 3]], dim=1).tolist()
    [1, 0]
    """
    x = float_tensor(input, "argmax")
    flat = reshape_to(x, (x.size,)) if dim is None else x
    axis = (0 if dim is None else one_dim(dim, x.ndim, "argmax"),)
    y = emit(ArgMax, Single(flat), ReduceAttributes(ArgMax.name, axis)).output
    if not keepdim:
        return y
    return reshape_to(y, (1,) * x.ndim) if dim is None else keep_axes(y, x, axis)
