# SPDX-License-Identifier: Apache-2.0
"""What an answer owes to each part of the input, by covering it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ..._checks import is_index
from ...nn.module import Module
from ...nn.predict import check_batch_size
from .probe import Array, check_fill, check_input, look
from .targets import scores, target_weights


def occlusion(
    model: Module,
    x: Any,
    target: Any = None,
    window: int | tuple[int, ...] = 3,
    stride: int | tuple[int, ...] = 1,
    value: Any = 0.0,
    batch_size: int = 64,
) -> Array:
    """Return how much a class' score falls when a window over each place is covered.

    Args:
        model: a Module of one input (rows, channels, spatial...), whose output is (rows, classes, ...).
        x: its input.
        target: the class, one for each row, or weights of the output's shape; None is the class that the
            model prefers.
        window: extent of what is covered, all channels of it: one for all axes, or one for each.
        stride: from a window to the next; the last one ends at the border.
        value: what it is covered with: a number, or an array that broadcasts to x.
        batch_size: inputs that the model sees at once.

    Returns:
        (rows, spatial...): at each place the mean fall of the score over the windows that cover it.

    Raises:
        ValueError: an input without spatial axes, a window larger than the input, a class that the model has
            not.

    Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks" (2014).

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> occlusion(net, np.ones((2, 1, 8, 8)), 3, window=2, stride=2).shape
    (2, 8, 8)
    """
    x = check_input(x)
    if x.ndim < 3:
        raise ValueError(f"expected x of shape (rows, channels, spatial...), got {x.shape}")
    extents = x.shape[2:]
    sizes, strides = _each(window, "window", extents), _each(stride, "stride", extents)
    if any(size > extent for size, extent in zip(sizes, extents, strict=True)):
        raise ValueError(f"expected a window within the input's {extents}, got {sizes}")
    starts = list(product(*map(_starts, extents, sizes, strides)))
    cover = check_fill("value", value, x)
    weights = target_weights(model, x, target)
    whole = scores(look(model, x).output, weights)
    falls = np.zeros((len(x), *extents))
    times = np.zeros(extents)
    jobs = [(row, start) for start in starts for row in range(len(x))]
    batch = check_batch_size(batch_size)
    for first in range(0, len(jobs), batch):
        part = jobs[first : first + batch]
        rows = np.array([row for row, _ in part])
        covered = x[rows]
        for image, (row, start) in zip(covered, part, strict=True):
            place = _place(start, sizes)
            image[place] = cover[row][place]
        fall = whole[rows] - scores(look(model, covered).output, weights[rows])
        for (row, start), amount in zip(part, fall, strict=True):
            falls[row][_place(start, sizes)[1:]] += amount
    for start in starts:
        times[_place(start, sizes)[1:]] += 1
    return (falls / np.maximum(times, 1)).astype(np.float32)


def _place(start: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the part of an image (channels, spatial...) under a window."""
    return (slice(None), *(slice(at, at + size) for at, size in zip(start, sizes, strict=True)))


def _starts(extent: int, size: int, stride: int) -> list[int]:
    """Return where windows begin on an axis, so that none is left uncovered at its end."""
    last = extent - size
    return sorted({*range(0, last + 1, stride), last})


def _each(value: Any, name: str, extents: tuple[int, ...]) -> tuple[int, ...]:
    several = tuple(value) if isinstance(value, (tuple, list)) else (value,) * len(extents)
    whole = all(map(is_index, several))
    if len(several) != len(extents) or not whole or min(several) < 1:
        raise ValueError(
            f"expected {name} as an integer from 1, or one for each of {len(extents)} axes, got {value!r}"
        )
    return tuple(int(n) for n in several)
