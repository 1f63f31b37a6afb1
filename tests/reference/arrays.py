# SPDX-License-Identifier: Apache-2.0
"""What all references share: float64, and the windows of convolution and pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Indices = NDArray[Any]
Ints = Sequence[int]


def float64(x: Any) -> Array:
    """The array in float64."""
    return np.asarray(x, np.float64)


def output_extents(
    size: Ints, kernel: Ints, stride: Ints, begin: Ints, end: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[int, ...]:
    """Spatial extents of a convolution's or pooling's output; with `ceil_mode` as torch rounds them."""
    result = []
    for n, k, s, b, e, d in zip(size, kernel, stride, begin, end, dilation, strict=True):
        span = n + b + e - d * (k - 1) - 1
        extent = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (extent - 1) * s >= n + b:
            extent -= 1
        result.append(extent)
    return tuple(result)


def pad(x: Array, begin: Ints, end: Ints, value: float = 0.0) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *zip(begin, end, strict=True)], constant_values=value)


def window(tap: Ints, extents: Ints, stride: Ints, dilation: Ints) -> tuple[slice, ...]:
    """Of a padded input: the elements that meet `tap` of the kernel, one for each output."""
    return tuple(
        slice(t * d, t * d + (n - 1) * s + 1, s)
        for t, n, s, d in zip(tap, extents, stride, dilation, strict=True)
    )


def taps(kernel: Ints) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(extent) for extent in kernel))


def along_channels(value: Any, rank: int) -> Array:
    """One value a channel, shaped to meet arrays of that many axes."""
    return float64(value).reshape(1, -1, *(1,) * (rank - 2))
