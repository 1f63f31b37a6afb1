# SPDX-License-Identifier: Apache-2.0
"""Adding the nodes that gradient rules, fusion and the public operations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._checks import to_float
from ..graph.tensor import Layout, Node, Shape, Tensor, layout_matters, operation_of
from ..graph.trace import emit


class Single(NamedTuple):
    """The inputs of an operation that has one."""

    input: Tensor


class ElementwiseAttributes(NamedTuple):
    """`function` is one of those in cpp/isa/kernels/elementwise.cpp, for integers and booleans of
    integer.cpp beside it, or "cast"; `dtype` is the result's."""

    function: str
    alpha: float = 0.0
    beta: float = 0.0
    dtype: str = "float32"


class ReduceAttributes(NamedTuple):
    """`axes` in ascending order disappear from the shape."""

    function: str
    axes: Shape


class ReshapeAttributes(NamedTuple):
    """`layout` counts where the input has fewer than three axes."""

    shape: Shape
    layout: Layout = Layout.CHANNELS_LAST


class PermuteAttributes(NamedTuple):
    dims: Shape


class ExpandAttributes(NamedTuple):
    shape: Shape


class RelayoutAttributes(NamedTuple):
    layout: Layout


class SliceAttributes(NamedTuple):
    starts: Shape
    steps: Shape
    shape: Shape


class PadAttributes(NamedTuple):
    starts: Shape
    steps: Shape
    shape: Shape
    value: float


def _emit(attrs: Any, *inputs: Tensor) -> Tensor:
    """Add a node of the operation that has such attributes."""
    return emit(operation_of(type(attrs)), inputs, attrs).output


def elementwise(function: str, *inputs: Tensor, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    """Add an elementwise node; `function` is one of those in cpp/isa/kernels/elementwise.cpp."""
    return _emit(ElementwiseAttributes(function, to_float(alpha), to_float(beta)), *inputs)


def integral(function: str, dtype: str, *inputs: Tensor) -> Tensor:
    """Add an elementwise node on integers and booleans; `function` is one of cpp/isa/kernels/integer.cpp."""
    return _emit(ElementwiseAttributes(function, dtype=dtype), *inputs)


_COMPARISONS = ("greater", "greater_equal", "equal", "not_equal")
_MASKS = frozenset((*_COMPARISONS, "logical_and", "logical_or", "logical_xor", "logical_not"))
"""Functions whose results are 1.0 and 0.0: as booleans and back they are what they were."""


def _function(node: Node) -> str:
    return node.attrs.function if isinstance(node.attrs, ElementwiseAttributes) else ""


def cast(tensor: Tensor, dtype: str) -> Tensor:
    """Return `tensor` as another dtype: floats become integers by truncation, not zero becomes True."""
    if tensor.dtype == dtype:
        return tensor
    node = tensor.node
    if dtype == "float32" and node is not None and _function(node) == "cast":
        before: Tensor
        (before,) = node.inputs
        if before.node is not None and _function(before.node) in _MASKS:
            return before
    return _emit(ElementwiseAttributes("cast", dtype=dtype), tensor)


def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum over the axes along which an operand of `shape` was broadcast."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = [*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and grad.shape[i + extra] != 1)]
    return reshape_to(reduce("sum", grad, tuple(axes)) if axes else grad, shape)


def common_layout(tensors: Sequence[Tensor]) -> Layout:
    """Return the layout of what is computed from `tensors`: channels-last if it is that of any activation,
    open if it may become that."""
    found = {tensor.layout for tensor in tensors if layout_matters(tensor.shape)}
    found = found or {tensor.layout for tensor in tensors}
    if Layout.CHANNELS_LAST in found:
        return Layout.CHANNELS_LAST
    return Layout.OPEN if Layout.OPEN in found else Layout.C


def reduce(function: str, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Add a reduction over `axes`, which disappear from the shape."""
    return _emit(ReduceAttributes(function, axes), x)


def keep_axes(tensor: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return what was reduced from `x` over `axes` with those axes kept, of extent 1."""
    return reshape_to(tensor, tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.layout)


def reshape_to(x: Tensor, shape: Shape, layout: Layout | None = None) -> Tensor:
    """Return `x` under a shape of the same size.

    From rank 3 on the layout stays; what has fewer axes is in C order anyway and gets `layout`, by default
    channels-last unless it is a parameter's. The shape from before another one gives the tensor from before.
    """
    if x.shape == shape:
        return x
    if x.node is not None and x.node.op.keeps_elements:
        before: Tensor
        (before,) = x.node.inputs
        if before.shape == shape:
            return before
    in_order = x.ndim < 3 and Layout.C in (x.layout, layout)
    return _emit(ReshapeAttributes(shape, Layout.C) if in_order else ReshapeAttributes(shape), x)


def alias(x: Tensor) -> Tensor:
    """Return `x` as a tensor of its own, so that something can be differentiated by this use of it."""
    return _emit(ReshapeAttributes(x.shape, x.layout), x)


def permute_to(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return `x` with its axes in the order `dims`."""
    return x if dims == tuple(range(x.ndim)) else _emit(PermuteAttributes(dims), x)


def expand_to(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` broadcast to `shape`."""
    return x if x.shape == shape else _emit(ExpandAttributes(shape), x)


def with_layout(x: Tensor, layout: Layout) -> Tensor:
    """Return `x` in a memory layout."""
    if x.layout == layout or not layout_matters(x.shape):
        return x
    return copied(x, layout)


def decided(x: Tensor) -> Tensor:
    """Return `x` in a layout that is decided: C order where it is open."""
    return with_layout(x, Layout.C) if x.layout is Layout.OPEN else x


def copied(x: Tensor, layout: Layout) -> Tensor:
    """Return a copy of `x` in a memory layout."""
    return _emit(RelayoutAttributes(layout), x)


def window(x: Tensor, starts: Shape, steps: Shape, shape: Shape) -> Tensor:
    """Return elements starts, starts + steps, ... of `x`."""
    return _emit(SliceAttributes(starts, steps, shape), x)


def embed(x: Tensor, shape: Shape, starts: Shape, steps: Shape, value: float) -> Tensor:
    """Return a tensor of `shape` filled with `value`, except where `x` is written."""
    return _emit(PadAttributes(starts, steps, shape, value), x)
