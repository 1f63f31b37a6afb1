# SPDX-License-Identifier: Apache-2.0
"""What needs an order along one axis: sorting, extremes and their places, the most frequent element.

Equal elements keep the order of their places, whatever the number of threads; NaN counts as the largest
element, and `max`, `min` and `median` return it where there is one. Integers stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any, NamedTuple, ParamSpec

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, is_stored, shape_error
from .arithmetic import maximum, minimum
from .build import ReduceAttributes, Single, keep_axes, permute_to, reduce, reshape_to, with_layout
from .check import integers, many_dims, one_dim
from .gather import scatter_axis
from .reduce import ArgMax, share

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "argsort",
    "cummax",
    "cummin",
    "kthvalue",
    "max",
    "median",
    "min",
    "mode",
    "sort",
    "topk",
]

Grads = Sequence[Tensor | None]
P = ParamSpec("P")


class Selection(NamedTuple):
    """Elements chosen along an axis, and their places there (int64)."""

    values: Any
    indices: Any


class SelectionAttributes(NamedTuple):
    """What is taken along `axis`: so many elements; unless `kept` it is one, and the axis disappears.

    `begin`, `descending` and `nan_wins` are a sort's, `least` an extreme's. Elements equal to the one chosen
    share its gradient where it is `shared`.
    """

    axis: int
    elements: int
    kept: bool
    begin: int = 0
    descending: bool = False
    nan_wins: bool = False
    shared: bool = False
    least: bool = False


class Sort(Op):
    """[x] -> [values, indices]: elements of rank `begin` on along `axis`, as many as `count`."""

    name = "sort"
    Inputs = Single
    Attributes = SelectionAttributes
    settings: tuple[str, ...] = ("begin", "descending", "nan_wins")

    def infer(self, inputs: Single, attrs: SelectionAttributes) -> list[Spec | None]:
        x, axis = inputs.input, attrs.axis
        middle = (attrs.elements,) if attrs.kept else ()
        shape = (*x.shape[:axis], *middle, *x.shape[axis + 1 :])
        # Without its channels, channels-last memory is in C order.
        layout = Layout.C if axis == 1 and not attrs.kept else x.layout
        return [(shape, x.dtype, layout), (shape, "int64", layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, (grad, _), (values, indices) = node.inputs.input, grads, node.outputs
        if grad is None:
            return [None]
        if node.attrs.shared:
            return [share(grad, x, present(values), (node.attrs.axis,))]
        return [scatter_axis(grad, present(indices), x, node.attrs.axis)]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: int(getattr(node.attrs, key)) for key in ("axis", *self.settings)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class Mode(Sort):
    """[x] -> [values, indices]: the most frequent element along `axis`, the least of several."""

    name = "mode"
    settings = ()


class Extreme(Sort):
    """[x] -> [values, indices]: the largest element, or the smallest (`least`), along `axis`."""

    name = "extreme"
    settings = ("least",)


class RunningExtreme(Sort):
    """[x] -> [values, indices]: the largest element, or the smallest (`least`), so far along `axis`."""

    name = "running_extreme"
    settings = ("least",)


def _along(
    op: type[Sort], name: str, x: Tensor, dim: Any, count: int | None, keepdim: bool, **settings: Any
) -> Selection:
    """Add `op` along axis `dim` for the function `name`; `count` None means all elements."""
    scalar = x.ndim == 0
    if scalar:
        x, axis = reshape_to(x, (1,)), one_dim(dim, 1, name)
    else:
        axis = one_dim(dim, x.ndim, name)
    kept = keepdim or count is None or count > 1
    if axis == 0 and not kept:
        x = with_layout(x, Layout.C)  # without its first axis, channels-last memory has no layout
    attrs = SelectionAttributes(axis, x.shape[axis] if count is None else count, kept, **settings)
    values, indices = map(present, emit(op, Single(x), attrs).outputs)
    if scalar:
        values, indices = reshape_to(values, ()), reshape_to(indices, ())
    return Selection(values, indices)


def _rank(
    name: str, input: Any, dim: Any, begin: int, count: int | None, keepdim: bool, **more: Any
) -> Selection:
    """Return the elements from rank `begin` on, among whom NaN is the largest unless it wins."""
    settings = {"begin": begin, "descending": False, "nan_wins": False, **more}
    return _along(Sort, name, as_tensor(input, name), dim, count, keepdim, **settings)


def _extent(x: Tensor, dim: Any, op: str) -> int:
    return x.shape[one_dim(dim, x.ndim, op)] if x.ndim else 1


def _count(k: Any, least: int, x: Tensor, dim: Any, op: str) -> int:
    (count,) = integers(k, 1, "k", op, least=least)
    extent = _extent(x, dim, op)
    if count > extent:
        raise shape_error(op, f"expected k of at most {extent}, the extent of axis {dim}, got {count}")
    return count


def extreme(input: Any, dim: Any, keepdim: bool, least: bool, op: str) -> Any:
    """Return the largest or smallest element of all (`dim` None), or along an axis with its place."""
    x = as_tensor(input, op)
    if dim is None:
        return over_axes(x, None, keepdim, least, op)
    if isinstance(dim, (tuple, list)):
        raise shape_error(
            op, f"expected one axis, got {dim!r}; a{op} takes several, and returns values alone"
        )
    return _along(Extreme, op, x, dim, 1, keepdim, least=least)


def over_axes(x: Tensor, dim: Any, keepdim: bool, least: bool, op: str) -> Tensor:
    """Return the largest or smallest element over axes `dim` (None: all)."""
    axes = many_dims(dim, x.ndim, op)
    if not axes:
        return x
    if x.dtype == "float32":
        y = reduce("min" if least else "max", x, axes)
        return keep_axes(y, x, axes) if keepdim else y
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in kept)
    rows = reshape_to(permute_to(x, (*kept, *axes)), (*shape, prod(x.shape[i] for i in axes)))
    values: Tensor = _along(Extreme, op, rows, -1, 1, False, least=least).values
    return keep_axes(values, x, axes) if keepdim else values


def place_of_extreme(x: Tensor, dim: Any, keepdim: bool, least: bool, op: str) -> Tensor:
    """Return the index of the first largest or smallest element along an axis, or of all (`dim` None)."""
    if dim is not None:
        found: Tensor = _along(Extreme, op, x, dim, 1, keepdim, least=least).indices
        return found
    flat: Tensor = _along(Extreme, op, reshape_to(x, (x.size,)), 0, 1, False, least=least).indices
    return reshape_to(flat, (1,) * x.ndim) if keepdim else flat


# -- public functions --------------------------------------------------------------------------------


def _or_of_two(pairwise: Callable[[Any, Any], Any]) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make a function of (input, dim) also take a second tensor, in the place of `dim` or as `other`."""

    def decorate(function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        def call(*args: P.args, **named: P.kwargs) -> Any:
            second = args[1] if len(args) > 1 else named.get("other")
            if isinstance(second, (np.ndarray, Tensor)) or is_stored(second):
                first = args[0] if args else named["input"]
                return pairwise(first, second)
            return function(*args, **named)

        return call

    return decorate


@_or_of_two(maximum)
@operator("input")
def max(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the largest of all elements or, with `dim`, (values, indices) along that axis.

    ``max(input, other)`` of two tensors is `maximum`.

    Args:
        input: tensor of any shape and dtype.
        dim: an axis, or None. For several axes see `amax`.
        keepdim: keep the axis with extent 1.

    Returns:
        Without `dim` the value: elements that share it share its gradient. With `dim` the pair (values,
        indices): of equal elements the first is taken and has the whole gradient. NaN wins.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> values, indices = ops.max([[1, 2], [4, 3]], dim=1)
    >>> values.tolist(), indices.tolist()
    ([2, 4], [1, 0])
    """
    return extreme(input, dim, keepdim, False, "max")


@_or_of_two(minimum)
@operator("input")
def min(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the smallest of all elements or, with `dim`, (values, indices) along that axis; see `max`.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.min([[1, 2], [4, 3]], dim=1).values.tolist()
    [1, 3]
    """
    return extreme(input, dim, keepdim, True, "min")


@operator("input")
def amax(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the largest element over axes `dim` (None: all); elements that share it share its gradient.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.amax([[1, 2], [4, 3]], dim=0).tolist()
    [4, 3]
    """
    return over_axes(as_tensor(input, "amax"), dim, keepdim, False, "amax")


@operator("input")
def amin(input: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the smallest element over axes `dim` (None: all); elements that share it share its gradient.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.amin([[1, 2], [4, 3]], dim=(0, 1)).item()
    1
    """
    return over_axes(as_tensor(input, "amin"), dim, keepdim, True, "amin")


@operator("input")
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index (int64) of the first maximum along axis `dim` (None: of all elements in C order).

    Indices carry no gradient: they add nothing to it, and a loss that depends on parameters through nothing
    else raises, as in torch.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.argmax([[1, 2], [4, 3]], dim=1).tolist()
    [1, 0]
    """
    x = as_tensor(input, "argmax")
    if x.dtype != "float32":
        return place_of_extreme(x, dim, keepdim, False, "argmax")
    flat = reshape_to(x, (x.size,)) if dim is None or x.ndim == 0 else x
    axis = (0 if dim is None else one_dim(dim, flat.ndim, "argmax"),)
    y = emit(ArgMax, Single(flat), ReduceAttributes(ArgMax.name, axis)).output
    if not keepdim or x.ndim == 0:
        return y
    return reshape_to(y, (1,) * x.ndim) if dim is None else keep_axes(y, x, axis)


@operator("input")
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index (int64) of the first minimum along axis `dim` (None: of all elements in C order).

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.argmin([[2, 1], [3, 4]], dim=1).tolist()
    [1, 0]
    """
    return place_of_extreme(as_tensor(input, "argmin"), dim, keepdim, True, "argmin")


@operator("input")
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Selection:
    """Return (values, indices) sorted along axis `dim`.

    Args:
        input: tensor of any shape and dtype.
        dim: the axis.
        descending: the largest first.
        stable: accepted; equal elements always keep their order.

    Returns:
        (values, indices), both of input's shape. NaN is the largest element.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> values, indices = ops.sort([3, 1, 2])
    >>> values.tolist(), indices.tolist()
    ([1, 2, 3], [1, 2, 0])
    """
    return _rank("sort", input, dim, 0, None, False, descending=bool(descending))


@operator("input")
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices (int64) that sort along axis `dim`; see `sort`.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.argsort([3, 1, 2]).tolist()
    [1, 2, 0]
    """
    found: Tensor = _rank("argsort", input, dim, 0, None, False, descending=bool(descending)).indices
    return found


@operator("input")
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Selection:
    """Return (values, indices) of the `k` largest or smallest elements along axis `dim`, in order.

    Args:
        input: tensor of any shape and dtype.
        k: from 1 to the axis' extent.
        dim: the axis.
        largest: False for the smallest.
        sorted: accepted; the elements are always in order, of equal ones those that come first.

    Raises:
        ValueError: `k` is not from 1 to the extent of `dim`, or `dim` no axis of `input`.

    >>> from cnncore import ops
    >>> ops.topk([3, 1, 2], 2).values.tolist()
    [3, 2]
    """
    x = as_tensor(input, "topk")
    count = _count(k, 1, x, dim, "topk")
    return _rank("topk", x, dim, 0, count, True, descending=bool(largest))


@operator("input")
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Selection:
    """Return (values, indices) of the element that is `k`-th in ascending order along axis `dim`, from 1.

    Raises:
        ValueError: `k` is not from 1 to the extent of `dim`, or `dim` no axis of `input`.

    >>> from cnncore import ops
    >>> ops.kthvalue([3, 1, 2], 2).values.item()
    2
    """
    x = as_tensor(input, "kthvalue")
    return _rank("kthvalue", x, dim, _count(k, 1, x, dim, "kthvalue") - 1, 1, keepdim)


@operator("input")
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of all elements or, with `dim`, (values, indices) along that axis.

    Of an even number of elements it is the lower one of the middle two. Without `dim`, elements that are the
    median share its gradient. NaN wins.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.median([4, 1, 3, 2]).item()
    2
    """
    x = as_tensor(input, "median")
    if dim is not None:
        return _rank("median", x, dim, (_extent(x, dim, "median") - 1) // 2, 1, keepdim, nan_wins=True)
    flat = reshape_to(x, (x.size,))
    return _rank("median", flat, 0, (x.size - 1) // 2, 1, False, nan_wins=True, shared=True).values


@operator("input")
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Selection:
    """Return (values, indices) of the most frequent element along axis `dim`.

    Of several it is the smallest; its index is the last of its places. NaN equals NaN.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.mode([3, 1, 2, 1]).values.item()
    1
    """
    return _along(Mode, "mode", as_tensor(input, "mode"), dim, 1, keepdim)


@operator("input")
def cummax(input: Any, dim: int) -> Selection:
    """Return (values, indices) of the largest element so far along axis `dim`; of equal ones the last.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.cummax([1, 3, 2], 0).values.tolist()
    [1, 3, 3]
    """
    return _along(RunningExtreme, "cummax", as_tensor(input, "cummax"), dim, None, True, least=False)


@operator("input")
def cummin(input: Any, dim: int) -> Selection:
    """Return (values, indices) of the smallest element so far along axis `dim`; of equal ones the last.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.cummin([3, 1, 2], 0).values.tolist()
    [3, 1, 1]
    """
    return _along(RunningExtreme, "cummin", as_tensor(input, "cummin"), dim, None, True, least=True)
