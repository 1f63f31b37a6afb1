# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution: the gradient of a convolution by its input, run forward."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Shape, Tensor
from ..graph.trace import shape_error
from .build import elementwise, embed, reshape_to, window
from .check import channels_hint, float_tensor, integers, optional_float, require_rank
from .conv import group_count
from .convolution import backward_data
from .window import Window


def conv_transpose(
    op: str,
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Tensor:
    """Check the arguments of a transposed convolution over `rank` spatial axes and add it."""
    x, w, b = float_tensor(input, op), float_tensor(weight, op), optional_float(bias, op)
    require_rank(x, rank + 2, op)
    if w.ndim != rank + 2:
        raise shape_error(
            op, f"expected weight (in channels, out channels / groups, *kernel), got shape {w.shape}"
        )
    groups = group_count(groups, op)
    _check_channels(x, w, b, groups, op)
    stride, dilation = integers(stride, rank, "stride", op), integers(dilation, rank, "dilation", op)
    padding = integers(padding, rank, "padding", op, least=0)
    added = integers(output_padding, rank, "output_padding", op, least=0)
    if any(a >= max(s, d) for a, s, d in zip(added, stride, dilation, strict=True)):
        raise shape_error(
            op,
            "expected output_padding smaller than stride or dilation on each axis, "
            f"got output_padding={added}, stride={stride}, dilation={dilation}",
        )
    extents = transposed_extents(x.shape, w.shape, stride, padding, added, dilation)
    if min(extents, default=1) < 1:
        raise shape_error(
            op,
            f"expected padding that leaves some output, got extents {extents} (input is {x.shape}, "
            f"weight is {w.shape}, stride={stride}, padding={padding}, output_padding={added})",
        )
    # What is added at the end is first of all taken from the padding there.
    end = tuple(max(p - a, 0) for p, a in zip(padding, added, strict=True))
    reach = Window(w.shape[2:], stride, padding, end, dilation)
    shape = (x.shape[0], w.shape[1] * groups, *extents)
    beyond = tuple(max(a - p, 0) for p, a in zip(padding, added, strict=True))
    if all(more < step for more, step in zip(beyond, stride, strict=True)):
        return backward_data(x, w, shape, reach, groups, b)
    return _cut_from_whole(x, w, b, shape, reach, groups)


def _cut_from_whole(
    x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape, reach: Window, groups: int
) -> Tensor:
    """Add a transposed convolution with more output behind its reach than a stride.

    A convolution from `shape` would have more outputs than `x` has pixels, so this one is computed without
    padding, extended by zeros, and cut.
    """
    rank, begin = len(shape) - 2, reach.begin
    zeros = (0,) * rank
    whole = transposed_extents(x.shape, weight.shape, reach.stride, zeros, zeros, reach.dilation)
    y = backward_data(x, weight, (*shape[:2], *whole), reach._replace(begin=zeros, end=zeros), groups)
    ends = tuple(max(n, p + m) for n, p, m in zip(whole, begin, shape[2:], strict=True))
    steps = (1,) * x.ndim
    y = window(embed(y, (*shape[:2], *ends), (0,) * x.ndim, steps, 0.0), (0, 0, *begin), steps, shape)
    return y if bias is None else elementwise("add", y, reshape_to(bias, (1, shape[1]) + (1,) * rank))


def transposed_extents(
    input_shape: Shape,
    weight_shape: Shape,
    stride: Shape,
    padding: Shape,
    output_padding: Shape,
    dilation: Shape,
) -> Shape:
    """Return the output's spatial extents."""
    return tuple(
        (extent - 1) * step - 2 * sides + distance * (kernel - 1) + added + 1
        for extent, kernel, step, sides, added, distance in zip(
            input_shape[2:], weight_shape[2:], stride, padding, output_padding, dilation, strict=True
        )
    )


def _check_channels(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, op: str) -> None:
    channels = weight.shape[0]
    if channels % groups:
        raise shape_error(op, f"expected input channels divisible by groups, got {channels} and {groups}")
    if x.shape[1] != channels:
        raise shape_error(
            op,
            f"expected input with {channels} channels (weight is {weight.shape}), got {x.shape}."
            + channels_hint(x.shape, channels),
        )
    outputs = (weight.shape[1] * groups,)
    if bias is not None and bias.shape != outputs:
        raise shape_error(
            op,
            f"expected bias of shape {outputs} (weight is {weight.shape}, groups={groups}), got {bias.shape}",
        )


@operator("input", "weight", "bias")
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
) -> Tensor:
    """Spread each element over the output by the filters: the adjoint of `conv1d`, without its bias.

    Args:
        input: (batch, channels, length).
        weight: (channels, out channels / groups, kernel length).
        bias: (out channels,) or None.
        stride: int: distance in the output between neighbouring elements of the input.
        padding: int: elements cut off on both sides of the output.
        output_padding: int: elements added at the end, fewer than `stride` or `dilation`.
        groups: number of blocks that channels are cut into; each output block sees one input block.
        dilation: int: distance between the kernel's elements.

    Returns:
        (batch, out channels, out length), the length as in `conv_transpose2d`.

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> from cnncore import ops
    >>> ops.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 3.0]]], stride=2).tolist()
    [[[1.0, 3.0, 2.0, 6.0]]]
    """
    return conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@operator("input", "weight", "bias")
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """Spread each pixel over the output by the filters: the adjoint of `conv2d`, without its bias.

    Args:
        input: (batch, channels, height, width).
        weight: (channels, out channels / groups, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or pair: distance in the output between neighbouring pixels of the input.
        padding: int or pair: rows and columns cut off on every side of the output.
        output_padding: int or pair: rows and columns added at the bottom and the right, fewer than
            `stride` or `dilation`.
        groups: number of blocks that channels are cut into; each output block sees one input block.
        dilation: int or pair: distance between the kernel's elements.

    Returns:
        (batch, out channels, out height, out width); an extent is (extent - 1) * stride - 2 * padding
        + dilation * (kernel - 1) + output_padding + 1.

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv_transpose2d(np.array([[[[1.0, 2.0]]]]), np.ones((1, 1, 1, 2)), stride=(1, 2)).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """
    return conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@operator("input", "weight", "bias")
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] = 0,
    output_padding: int | tuple[int, int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int, int] = 1,
) -> Tensor:
    """Spread each voxel over the output by the filters: the adjoint of `conv3d`, without its bias.

    Args:
        input: (batch, channels, depth, height, width).
        weight: (channels, out channels / groups, kernel depth, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or triple: distance in the output between neighbouring voxels of the input.
        padding: int or triple: planes, rows and columns cut off on every side of the output.
        output_padding: int or triple: planes, rows and columns added at the ends, fewer than `stride` or
            `dilation`.
        groups: number of blocks that channels are cut into; each output block sees one input block.
        dilation: int or triple: distance between the kernel's elements.

    Returns:
        (batch, out channels, out depth, out height, out width), extents as in `conv_transpose2d`.

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv_transpose3d(np.ones((1, 4, 2, 3, 3)), np.ones((4, 2, 2, 2, 2)), stride=2).shape
    (1, 2, 4, 6, 6)
    """
    return conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
