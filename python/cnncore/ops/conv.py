# SPDX-License-Identifier: Apache-2.0
"""Convolution over one, two and three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Shape, Tensor
from ..graph.trace import dtype_error, shape_error
from .build import reshape_to
from .build import window as cut
from .check import channels_hint, float_tensor, integers, optional_float, require_rank
from .convolution import convolve
from .parts import concat
from .window import Window


def padding_sides(
    padding: Any, kernel: Shape, stride: Shape, dilation: Shape, op: str
) -> tuple[Shape, Shape]:
    """Return paddings before and after each spatial axis."""
    rank = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return (0,) * rank, (0,) * rank
        if padding != "same":
            raise shape_error(op, f"expected padding as numbers, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in stride):
            raise shape_error(op, f"padding='same' needs stride 1, got {stride}: give the padding in numbers")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    if isinstance(padding, Sequence) and any(isinstance(side, Sequence) for side in padding):
        if len(padding) != rank:
            raise shape_error(op, f"expected {rank} pairs of padding, got {padding!r}")
        sides = [integers(side, 2, "each side of padding", op, least=0) for side in padding]
        return tuple(side[0] for side in sides), tuple(side[1] for side in sides)
    both = integers(padding, rank, "padding", op, least=0)
    return both, both


def group_count(groups: Any, op: str) -> int:
    """Return `groups` as an int of at least 1."""
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool):
        raise dtype_error(op, f"expected groups to be an int, got {groups!r}")
    if groups < 1:
        raise shape_error(op, f"expected groups of at least 1, got {groups}")
    return int(groups)


def _check_channels(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, op: str) -> None:
    channels = weight.shape[1] * groups
    if weight.shape[0] % groups:
        raise shape_error(
            op, f"expected output channels divisible by groups, got {weight.shape[0]} and {groups}"
        )
    if x.shape[1] != channels:
        raise shape_error(
            op,
            f"expected input with {channels} channels (weight is {weight.shape}, groups={groups}), "
            f"got {x.shape}." + channels_hint(x.shape, channels),
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise shape_error(
            op, f"expected bias of shape {weight.shape[:1]} (weight is {weight.shape}), got {bias.shape}"
        )


def conv(
    op: str,
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Tensor:
    """Check the arguments of a convolution over `rank` spatial axes and add it."""
    x, w, b = float_tensor(input, op), float_tensor(weight, op), optional_float(bias, op)
    require_rank(x, rank + 2, op)
    if w.ndim != rank + 2:
        raise shape_error(
            op, f"expected weight (out channels, in channels / groups, *kernel), got shape {w.shape}"
        )
    groups = group_count(groups, op)
    _check_channels(x, w, b, groups, op)
    stride, dilation = integers(stride, rank, "stride", op), integers(dilation, rank, "dilation", op)
    begin, end = padding_sides(padding, w.shape[2:], stride, dilation, op)
    window = Window(w.shape[2:], stride, begin, end, dilation)
    if min(window.extents(x.shape[2:]), default=1) < 1:
        padded = tuple(n + p + q for n, p, q in zip(x.shape[2:], begin, end, strict=True))
        raise shape_error(
            op,
            f"expected an input at least as large as the kernel: the kernel covers {window.reach()} "
            f"(weight is {w.shape}, dilation={dilation}), the padded input is {padded} (input is {x.shape})."
            + channels_hint(x.shape, x.shape[1]),
        )
    images = _images_as_channels(x, groups)
    if images is None:
        return convolve(x, w, b, window, groups)
    return _image_by_image(images, w, b, window, groups // images.shape[0])


WIDE = 1024
"""Channels of a depthwise convolution from which on neighbouring pixels lie in the same sets of a cache."""

MANY_IMAGES = 64


def _images_as_channels(x: Tensor, groups: int) -> Tensor | None:
    """Return the images whose channels are all together those of `x`, where each is filtered on its own.

    That is how a filter for each image is written: the channels of (1, images * channels, ...) in groups.
    """
    if x.shape[0] != 1 or groups != x.shape[1] or groups < WIDE or x.node is None:
        return None
    if not x.node.op.keeps_elements:
        return None
    (images,) = x.node.inputs
    kept = images.ndim == x.ndim and images.shape[2:] == x.shape[2:]
    return images if kept and 1 < images.shape[0] <= MANY_IMAGES else None


def _image_by_image(images: Tensor, w: Tensor, b: Tensor | None, window: Window, groups: int) -> Tensor:
    """Return the convolution of each image with filters of its own, as the channels of one image.

    In memory as convolutions leave them, images need no rearranging then.
    """
    count, steps = images.shape[0], (1,) * w.ndim
    each = w.shape[0] // count
    results = []
    for i in range(count):
        image = cut(images, (i, *(0,) * (images.ndim - 1)), steps, (1, *images.shape[1:]))
        filters = cut(w, (i * each, *(0,) * (w.ndim - 1)), steps, (each, *w.shape[1:]))
        bias = None if b is None else cut(b, (i * each,), (1,), (each,))
        results.append(convolve(image, filters, bias, window, groups))
    joined = concat(results, 0)
    return reshape_to(joined, (1, w.shape[0], *joined.shape[2:]))


@operator("input", "weight", "bias")
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve sequences with filters; `conv2d` over one axis.

    Args:
        input: (batch, channels, length).
        weight: (out channels, channels / groups, kernel length).
        bias: (out channels,) or None.
        stride: int.
        padding: int, ((left, right),), "same" or "valid".
        dilation: int: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out length).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> from cnncore import ops
    >>> ops.conv1d([[[1.0, 2.0, 4.0, 8.0]]], [[[-1.0, 1.0]]]).tolist()
    [[[1.0, 2.0, 4.0]]]
    """
    return conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@operator("input", "weight", "bias")
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images with filters (cross-correlation, as in every network library).

    Args:
        input: (batch, channels, height, width).
        weight: (out channels, channels / groups, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or pair.
        padding: int, pair (height, width), ((top, bottom), (left, right)), "same" or "valid".
        dilation: int or pair: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out height, out width).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv2d(np.ones((1, 1, 3, 3)), np.ones((2, 1, 3, 3)), padding=1).shape
    (1, 2, 3, 3)
    """
    return conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@operator("input", "weight", "bias")
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve volumes with filters; `conv2d` over three axes.

    Args:
        input: (batch, channels, depth, height, width).
        weight: (out channels, channels / groups, kernel depth, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or triple.
        padding: int, triple, ((front, back), (top, bottom), (left, right)), "same" or "valid".
        dilation: int or triple: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out depth, out height, out width).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv3d(np.ones((1, 1, 4, 5, 6)), np.ones((2, 1, 3, 3, 3)), padding=(1, 0, 0)).shape
    (1, 2, 4, 3, 4)
    """
    return conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)
