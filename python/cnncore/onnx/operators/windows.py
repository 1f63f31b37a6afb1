# SPDX-License-Identifier: Apache-2.0
"""The settings that convolution and pooling share, and windows of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..bounds import require_result
from ..graph import Node

Array = Any


class Geometry(NamedTuple):
    """How windows of `kernel` elements move over an image; `out` is how many there are along each axis.

    `end` is what must be there behind the image for them, with ceil_mode more than what was asked.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    asked_end: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.begin, self.end, strict=True))


def geometry(node: Node, spatial: Sequence[int], kernel: Sequence[int]) -> Geometry:
    """Return the windows of a node over an image of these extents.

    Raises:
        ValueError: a window that is larger than the padded image.
    """
    rank = len(spatial)
    strides = tuple(node.attr("strides", (1,) * rank))
    dilations = tuple(node.attr("dilations", (1,) * rank))
    pads = tuple(node.attr("pads", (0,) * (2 * rank)))
    if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
        raise ValueError(f"kernel {tuple(kernel)}, strides {strides}, pads {pads} are not for {rank} axes")
    if min(*strides, *dilations, *kernel) < 1:
        raise ValueError("kernel, strides and dilations are at least 1")
    wide = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    begin, end = list(pads[:rank]), list(pads[rank:])
    mode = node.attr("auto_pad", "NOTSET")
    ceil = bool(node.attr("ceil_mode", 0)) and mode == "NOTSET"
    if mode == "VALID":
        begin = end = [0] * rank
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        for i, (extent, width, stride) in enumerate(zip(spatial, wide, strides, strict=True)):
            total = max((-(-extent // stride) - 1) * stride + width - extent, 0)
            small = total // 2
            begin[i], end[i] = (small, total - small) if mode == "SAME_UPPER" else (total - small, small)
    require_result([n + sum(pair) for n, *pair in zip(spatial, begin, end, strict=True)])
    out, needed = [], []
    for i in range(rank):
        room = spatial[i] + begin[i] + end[i] - wide[i]
        if room < 0:
            raise ValueError(
                f"a window of {wide[i]} on {spatial[i]} elements with padding {begin[i]}, {end[i]}"
            )
        count = (-(-room // strides[i]) if ceil else room // strides[i]) + 1
        if ceil and (count - 1) * strides[i] >= spatial[i] + begin[i]:
            count -= 1
        out.append(count)
        needed.append(max((count - 1) * strides[i] + wide[i] - spatial[i] - begin[i], end[i]))
    return Geometry(tuple(kernel), strides, dilations, tuple(begin), tuple(needed), tuple(end), tuple(out))


def windows_of(x: Array, shape: Geometry, fill: Any) -> Array:
    """Return the windows of an array (n, c, spatial...) as (n, c, out..., kernel...), a view of a copy."""
    rank = len(shape.kernel)
    x = np.pad(x, [(0, 0), (0, 0), *shape.pads], constant_values=fill)
    wide = [d * (k - 1) + 1 for k, d in zip(shape.kernel, shape.dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, wide, tuple(range(2, 2 + rank)))
    steps = tuple(slice(0, (n - 1) * s + 1, s) for n, s in zip(shape.out, shape.strides, strict=True))
    taps = tuple(slice(None, None, d) for d in shape.dilations)
    chosen = (slice(None), slice(None), *steps, *taps)
    return view[chosen]
