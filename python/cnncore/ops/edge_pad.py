# SPDX-License-Identifier: Apache-2.0
"""Padding with what lies inside: mirrored, repeated or from the other end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .build import Single, elementwise, embed, keep_axes, reduce, window, with_layout
from .copies import copy_attrs

MODES = ("reflect", "replicate", "circular")


class EdgePadAttributes(NamedTuple):
    before: Shape
    after: Shape
    mode: str


class _Stretch(NamedTuple):
    """Neighbouring coordinates of an axis of the output, and where in the input they come from."""

    start: int
    extent: int
    source: int
    step: int


def _stretches(n: int, before: int, after: int, mode: str) -> list[_Stretch]:
    end = before + n
    left, right = {
        "reflect": (_Stretch(0, before, before, -1), _Stretch(end, after, n - 2, -1)),
        "replicate": (_Stretch(0, before, 0, 0), _Stretch(end, after, n - 1, 0)),
        "circular": (_Stretch(0, before, n - before, 1), _Stretch(end, after, 0, 1)),
    }[mode]
    return [part for part in (left, _Stretch(before, n, 0, 1), right) if part.extent > 0]


class EdgePad(Op):
    """A tensor surrounded by copies of its own elements; each stretch of the borders is a copy."""

    name = "edge_pad"
    Inputs = Single
    Attributes = EdgePadAttributes

    def infer(self, inputs: Single, attrs: EdgePadAttributes) -> list[Spec | None]:
        x = inputs.input
        shape = tuple(b + n + a for n, b, a in zip(x.shape, attrs.before, attrs.after, strict=True))
        return [(shape, x.dtype, x.layout)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        x = node.inputs.input
        grad = with_layout(present(grads[0]), node.output.layout)
        before, after, mode = node.attrs
        for axis, n in enumerate(x.shape):
            grad = _folded(grad, axis, _stretches(n, before[axis], after[axis], mode), n)
        return [grad]

    def lower(self, node: Node, builder: Builder) -> None:
        x, y = node.inputs.input, node.output
        before, after, mode = node.attrs
        axes = [_stretches(n, b, a, mode) for n, b, a in zip(x.shape, before, after, strict=True)]
        for parts in product(*axes):
            strides = [part.step * s for part, s in zip(parts, x.strides(), strict=True)]
            source = sum(part.source * s for part, s in zip(parts, x.strides(), strict=True))
            target = sum(part.start * s for part, s in zip(parts, y.strides(), strict=True))
            extents = [part.extent for part in parts]
            attrs = copy_attrs(extents, strides, source, y.strides(), target)
            builder.step("copy", [builder.slot(x)], [builder.slot(y)], attrs)


def _folded(grad: Tensor, axis: int, stretches: list[_Stretch], n: int) -> Tensor:
    """Add what borders along an axis were given to where they came from."""
    total: Tensor | None = None
    if len(stretches) <= 1:  # none where the axis has no elements
        return grad
    for part in stretches:
        backwards = part.step < 0
        first = part.start + part.extent - 1 if backwards else part.start
        piece = _along(grad, axis, first, -1 if backwards else 1, part.extent)
        if part.step == 0 and part.extent > 1:
            piece = keep_axes(reduce("sum", piece, (axis,)), piece, (axis,))
        extent = piece.shape[axis]
        if extent != n:
            place = part.source - extent + 1 if backwards else part.source
            starts = tuple(place if i == axis else 0 for i in range(grad.ndim))
            shape = tuple(n if i == axis else m for i, m in enumerate(grad.shape))
            piece = embed(piece, shape, starts, (1,) * grad.ndim, 0.0)
        total = piece if total is None else elementwise("add", total, piece)
    return present(total)


def _along(x: Tensor, axis: int, start: int, step: int, extent: int) -> Tensor:
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    steps = tuple(step if i == axis else 1 for i in range(x.ndim))
    return window(x, starts, steps, tuple(extent if i == axis else n for i, n in enumerate(x.shape)))


def edge_pad(x: Tensor, before: Shape, after: Shape, mode: str) -> Tensor:
    """Return `x` with so many elements more before and after it on each axis, taken from inside."""
    for n, b, a in zip(x.shape, before, after, strict=True):
        most = n - 1 if mode == "reflect" else n
        if mode != "replicate" and max(b, a) > most:
            raise shape_error(
                "pad", f"expected {mode} padding of at most {most} for an extent of {n}, got {max(b, a)}"
            )
        if mode == "replicate" and n == 0 and max(b, a) > 0:
            raise shape_error("pad", f"expected elements to repeat, got shape {x.shape}")
    return emit(EdgePad, Single(x), EdgePadAttributes(before, after, mode)).output
