# SPDX-License-Identifier: Apache-2.0
"""Samples of images at given places: spatial transformers (Jaderberg et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, shape_error
from .build import elementwise, reshape_to, window, with_layout
from .check import float_tensor, integers

__all__ = ["affine_grid", "grid_sample"]

Grads = Sequence[Tensor | None]


class GridSampleAttributes(NamedTuple):
    """`mode`: nearest, linear or cubic on each axis; `padding`: zeros, border or reflection."""

    mode: str
    padding: str
    align_corners: bool


class GridSampleInputs(NamedTuple):
    input: Tensor
    grid: Tensor


def _rule(attrs: Any) -> tuple[str, str, bool]:
    return attrs.mode, attrs.padding, attrs.align_corners


def _lower(node: Node, builder: Builder) -> None:
    attrs = {"mode": node.attrs.mode, "padding": node.attrs.padding}
    attrs["align_corners"] = int(node.attrs.align_corners)
    builder.step(node.op.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class GridSample(Op):
    """[input (N, C, spatial...), grid (N, out..., axes)] -> [samples (N, C, out...)]."""

    name = "grid_sample"
    Inputs = GridSampleInputs
    Attributes = GridSampleAttributes

    def infer(self, inputs: GridSampleInputs, attrs: GridSampleAttributes) -> list[Spec | None]:
        x, grid = inputs
        return [((*x.shape[:2], *grid.shape[1:-1]), "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input", "grid")

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, grid = node.inputs
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        by_input = None
        if needs.input:
            inputs = GridSampleInputGradientInputs(grad, grid)
            attrs = GridSampleInputGradientAttributes(*_rule(node.attrs), x.shape)
            by_input = emit(GridSampleInputGradient, inputs, attrs).output
        return [by_input, _grid_gradient(grad, grid, x, node.attrs) if needs.grid else None]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


class GridSampleInputGradientInputs(NamedTuple):
    grad: Tensor
    grid: Tensor


class GridSampleInputGradientAttributes(NamedTuple):
    """As of `GridSampleAttributes`, and the input's shape."""

    mode: str
    padding: str
    align_corners: bool
    shape: Shape


