# SPDX-License-Identifier: Apache-2.0
"""Max and average pooling, also adaptive, and their gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import Array, Indices, Ints, float64, output_extents, pad, taps, window


def max_pool(
    x: Any, kernel: Ints, stride: Ints, begin: Ints, end: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[Array, Indices]:
    """Maximum of each window (NaN wins) and its flat position in the window, the first of equals."""
    x = float64(x)
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, dilation, ceil_mode)
    padded = _pool_pad(x, extents, kernel, stride, begin, dilation, -np.inf)
    best = np.full((*x.shape[:2], *extents), -np.inf)
    index = np.full(best.shape, -1, np.int64)
    inside = _pool_pad(np.ones_like(x), extents, kernel, stride, begin, dilation, 0.0)
    for position, tap in enumerate(taps(kernel)):
        where = (slice(None), slice(None), *window(tap, extents, stride, dilation))
        seen = padded[where]
        better = (seen > best) | (np.isnan(seen) & ~np.isnan(best)) | (index < 0)
        better &= inside[where] > 0
        best = np.where(better, seen, best)
        index = np.where(better, position, index)
    return best, index


def max_pool_backward(
    grad: Any, index: Indices, input_size: Ints, kernel: Ints, stride: Ints, begin: Ints, dilation: Ints
) -> Array:
    """Each gradient goes to its window's maximum."""
    grad = float64(grad)
    extents = grad.shape[2:]
    shape = (*grad.shape[:2], *input_size)
    padded = _pool_pad(np.zeros(shape), extents, kernel, stride, begin, dilation, 0.0)
    for position, tap in enumerate(taps(kernel)):
        where = (slice(None), slice(None), *window(tap, extents, stride, dilation))
        padded[where] += np.where(index == position, grad, 0.0)
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def avg_pool(
    x: Any,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int = 0,
) -> Array:
    """Mean of each window; windows that reach past the padding are clipped there, as torch does."""
    x = float64(x)
    ones = (1,) * len(kernel)
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, ones, ceil_mode)
    padded = _pool_pad(x, extents, kernel, stride, begin, ones, 0.0)
    total = np.zeros((*x.shape[:2], *extents))
    for tap in taps(kernel):
        total += padded[(slice(None), slice(None), *window(tap, extents, stride, ones))]
    return total / _avg_counts(x.shape[2:], extents, kernel, stride, begin, end, count_include_pad, divisor)


def avg_pool_backward(
    grad: Any,
    input_size: Ints,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    count_include_pad: bool = True,
    divisor: int = 0,
) -> Array:
    """Each gradient is shared out over its window."""
    grad = float64(grad)
    extents = grad.shape[2:]
    ones = (1,) * len(kernel)
    counts = _avg_counts(input_size, extents, kernel, stride, begin, end, count_include_pad, divisor)
    shared = grad / counts
    padded = _pool_pad(np.zeros((*grad.shape[:2], *input_size)), extents, kernel, stride, begin, ones, 0.0)
    for tap in taps(kernel):
        padded[(slice(None), slice(None), *window(tap, extents, stride, ones))] += shared
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def adaptive_windows(size: Ints, extents: Ints) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Output position and the input it covers: from floor(i * n / o) to ceil((i + 1) * n / o)."""
    for position in taps(extents):
        cover = tuple(
            slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(position, size, extents, strict=True)
        )
        yield position, cover


def adaptive_avg_pool(x: Any, extents: Ints) -> Array:
    """Mean over windows that divide the input into `extents`."""
    x = float64(x)
    result = np.empty((*x.shape[:2], *extents))
    for position, cover in adaptive_windows(x.shape[2:], extents):
        seen = x[(slice(None), slice(None), *cover)]
        result[(slice(None), slice(None), *position)] = seen.reshape(*x.shape[:2], -1).mean(-1)
    return result


def adaptive_avg_pool_backward(grad: Any, input_size: Ints) -> Array:
    """Each gradient is shared out over its window."""
    grad = float64(grad)
    result = np.zeros((*grad.shape[:2], *input_size))
    trailing = (None,) * len(input_size)
    for position, cover in adaptive_windows(input_size, grad.shape[2:]):
        count = math.prod(part.stop - part.start for part in cover)
        share = grad[(slice(None), slice(None), *position)] / count
        result[(slice(None), slice(None), *cover)] += share[(slice(None), slice(None), *trailing)]
    return result


def adaptive_max_pool(x: Any, extents: Ints) -> tuple[Array, Indices]:
    """Maximum over windows that divide the input, and its flat position in the input plane."""
    x = float64(x)
    flat = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    best = np.empty((*x.shape[:2], *extents))
    index = np.empty(best.shape, np.int64)
    for position, cover in adaptive_windows(x.shape[2:], extents):
        seen = x[(slice(None), slice(None), *cover)].reshape(*x.shape[:2], -1)
        chosen = seen.argmax(-1)
        where = (slice(None), slice(None), *position)
        best[where] = np.take_along_axis(seen, chosen[..., None], -1)[..., 0]
        index[where] = flat[cover].ravel()[chosen]
    return best, index


def adaptive_max_pool_backward(grad: Any, index: Indices, input_size: Ints) -> Array:
    """Each gradient goes to the maximum's position."""
    grad = float64(grad)
    result = np.zeros((*grad.shape[:2], math.prod(input_size)))
    for n, c in itertools.product(*map(range, grad.shape[:2])):
        np.add.at(result[n, c], index[n, c].ravel(), grad[n, c].ravel())
    return result.reshape(*grad.shape[:2], *input_size)


def _pool_pad(
    x: Array, extents: Ints, kernel: Ints, stride: Ints, begin: Ints, dilation: Ints, value: float
) -> Array:
    """Padding as wide as the windows reach, which with ceil_mode may be past the padding asked for."""
    reach = [
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(extents, stride, dilation, kernel, strict=True)
    ]
    end = [max(0, r - n - b) for r, n, b in zip(reach, x.shape[2:], begin, strict=True)]
    return pad(x, begin, end, value)


def _avg_counts(
    size: Ints,
    extents: Ints,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    count_pad: bool,
    divisor: int,
) -> Array:
    if divisor:
        return np.full(tuple(extents), float(divisor))
    counts = np.empty(tuple(extents))
    for position in taps(extents):
        count = 1
        for i, n, k, s, b, e in zip(position, size, kernel, stride, begin, end, strict=True):
            first = i * s - b
            last = min(first + k, n + e)
            count *= (last - first) if count_pad else min(last, n) - max(first, 0)
        counts[position] = count
    return counts
