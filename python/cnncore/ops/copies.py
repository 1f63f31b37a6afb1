# SPDX-License-Identifier: Apache-2.0
"""Copy steps between windows and shapes of the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.lowering import Builder
from ..graph.slots import Slot
from ..graph.tensor import Layout, Shape, Tensor, dense_strides, same_memory


def copy_attrs(
    shape: Sequence[int],
    input_strides: Sequence[int],
    input_offset: int,
    output_strides: Sequence[int],
    output_offset: int,
) -> dict[str, Any]:
    """Return the settings of a `copy` step between two windows; axes of extent 1 are left out."""
    axes = [i for i, n in enumerate(shape) if n != 1]
    return {
        "shape": [shape[i] for i in axes],
        "input_strides": [input_strides[i] for i in axes],
        "input_offset": input_offset,
        "output_strides": [output_strides[i] for i in axes],
        "output_offset": output_offset,
    }


def common_refinement(a: Shape, b: Shape) -> list[tuple[int, int, int]] | None:
    """Cut the axes of two shapes of equal size so that both consist of the same pieces.

    Returns:
        For each piece, slowest first: its extent, the axis of `a` and the axis of `b` it belongs to.
        None when an axis would have to be cut at a place that does not divide it.
    """
    pieces: list[tuple[int, int, int]] = []
    i, j = len(a) - 1, len(b) - 1
    left_a = left_b = 1
    while True:
        while left_a == 1 and i >= 0:
            left_a, i = a[i], i - 1
        while left_b == 1 and j >= 0:
            left_b, j = b[j], j - 1
        if left_a == 1 and left_b == 1:
            return pieces[::-1]
        piece = min(left_a, left_b)
        if left_a % piece or left_b % piece:
            return None
        pieces.append((piece, i + 1, j + 1))
        left_a //= piece
        left_b //= piece


def lower_reshape(builder: Builder, source: Slot, target: Tensor) -> None:
    """Give `target` the elements of `source` in C order of their logical indices."""
    in_strides, out_strides = source.strides(), target.strides()
    pieces = common_refinement(source.shape, target.shape)
    if pieces is None:
        flat = source
        if not same_memory(source.shape, in_strides, dense_strides(source.shape, Layout.C)):
            flat = builder.temp(source.shape, source.dtype)
            builder.step("copy", [source], [flat])
        if same_memory(target.shape, out_strides, dense_strides(target.shape, Layout.C)):
            builder.alias(target, flat)
            return
        strides = out_strides
        builder.step(
            "copy",
            [flat],
            [builder.slot(target)],
            copy_attrs(target.shape, dense_strides(target.shape, Layout.C), 0, strides, 0),
        )
        return
    inner_a: dict[int, int] = {}
    inner_b: dict[int, int] = {}
    shape, strides_a, strides_b = [], [], []
    for extent, axis_a, axis_b in reversed(pieces):
        shape.append(extent)
        strides_a.append(in_strides[axis_a] * inner_a.get(axis_a, 1))
        strides_b.append(out_strides[axis_b] * inner_b.get(axis_b, 1))
        inner_a[axis_a] = inner_a.get(axis_a, 1) * extent
        inner_b[axis_b] = inner_b.get(axis_b, 1) * extent
    if strides_a == strides_b:
        builder.alias(target, source)
        return
    attrs = copy_attrs(shape[::-1], strides_a[::-1], 0, strides_b[::-1], 0)
    builder.step("copy", [source], [builder.slot(target)], attrs)
