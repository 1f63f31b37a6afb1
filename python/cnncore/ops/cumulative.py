# SPDX-License-Identifier: Apache-2.0
"""What runs along an axis: sums and products so far, differences of neighbours, areas under values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, shape_error
from .arithmetic import sub
from .build import cast, decided, elementwise, embed, reduce, reshape_to, window, with_layout
from .check import float_tensor, integers, one_dim, optional_float, real
from .comparison import not_equal
from .parts import concat
from .promotion import dtype_named

__all__ = ["cumprod", "cumsum", "diff", "trapezoid"]

Grads = Sequence[Tensor | None]


class ScanInputs(NamedTuple):
    """One of them may be absent: a decay of 1, a value of 0."""

    decay: Tensor | None
    value: Tensor | None


class ScanAttributes(NamedTuple):
    """`start` is s before the first element; `reverse` walks from the axis' end.

    With `exclusive` y[i] is s before element i.
    """

    axis: int
    start: int = 0
    reverse: bool = False
    exclusive: bool = False


class Scan(Op):
    """[decay, value] -> [y]: s[i] = decay[i] s[i - 1] + value[i] along an axis."""

    name = "scan"
    Inputs = ScanInputs
    Attributes = ScanAttributes

    def infer(self, inputs: ScanInputs, attrs: ScanAttributes) -> list[Spec | None]:
        x = present(inputs.value if inputs.decay is None else inputs.decay)
        return [(x.shape, x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        (decay, value), attrs = node.inputs, node.attrs
        axis, reverse = attrs.axis, attrs.reverse
        grad = with_layout(present(grads[0]), node.output.layout)
        if attrs.exclusive:
            grad = _next(grad, axis, reverse)
        # What element i has left in s, walked the other way: h[i] = grad[i] + decay[i + 1] h[i + 1].
        shifted = None if decay is None else _next(decay, axis, reverse)
        reached = scan(shifted, grad, ScanAttributes(axis, reverse=not reverse))
        by_decay = None
        if decay is not None and needs.decay:
            by_decay = elementwise("mul", reached, scan(decay, value, attrs._replace(exclusive=True)))
        return [by_decay, reached]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: int(value) for key, value in node.attrs._asdict().items()}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def scan(decay: Tensor | None, value: Tensor | None, attrs: ScanAttributes) -> Tensor:
    """Add a `Scan`; both inputs get one layout."""
    value = None if value is None else decided(value)
    if decay is not None:
        decay = decided(decay) if value is None else with_layout(decay, value.layout)
    return emit(Scan, ScanInputs(decay, value), attrs).output


def products_before(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """Return for each element the product of those before it along an axis, 1 for the first."""
    return scan(x, None, ScanAttributes(axis, 1, reverse, exclusive=True))


def _next(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Return x[i + 1] in place of x[i] along an axis (x[i - 1] with `reverse`), 0 where there is none."""
    extent = x.shape[axis]
    part = tuple(extent - 1 if i == axis else n for i, n in enumerate(x.shape))
    first = tuple(int(i == axis) for i in range(x.ndim))
    start, steps = (0,) * x.ndim, (1,) * x.ndim
    if extent <= 1:
        return elementwise("mul_scalar", x, alpha=0.0)
    kept = window(x, start if reverse else first, steps, part)
    return embed(kept, x.shape, first if reverse else start, steps, 0.0)


def _along(op: str, input: Any, dim: Any, dtype: Any, product: bool) -> Tensor:
    x = as_tensor(input, op)
    x = cast(x, dtype_named(dtype, op)) if dtype is not None else x
    wanted = x.dtype if dtype is not None or is_float(x.dtype) else "int64"
    x = x if is_float(x.dtype) else cast(x, "int64")
    axis = one_dim(dim, max(x.ndim, 1), op)
    if x.ndim:
        x = scan(x, None, ScanAttributes(axis, 1)) if product else scan(None, x, ScanAttributes(axis))
    return cast(x, wanted)


