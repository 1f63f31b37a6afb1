# SPDX-License-Identifier: Apache-2.0
"""The same elements under another shape, in another order or layout, or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, dense_strides, present, same_memory
from ..graph.trace import as_tensor, dtype_error, shape_error
from .build import (
    ExpandAttributes,
    PermuteAttributes,
    RelayoutAttributes,
    ReshapeAttributes,
    Single,
    permute_to,
    reshape_to,
    sum_to,
    with_layout,
)
from .check import integer, one_dim, sequence
from .copies import copy_attrs, lower_reshape

__all__ = ["flatten", "permute", "reshape", "transpose", "unflatten"]

Grads = Sequence[Tensor | None]


class Reshape(Op):
    """The same elements, in C order, under another shape: no copy where memory allows."""

    name = "reshape"
    may_alias = True
    keeps_elements = True
    Inputs = Single
    Attributes = ReshapeAttributes

    def infer(self, inputs: Single, attrs: ReshapeAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(attrs.shape, x.dtype, x.layout if x.ndim >= 3 else attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, grad = node.inputs.input, present(grads[0])
        return [reshape_to(grad, x.shape, Layout.C if x.layout == Layout.C else None)]

    def images(self, node: Node) -> Sequence[str]:
        rows, y = node.inputs.input.shape[:1], node.output.shape[:1]
        return ("input",) if rows == y and rows and node.inputs.input.size else ()

    def with_batch(self, attrs: ReshapeAttributes, batch: int) -> ReshapeAttributes:
        return attrs._replace(shape=(batch, *attrs.shape[1:]))

    def lower(self, node: Node, builder: Builder) -> None:
        lower_reshape(builder, builder.slot(node.inputs.input), node.output)


class Relayout(Op):
    """The same tensor in the other memory layout."""

    name = "relayout"
    Inputs = Single
    Attributes = RelayoutAttributes

    def infer(self, inputs: Single, attrs: RelayoutAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, x.dtype, attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        return [with_layout(present(grads[0]), node.inputs.input.layout)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step("copy", builder.slots(node.inputs), builder.slots(node.outputs))


DECIDED = (Layout.C, Layout.CHANNELS_LAST)


def _views(shape: Shape, layout: Layout, dims: Shape) -> list[Layout]:
    """Return the layouts in which a tensor with its axes in the order `dims` is the memory that it is in."""
    strides, moved = dense_strides(shape, layout), tuple(shape[i] for i in dims)
    order = tuple(strides[i] for i in dims)
    return [form for form in DECIDED if same_memory(moved, order, dense_strides(moved, form))]


class Permute(Op):
    """Axes in another order; in the layout that makes it a view, if there is one."""

    name = "permute"
    Inputs = Single
    Attributes = PermuteAttributes

    def infer(self, inputs: Single, attrs: PermuteAttributes) -> list[Spec | None]:
        x = inputs.input
        shape = tuple(x.shape[i] for i in attrs.dims)
        if x.layout == Layout.OPEN:
            return [(shape, x.dtype, x.layout)]
        views = _views(x.shape, x.layout, attrs.dims)
        return [(shape, x.dtype, x.layout if x.layout in views else next(iter(views), x.layout))]

    def wants(self, node: Node, layout: Layout) -> Layout:
        shape, dims = node.inputs.input.shape, node.attrs.dims
        forms = (layout, *DECIDED)
        return next((form for form in forms if layout in _views(shape, form, dims)), layout)

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        dims = node.attrs.dims
        return [permute_to(present(grads[0]), tuple(dims.index(i) for i in range(len(dims))))]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = node.inputs.input, node.output
        strides = x.strides()
        moved = tuple(strides[i] for i in node.attrs.dims)
        if same_memory(y.shape, moved, y.strides()):
            builder.alias(y, builder.slot(x))
            return
        builder.step(
            "copy", [builder.slot(x)], [builder.slot(y)], copy_attrs(y.shape, moved, 0, y.strides(), 0)
        )


class Expand(Op):
    """A tensor repeated along axes of extent 1, as numpy broadcasts it."""

    name = "expand"
    Inputs = Single
    Attributes = ExpandAttributes

    def infer(self, inputs: Single, attrs: ExpandAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(attrs.shape, x.dtype, x.layout if x.ndim >= 3 else Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        return [sum_to(present(grads[0]), node.inputs.input.shape)]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = node.inputs.input, node.output
        extra = y.ndim - x.ndim
        strides = [0] * extra + [s if n != 1 else 0 for n, s in zip(x.shape, x.strides(), strict=True)]
        attrs = copy_attrs(y.shape, strides, 0, y.strides(), 0)
        builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


# -- public functions --------------------------------------------------------------------------------


@operator("input")
def reshape(input: Any, shape: Sequence[int]) -> Tensor:
    """Return the same elements under another shape; one extent may be -1.

    Raises:
        ValueError: a shape of another number of elements, or more than one -1.

    >>> from cnncore import ops
    >>> ops.reshape([[1, 2], [3, 4]], (4, -1)).shape
    (4, 1)
    """
    x = as_tensor(input, "reshape")
    wanted = [
        integer(n, "each extent", "reshape")
        for n in (shape if isinstance(shape, (tuple, list)) else (shape,))
    ]
    known = prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known > 0 and x.size % known == 0:
        wanted[wanted.index(-1)] = x.size // known
    if prod(wanted) != x.size or min(wanted, default=1) < min(x.size, 1):
        raise shape_error(
            "reshape",
            f"expected a shape of {x.size} elements (one extent may be -1) for input {x.shape}, "
            f"got {tuple(wanted)}",
        )
    return reshape_to(x, tuple(wanted))


@operator("input")
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge axes `start_dim` to `end_dim` into one.

    Raises:
        ValueError: `start_dim` behind `end_dim`, or one of them out of range.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    x = as_tensor(input, "flatten")
    if x.ndim == 0:
        return reshape_to(x, (1,))
    start, end = one_dim(start_dim, x.ndim, "flatten"), one_dim(end_dim, x.ndim, "flatten")
    if start > end:
        raise shape_error("flatten", f"expected start_dim before end_dim, got {start_dim} and {end_dim}")
    return reshape_to(x, (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@operator("input")
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split axis `dim` into axes of extents `sizes`, of which one may be -1: `flatten` backwards.

    Raises:
        ValueError: sizes whose product is not the extent.
        TypeError: sizes that are no tuple.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.unflatten(np.zeros((2, 12, 5)), 1, (3, -1)).shape
    (2, 3, 4, 5)
    """
    x = as_tensor(input, "unflatten")
    axis = one_dim(dim, x.ndim, "unflatten")
    if not isinstance(sizes, (tuple, list)) or not sizes:
        raise dtype_error("unflatten", f"expected sizes as a tuple of extents, got {sizes!r}")
    wanted = [integer(n, "each of sizes", "unflatten") for n in sizes]
    known = prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known > 0 and x.shape[axis] % known == 0:
        wanted[wanted.index(-1)] = x.shape[axis] // known
    if prod(wanted) != x.shape[axis] or min(wanted) < 0:
        raise shape_error(
            "unflatten",
            f"expected sizes whose product is {x.shape[axis]} (one may be -1), the extent of axis {dim} of "
            f"input {x.shape}, got {tuple(sizes)}",
        )
    return reshape_to(x, (*x.shape[:axis], *wanted, *x.shape[axis + 1 :]))


@operator("input")
def permute(input: Any, dims: Sequence[int]) -> Tensor:
    """Return the tensor with its axes in the order `dims`.

    Raises:
        ValueError: not each axis once.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.permute(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = as_tensor(input, "permute")
    given = sequence(dims, "dims", "permute")
    order = tuple(one_dim(dim, x.ndim, "permute") for dim in given)
    if sorted(order) != list(range(x.ndim)):
        raise shape_error("permute", f"expected each of {x.ndim} axes once, got {given}")
    return permute_to(x, order)


@operator("input")
def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes.

    Raises:
        ValueError: an axis that `input` does not have.

    >>> from cnncore import ops
    >>> ops.transpose([[1, 2], [3, 4]], 0, 1).tolist()
    [[1, 3], [2, 4]]
    """
    x = as_tensor(input, "transpose")
    order = list(range(x.ndim))
    a, b = (one_dim(dim, max(x.ndim, 1), "transpose") for dim in (dim0, dim1))
    if x.ndim:
        order[a], order[b] = b, a
    return permute_to(x, tuple(order))
