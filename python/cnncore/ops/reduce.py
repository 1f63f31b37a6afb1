# SPDX-License-Identifier: Apache-2.0
"""Reductions over axes: sums, means and products, whether any or all hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from math import prod as product
from typing import Any

from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor
from .build import (
    ReduceAttributes,
    Single,
    cast,
    elementwise,
    expand_to,
    keep_axes,
    permute_to,
    reduce,
    reshape_to,
)
from .check import float_tensor, many_dims
from .comparison import truth
from .cumulative import products_before
from .promotion import dtype_named, require_float32

__all__ = ["all", "any", "count_nonzero", "mean", "prod", "sum"]


class Reduce(Op):
    """Reduces `axes` (ascending) away: sum, mean, prod, max, min, sum_squares, argmax of float32;
    sum and prod of integers and booleans, as int64."""

    name = "reduce"
    Inputs = Single
    Attributes = ReduceAttributes

    def infer(self, inputs: Single, attrs: ReduceAttributes) -> list[Spec | None]:
        x = inputs.input
        shape = tuple(n for i, n in enumerate(x.shape) if i not in attrs.axes)
        whole = attrs.function == "argmax" or not is_float(x.dtype)
        return [(shape, "int64" if whole else "float32", x.layout)]

    def images(self, node: Node) -> Sequence[str]:
        return () if 0 in node.attrs.axes else ("input",)

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        x, grad = node.inputs.input, present(grads[0])
        function, axes = node.attrs
        if function == "mean":
            count = product(x.shape[i] for i in axes)
            grad = elementwise("mul_scalar", grad, alpha=1.0 / count if count else nan)
        grad = keep_axes(grad, x, axes)
        if function in ("sum", "mean"):
            return [expand_to(grad, x.shape)]
        if function == "sum_squares":
            return [elementwise("square_backward", grad, x)]
        if function == "prod":
            return [elementwise("mul", grad, product_of_others(x, axes))]
        return [share(present(grads[0]), x, node.output, axes)]

    def of_nothing(self, node: Node) -> float:
        values = {"sum": 0.0, "sum_squares": 0.0, "prod": 1.0, "mean": nan}
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


def product_of_others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return for each element the product over `axes` of all the others, zeros among them or not."""
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*kept, *axes)
    moved = permute_to(x, order)
    rows = reshape_to(moved, (*(x.shape[i] for i in kept), product(x.shape[i] for i in axes)))
    axis = rows.ndim - 1
    before, after = products_before(rows, axis), products_before(rows, axis, reverse=True)
    others = reshape_to(elementwise("mul", before, after), moved.shape)
    return permute_to(others, tuple(order.index(i) for i in range(x.ndim)))


def _reduction(function: str, op: str, x: Tensor, dim: Any, keepdim: bool, dtype: Any = None) -> Tensor:
    """Add a reduction; integers and booleans give int64, or `dtype` where one is given."""
    axes = many_dims(dim, x.ndim, op)
    if axes:
        y = reduce(function, x, axes)
        y = keep_axes(y, x, axes) if keepdim else y
    else:
        y = x if is_float(x.dtype) else cast(x, "int64")
    return y if dtype is None else cast(y, x.dtype)


def _numbers(input: Any, dtype: Any, op: str) -> Tensor:
    """Return an argument of a sum: as `dtype` where one is given."""
    x = as_tensor(input, op)
    return x if dtype is None else cast(x, dtype_named(dtype, op))


@operator("input")
def sum(
    input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the sum over axes `dim` (None: all); `keepdim` keeps them with extent 1.

    Integers and booleans give int64, exactly; `dtype` converts the elements first and is the result's.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.sum([[1, 2], [3, 4]], dim=1).tolist(), ops.sum([0.5, 0.25]).item()
    ([3, 7], 0.75)
    """
    return _reduction("sum", "sum", _numbers(input, dtype, "sum"), dim, keepdim, dtype)


@operator("input")
def prod(
    input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the product over axes `dim` (None: all); `keepdim` keeps them with extent 1.

    Integers and booleans give int64, modulo 2^64; `dtype` converts the elements first and is the result's.
    The gradient is right for zeros, too.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.prod([[1, 2], [3, 4]], dim=1).tolist()
    [2, 12]
    """
    return _reduction("prod", "prod", _numbers(input, dtype, "prod"), dim, keepdim, dtype)


@operator("input")
def mean(
    input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the mean over axes `dim` (None: all); `keepdim` keeps them with extent 1.

    Integers and booleans are converted to float32, where torch refuses them; `dtype` is float32 or None.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.
        TypeError: another dtype than float32.

    >>> from cnncore import ops
    >>> ops.mean([[1, 2], [3, 4]]).item()
    2.5
    """
    require_float32(dtype, "mean")
    return _reduction("mean", "mean", float_tensor(input, "mean"), dim, keepdim)


@operator("input")
def any(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return whether any element over axes `dim` (None: all) is not zero; NaN is not.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.any([[True, False], [False, False]], dim=1).tolist()
    [True, False]
    """
    x = truth(as_tensor(input, "any"))
    return cast(_reduction("max", "any", x, dim, keepdim), "bool")


@operator("input")
def all(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return whether no element over axes `dim` (None: all) is zero.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.all([[True, False], [True, True]], dim=1).tolist()
    [False, True]
    """
    x = truth(as_tensor(input, "all"))
    return cast(_reduction("min", "all", x, dim, keepdim), "bool")


@operator("input")
def count_nonzero(input: Any, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Return the number (int64) of elements over axes `dim` (None: all) that are not zero.

    Raises:
        ValueError: an axis that `input` does not have, or the same one twice.

    >>> from cnncore import ops
    >>> ops.count_nonzero([[3, 0], [1, 2]], dim=1).tolist()
    [1, 2]
    """
    return _reduction("sum", "count_nonzero", cast(as_tensor(input, "count_nonzero"), "bool"), dim, False)
