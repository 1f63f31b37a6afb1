# SPDX-License-Identifier: Apache-2.0
"""Patches of images as columns, and images as sums of patches."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import shape_error
from .build import elementwise, embed, reshape_to, window, with_layout
from .check import float_tensor, integers, require_rank
from .parts import concat
from .window import Window

__all__ = ["fold", "unfold"]


def _places(sliding: Window) -> list[Shape]:
    """Return where the pixels begin, in the padded image, that each element of the kernel meets."""
    offsets = product(*(range(k) for k in sliding.kernel))
    return [tuple(d * i for d, i in zip(sliding.dilation, at, strict=True)) for at in offsets]


def _window_of(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Window:
    kernel = integers(kernel_size, 2, "kernel_size", op)
    pads = integers(padding, 2, "padding", op, least=0)
    strides, spread = integers(stride, 2, "stride", op), integers(dilation, 2, "dilation", op)
    return Window(kernel, strides, pads, pads, spread)


def _counts(sliding: Window, size: Shape, op: str) -> Shape:
    counts = sliding.extents(size)
    if min(counts) < 1:
        raise shape_error(
            op, f"expected an image that holds a window: it covers {sliding.reach()}, the image is {size}"
        )
    return counts


@operator("input")
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Return the patches under a window that slides over images, each as a column.

    y[n, c kh kw + i kw + j, l] is what element (i, j) of the kernel meets in channel c at place l; places are
    counted row by row.

    Args:
        input: (batch, channels, height, width).
        kernel_size, dilation, padding, stride: int or pair, as for `conv2d`; padding is zeros.

    Returns:
        (batch, channels * kernel elements, places).

    Raises:
        ValueError: the window does not fit into the padded image.

    >>> from cnncore import ops
    >>> ops.unfold([[[[1.0, 2.0, 3.0]]]], (1, 2)).tolist()
    [[[1.0, 2.0], [2.0, 3.0]]]
    """
    op = "unfold"
    x = float_tensor(input, op)
    require_rank(x, 4, op)
    sliding = _window_of(op, kernel_size, dilation, padding, stride)
    counts = _counts(sliding, x.shape[2:], op)
    n, channels, *size = x.shape
    padded = (n, channels, *(extent + 2 * pad for extent, pad in zip(size, sliding.begin, strict=True)))
    image = with_layout(x, Layout.C)
    if padded != x.shape:
        image = embed(image, padded, (0, 0, *sliding.begin), (1, 1, 1, 1), 0.0)
    steps = (1, 1, *sliding.stride)
    shape, column = (n, channels, *counts), (n, channels, 1, prod(counts))
    pieces = [reshape_to(window(image, (0, 0, *at), steps, shape), column) for at in _places(sliding)]
    columns = pieces[0] if len(pieces) == 1 else concat(pieces, 2)
    return reshape_to(columns, (n, channels * len(pieces), prod(counts)))


@operator("input")
def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Return images as the sums of patches that overlap: the transpose of `unfold`.

    Args:
        input: (batch, channels * kernel elements, places), as `unfold` returns it.
        output_size: int or pair: height and width of the images.
        kernel_size, dilation, padding, stride: int or pair, as for `unfold`.

    Returns:
        (batch, channels, height, width).

    Raises:
        ValueError: the input's axes do not belong to such images.

    >>> from cnncore import ops
    >>> ops.fold([[[1.0, 2.0], [2.0, 3.0]]], (1, 3), (1, 2)).tolist()
    [[[[1.0, 4.0, 3.0]]]]
    """
    op = "fold"
    x = float_tensor(input, op)
    require_rank(x, 3, op)
    sliding = _window_of(op, kernel_size, dilation, padding, stride)
    size = integers(output_size, 2, "output_size", op)
    counts, taps = _counts(sliding, size, op), prod(sliding.kernel)
    n, rows, places = x.shape
    if rows % taps or places != prod(counts):
        raise shape_error(
            op,
            f"expected input (batch, a multiple of {taps}, {prod(counts)}) for windows at "
            f"{counts[0]} x {counts[1]} places, got {x.shape}",
        )
    channels = rows // taps
    patches = reshape_to(with_layout(x, Layout.C), (n, channels, taps, *counts))
    padded = (n, channels, *(extent + 2 * pad for extent, pad in zip(size, sliding.begin, strict=True)))
    steps, total = (1, 1, *sliding.stride), None
    for tap, at in enumerate(_places(sliding)):
        piece = window(patches, (0, 0, tap, 0, 0), (1,) * 5, (n, channels, 1, *counts))
        piece = embed(reshape_to(piece, (n, channels, *counts)), padded, (0, 0, *at), steps, 0.0)
        total = piece if total is None else elementwise("add", total, piece)
    assert total is not None
    if padded[2:] == size:
        return total
    return window(total, (0, 0, *sliding.begin), (1,) * 4, (n, channels, *size))
