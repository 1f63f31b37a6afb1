# SPDX-License-Identifier: Apache-2.0
"""Where in a channel the elements that pooling has chosen lie."""

from __future__ import annotations

from math import prod

import numpy as np

from ..graph.tensor import Shape, Tensor
from ..graph.trace import as_tensor
from .build import cast, integral
from .window import Window


def _constant(value: object) -> Tensor:
    return as_tensor(np.asarray(value, np.int64), "indices")


def _times(x: Tensor, factor: int) -> Tensor:
    return integral("mul", "int64", x, _constant(factor))


def input_places(taps: Tensor, window: Window, extents: Shape, output: Shape) -> Tensor:
    """Return places (int64) in a channel of `extents`, in C order, from the numbers of a window's taps.

    Tap n of a kernel (..., K) lies in its row n // K. From tap to tap the place grows by the dilation, and
    from the last of a row to the first of the next by what is left of the input's row; likewise for planes.
    """
    steps = [prod(extents[i + 1 :]) for i in range(len(extents))]
    first = np.zeros(output, np.int64)
    for axis, (count, stride, begin, step) in enumerate(
        zip(output, window.stride, window.begin, steps, strict=True)
    ):
        starts = (np.arange(count) * stride - begin) * step
        first += starts.reshape(-1, *(1,) * (len(output) - axis - 1))
    apart = [step * dilation for step, dilation in zip(steps, window.dilation, strict=True)]
    numbers = cast(taps, "int64")
    places = integral("add", "int64", _times(numbers, apart[-1]), _constant(first))
    for axis in range(len(output) - 2, -1, -1):
        row = integral("floor_divide", "int64", numbers, _constant(prod(window.kernel[axis + 1 :])))
        skip = apart[axis] - apart[axis + 1] * window.kernel[axis + 1]
        places = integral("add", "int64", places, _times(row, skip))
    return places