class GridSampleInputGradient(Op):
    """[grad (N, C, out...), grid] -> [grad_input (N, C, spatial...)]."""

    name = "grid_sample_backward_input"
    Inputs = GridSampleInputGradientInputs
    Attributes = GridSampleInputGradientAttributes

    def infer(
        self, inputs: GridSampleInputGradientInputs, attrs: GridSampleInputGradientAttributes
    ) -> list[Spec | None]:
        return [(attrs.shape, "float32", Layout.CHANNELS_LAST)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        """The gradient is linear in the image: what it is multiplied with takes the image's place."""
        grad, grid = node.inputs
        image = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        attrs = GridSampleAttributes(*_rule(node.attrs))
        by_grad = emit(GridSample, GridSampleInputs(image, grid), attrs).output if needs.grad else None
        return [by_grad, _grid_gradient(grad, grid, image, attrs) if needs.grid else None]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


class GridSampleGridGradientInputs(NamedTuple):
    grad: Tensor
    grid: Tensor
    input: Tensor


class GridSampleGridGradient(Op):
    """[grad (N, C, out...), grid, input] -> [grad_grid (N, out..., axes)]."""

    name = "grid_sample_backward_grid"
    Inputs = GridSampleGridGradientInputs
    Attributes = GridSampleAttributes

    def infer(self, inputs: GridSampleGridGradientInputs, attrs: GridSampleAttributes) -> list[Spec | None]:
        return [(inputs.grid.shape, "float32", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


def _grid_gradient(grad: Tensor, grid: Tensor, image: Tensor, attrs: GridSampleAttributes) -> Tensor | None:
    """Return the gradient by the grid, None where it is zero."""
    if attrs.mode == "nearest":
        return None
    return emit(GridSampleGridGradient, GridSampleGridGradientInputs(grad, grid, image), attrs).output


_MODES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
_PADDINGS = ("zeros", "border", "reflection")


@operator("input", "grid")
def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample images at the places that a grid tells.

    The grid has numbers from -1 to 1: the left, upper and front end of the image, and the right, lower and
    back one; with `align_corners` those are the centers of the pixels there, without it their outer edges.
    "bilinear" weighs the two pixels next to a place on each axis by their nearness, "bicubic" four by Keys'
    kernel (1981) with a = -0.75, "nearest" takes the nearest one. NaN in the grid counts as -1, except that
    with padding "zeros" it is outside, as infinity is; a place at infinity is 0 of a "reflection".

    Args:
        input: (batch, channels, height, width) or (batch, channels, depth, height, width).
        grid: (batch, out height, out width, 2) of (x, y), or (batch, out depth, out height, out width, 3) of
            (x, y, z).
        mode: "bilinear" (of volumes it is trilinear), "nearest", or "bicubic" of images.
        padding_mode: what lies outside: "zeros", "border" (the nearest pixel) or "reflection".
        align_corners: see above; None is False.

    Returns:
        (batch, channels, out height, out width), with a depth for volumes.

    Raises:
        ValueError: shapes that do not go together, or an unknown mode.

    >>> from cnncore import ops
    >>> ops.grid_sample([[[[1.0, 3.0]]]], [[[[-0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [9.0, 0.0]]]]).tolist()
    [[[[1.0, 2.0, 3.0, 0.0]]]]
    """
    op = "grid_sample"
    x, places = float_tensor(input, op), float_tensor(grid, op)
    if x.ndim not in (4, 5):
        raise shape_error(op, f"expected input with 2 or 3 spatial axes, got shape {x.shape}")
    axes = x.ndim - 2
    if places.ndim != x.ndim or places.shape[-1] != axes or places.shape[0] != x.shape[0]:
        sizes = ", ".join(("depth", "height", "width")[-axes:])
        raise shape_error(op, f"expected grid ({x.shape[0]}, {sizes}, {axes}), got {places.shape}")
    if mode not in _MODES or (mode == "bicubic" and axes == 3):
        known = ", ".join(repr(name) for name in _MODES if axes == 2 or name != "bicubic")
        raise shape_error(op, f"expected mode {known} for {axes} spatial axes, got {mode!r}")
    if padding_mode not in _PADDINGS:
        known = ", ".join(map(repr, _PADDINGS))
        raise shape_error(
            op, f"expected padding_mode {', '.join(map(repr, _PADDINGS))}, got {padding_mode!r}"
        )
    inputs = GridSampleInputs(with_layout(x, Layout.CHANNELS_LAST), with_layout(places, Layout.C))
    attrs = GridSampleAttributes(_MODES[mode], padding_mode, bool(align_corners))
    return emit(GridSample, inputs, attrs).output


@operator("theta")
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the grid for `grid_sample` of affine maps: where the output's pixels lie in the input.

    Args:
        theta: (batch, 2, 3) for images or (batch, 3, 4) for volumes: output places (x, y, 1) or (x, y, z, 1)
            are multiplied with it.
        size: of the output: (batch, channels, height, width) or (batch, channels, depth, height, width).
        align_corners: whether -1 and 1 are the centers of the outermost pixels instead of their outer edges;
            None is False.

    Returns:
        (batch, height, width, 2) or (batch, depth, height, width, 3).

    Raises:
        ValueError: `theta` and `size` do not go together.

    >>> from cnncore import ops
    >>> ops.affine_grid([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], (1, 1, 1, 2)).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    op = "affine_grid"
    maps = float_tensor(theta, op)
    if not isinstance(size, (tuple, list)) or len(size) not in (4, 5):
        raise shape_error(op, f"expected size (batch, channels, height, width) or with a depth, got {size!r}")
    batch, _, *spatial = integers(size, len(size), "size", op)
    axes = len(spatial)
    if maps.shape != (batch, axes, axes + 1):
        raise shape_error(
            op, f"expected theta ({batch}, {axes}, {axes + 1}) for size {size}, got {maps.shape}"
        )
    maps = with_layout(maps, Layout.C)
    ones = (1,) * axes

    def column(i: int) -> Tensor:
        found = window(maps, (0, 0, i), (1, 1, 1), (batch, axes, 1))
        return reshape_to(found, (batch, *ones, axes), Layout.C)

    places = column(axes)
    for i, extent in enumerate(reversed(spatial)):
        line = _centers(extent, bool(align_corners)).reshape(
            *(extent if k == axes - 1 - i else 1 for k in range(axes)), 1
        )
        places = elementwise("add", elementwise("mul", column(i), as_tensor(line, op)), places)
    return places


def _centers(extent: int, align_corners: bool) -> Any:
    """Return where the pixels of an axis lie between -1 and 1."""
    if align_corners:
        return np.linspace(-1.0, 1.0, extent, dtype=np.float32) if extent > 1 else np.zeros(1, np.float32)
    return ((2.0 * np.arange(extent) + 1.0) / extent - 1.0).astype(np.float32)
