# SPDX-License-Identifier: Apache-2.0
"""Convolution, and transposed convolution."""

from __future__ import annotations

from typing import Any

from ... import ops
from ..graph import Node
from ..table import traced
from .windows import geometry

_CONV: dict[int, Any] = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
_TRANSPOSED: dict[int, Any] = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}


def convolve(x: Any, weight: Any, bias: Any, padding: Any, **settings: Any) -> Any:
    """Convolve over one to three axes.

    Raises:
        ValueError: other ranks.
    """
    rank = len(x.shape) - 2
    if rank not in _CONV:
        raise ValueError(f"expected 1 to 3 spatial axes, got input of shape {tuple(x.shape)}")
    return _CONV[rank](x, weight, bias, padding=padding, **settings)


@traced("Conv")
def conv(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    shape = geometry(node, x.shape[2:], node.attr("kernel_shape", weight.shape[2:]))
    symmetric = all(begin == end for begin, end in shape.pads)
    return convolve(
        x,
        weight,
        bias,
        shape.begin if symmetric else shape.pads,
        stride=shape.strides,
        dilation=shape.dilations,
        groups=node.attr("group", 1),
    )


@traced("ConvTranspose")
def conv_transpose(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    spatial = x.shape[2:]
    rank = len(spatial)
    if rank not in _TRANSPOSED:
        raise ValueError(f"expected 1 to 3 spatial axes, got input of shape {tuple(x.shape)}")
    kernel = weight.shape[2:]
    strides = tuple(node.attr("strides", (1,) * rank))
    dilations = tuple(node.attr("dilations", (1,) * rank))
    extra = tuple(node.attr("output_padding", (0,) * rank))
    begin, end = _cut(node, spatial, kernel, strides, dilations, extra)
    settings = {"stride": strides, "dilation": dilations, "groups": node.attr("group", 1)}
    usual = all(0 <= e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True))
    if begin == end and min(begin) >= 0 and usual:
        return _TRANSPOSED[rank](x, weight, bias, padding=begin, output_padding=extra, **settings)
    full = _TRANSPOSED[rank](x, weight, None, **settings)
    for axis in range(rank):
        full = _trimmed(full, axis + 2, begin[axis], end[axis] - extra[axis])
    return full if bias is None else full + ops.reshape(bias, (1, -1, *[1] * rank))


def _trimmed(x: Any, axis: int, begin: int, end: int) -> Any:
    """Cut elements off both ends of an axis; less than none adds zeros."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(max(begin, 0), x.shape[axis] - max(end, 0))
    if begin > 0 or end > 0:
        x = ops.slice(x, tuple(index))
    if begin < 0 or end < 0:
        flat = [0, 0] * (x.ndim - 1 - axis) + [max(-begin, 0), max(-end, 0)]
        x = ops.pad(x, flat)
    return x


def _cut(
    node: Node, spatial: Any, kernel: Any, strides: Any, dilations: Any, extra: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what padding cuts off the whole result, before and behind each axis."""
    rank = len(spatial)
    wanted = node.attr("output_shape")
    mode = node.attr("auto_pad", "NOTSET")
    if wanted is None and mode not in ("SAME_UPPER", "SAME_LOWER"):
        pads = (0,) * (2 * rank) if mode == "VALID" else tuple(node.attr("pads", (0,) * (2 * rank)))
        return pads[:rank], pads[rank:]
    begin, end = [], []
    for i in range(rank):
        whole = strides[i] * (spatial[i] - 1) + extra[i] + dilations[i] * (kernel[i] - 1) + 1
        extent = spatial[i] * strides[i] if wanted is None else wanted[-rank:][i]
        total = whole - extent
        small = total // 2
        first = (
            total - small if mode == "SAME_LOWER" or (wanted is not None and mode != "SAME_UPPER") else small
        )
        begin.append(first)
        end.append(total - first)
    return tuple(begin), tuple(end)