@operator("input")
def cumsum(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Return the sums of the elements so far along axis `dim`; integers and booleans give int64 or `dtype`.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.cumsum([1, 2, 3], 0).tolist()
    [1, 3, 6]
    """
    return _along("cumsum", input, dim, dtype, False)


@operator("input")
def cumprod(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Return the products of the elements so far along axis `dim`.

    Integers and booleans give int64 or `dtype`. The gradient is right for zeros, too.

    Raises:
        ValueError: `dim` is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.cumprod([1, 2, 3], 0).tolist()
    [1, 2, 6]
    """
    return _along("cumprod", input, dim, dtype, True)


@operator("input", "prepend", "append")
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Return the differences of neighbours along axis `dim`, `n` times over.

    Booleans give whether neighbours differ.

    Args:
        input: tensor with at least one axis.
        n: how often.
        dim: the axis.
        prepend: tensor that is joined in front of the input along that axis, or None.
        append: tensor that is joined behind it, or None.

    Raises:
        ValueError: not more than `n` elements along `dim`.

    >>> from cnncore import ops
    >>> ops.diff([1, 4, 9, 16]).tolist(), ops.diff([1, 4, 9, 16], n=2).tolist()
    ([3, 5, 7], [2, 2])
    """
    (times,) = integers(n, 1, "n", "diff", least=0)
    if times == 0:
        return as_tensor(input, "diff")
    parts = [as_tensor(part, "diff") for part in (prepend, input, append) if part is not None]
    x: Tensor = parts[0] if len(parts) == 1 else concat(parts, dim)
    axis = one_dim(dim, max(x.ndim, 1), "diff")
    if x.ndim == 0 or x.shape[axis] <= times:
        raise shape_error("diff", f"expected more than {times} elements along axis {dim}, got {x.shape}")
    for _ in range(times):
        later, earlier = _neighbours(x, axis)
        x = not_equal(later, earlier) if x.dtype == "bool" else sub(later, earlier)
    return x


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return all elements but the first along an axis, and all but the last."""
    shape = tuple(extent - 1 if i == axis else extent for i, extent in enumerate(x.shape))
    steps = (1,) * x.ndim
    later = window(x, tuple(int(i == axis) for i in range(x.ndim)), steps, shape)
    return later, window(x, (0,) * x.ndim, steps, shape)


@operator("y", "x")
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """Return the area under straight lines through values along axis `dim` (the trapezoidal rule).

    Args:
        y: the values; at least one along the axis, which disappears.
        x: where they are: one place for each value of the axis, or a shape that broadcasts to y's; by
            default `dx` apart.
        dx: the distance of neighbours, without `x`.
        dim: the axis.

    Raises:
        ValueError: no value along the axis, or places that do not fit.

    >>> from cnncore import ops
    >>> float(ops.trapezoid([1.0, 2.0, 4.0])), float(ops.trapezoid([1.0, 2.0, 4.0], [0.0, 2.0, 3.0]))
    (4.5, 6.0)
    """
    op = "trapezoid"
    values, places = float_tensor(y, op), optional_float(x, op)
    dx = real(dx, "dx", op)
    axis = one_dim(dim, max(values.ndim, 1), op)
    if values.ndim == 0 or values.shape[axis] == 0:
        raise shape_error(op, f"expected at least one value along axis {dim}, got {values.shape}")
    later, earlier = _neighbours(values, axis)
    sums = elementwise("add", later, earlier)
    if places is None:
        return elementwise("mul_scalar", reduce("sum", sums, (axis,)), alpha=dx / 2)
    if places.ndim == 1:
        places = reshape_to(places, (places.size, *(1,) * (values.ndim - axis - 1)))
    along = places.ndim - values.ndim + axis
    if along < 0 or places.shape[along] != values.shape[axis]:
        raise shape_error(
            op,
            f"expected a place for each of {values.shape[axis]} values along axis {dim}, got {places.shape}",
        )
    widths = elementwise("sub", *_neighbours(places, along))
    return elementwise("mul_scalar", reduce("sum", elementwise("mul", sums, widths), (axis,)), alpha=0.5)
