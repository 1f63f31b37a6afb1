# SPDX-License-Identifier: Apache-2.0
"""Images in another size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 1 << 26
"""Larger images are refused: a few bytes can claim to be gigapixels."""


def check_size(size: Any) -> tuple[int, int]:
    """Return a size as (height, width), or raise where it is none."""
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(map(_is_integer, size)):
        raise TypeError(f"expected size as (height, width), two integers, got {size!r}")
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1:
        raise ValueError(f"expected a size of at least 1 x 1, got {height} x {width}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"expected a size of at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def resize(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize the last two axes to (height, width), linearly; shrinking averages over all pixels covered.

    The aspect ratio is not kept. Beside image and result there is room for one more of the smaller extent of
    each axis.

    Args:
        image: an array (..., height, width) of uint8, or of floats.
        size: (height, width), at most `MAX_PIXELS` pixels.

    Returns:
        An array (..., height, width): uint8 for uint8, else float32. An image of that size already is
        returned as it is.

    Raises:
        TypeError: no array of numbers, or a size that is no pair of integers.
        ValueError: an image or a size without pixels, or a size with too many.

    >>> resize(np.array([[0.0, 1.0]], np.float32), (1, 4)).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    height, width = check_size(size)
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(f"expected an image of numbers, got dtype {image.dtype}")
    if image.ndim < 2 or 0 in image.shape:
        raise ValueError(
            f"expected an image (..., height, width) of at least 1 x 1 pixels, got shape {image.shape}"
        )
    if image.shape[-2:] == (height, width):
        return image
    # The axis that shrinks most comes first: what lies between the two passes is small then.
    axes = sorted([(height / image.shape[-2], -2, height), (width / image.shape[-1], -1, width)])
    values: NDArray[Any] = image
    for _, axis, new in axes:
        values = _along(values, axis, new)
    return as_before(values, image)


def as_before(values: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    """Return what was computed from an image in that image's kind of numbers."""
    return np.rint(values).clip(0, 255).astype(np.uint8) if image.dtype == np.uint8 else values


def _along(image: NDArray[Any], axis: int, new: int) -> NDArray[np.float32]:
    """Return float32 values with `new` elements along an axis: triangle filters that touch every element."""
    old = image.shape[axis]
    scale = old / new
    reach = max(scale, 1.0)
    shape = list(image.shape)
    shape[axis] = new
    result = np.empty(shape, np.float32)
    source, target = np.moveaxis(image, axis, -1), np.moveaxis(result, axis, -1)
    for index in range(new):
        centre = (index + 0.5) * scale - 0.5
        begin, end = max(0, math.ceil(centre - reach)), min(old, math.floor(centre + reach) + 1)
        weights = np.maximum(0.0, 1.0 - np.abs(np.arange(begin, end) - centre) / reach)
        weights /= weights.sum()
        target[..., index] = source[..., begin:end].astype(np.float32) @ weights.astype(np.float32)
    return result


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)
