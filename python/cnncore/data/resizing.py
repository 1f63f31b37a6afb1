# SPDX-License-Identifier: Apache-2.0
"""Images in another size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._checks import is_integer

MAX_PIXELS = 1 << 26
"""Larger images are refused: a few bytes can claim to be gigapixels."""


FITS = ("stretch", "crop", "letterbox")
"""Ways to a size: whatever the proportions; the middle part of its proportions; all, in a border."""

_BORDER = 128
"""The grey of a letterbox."""


def check_size(size: Any) -> tuple[int, int]:
    """Return a size as (height, width), or raise where it is none."""
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(map(is_integer, size)):
        raise TypeError(f"expected size as (height, width), two integers, got {size!r}")
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1:
        raise ValueError(f"expected a size of at least 1 x 1, got {height} x {width}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"expected a size of at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def resize(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize the last two axes to (height, width), linearly; shrinking averages over all pixels covered.

    The aspect ratio is not kept.

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
    pixels = np.ascontiguousarray(image, None if image.dtype == np.uint8 else np.float32)
    planes = pixels.reshape(1, -1, *image.shape[-2:])
    whole = np.array([0, 0, *image.shape[-2:]], np.float64)
    resized = _core.resample_images(planes, whole, height, width, "bilinear", True)
    return np.asarray(resized).reshape(*image.shape[:-2], height, width)


def fit_image(image: NDArray[Any], size: tuple[int, int], fit: str) -> NDArray[Any]:
    """Return an image (channels, height, width) in the size (height, width), by a way of `FITS`.

    >>> wide = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    >>> fit_image(wide, (2, 2), "crop").tolist(), fit_image(wide, (4, 4), "letterbox")[0, 0].tolist()
    ([[[1, 2], [5, 6]]], [128, 128, 128, 128])
    """
    check_fit(fit)
    height, width = size = check_size(size)
    high, wide = image.shape[-2:]
    if fit == "stretch" or high * width == wide * height:
        return resize(image, size)
    scale = (max if fit == "crop" else min)(height / high, width / wide)
    if fit == "crop":
        rows, columns = min(high, height / scale), min(wide, width / scale)
        top, left = (high - rows) / 2, (wide - columns) / 2
        # Rounding must not lead out of the image.
        part = np.array([top, left, min(rows, high - top), min(columns, wide - left)])
        pixels = np.ascontiguousarray(image, None if image.dtype == np.uint8 else np.float32)
        cropped = _core.resample_images(pixels[None], part[None], height, width, "bilinear", True)
        return np.asarray(cropped).reshape(*image.shape[:-2], height, width)
    inner = max(1, round(high * scale)), max(1, round(wide * scale))
    shown = resize(image, inner)
    framed = np.full((*image.shape[:-2], height, width), _BORDER, shown.dtype)
    if shown.dtype != np.uint8:
        framed /= 255
    above, before = (height - inner[0]) // 2, (width - inner[1]) // 2
    framed[..., above : above + inner[0], before : before + inner[1]] = shown
    return framed


def check_fit(fit: Any) -> str:
    """Return a way of `FITS`, or raise where it is none."""
    if not isinstance(fit, str) or fit not in FITS:
        raise ValueError(f"expected fit among {', '.join(map(repr, FITS))}, got {fit!r}")
    return str(fit)


def as_before(values: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    """Return what was computed from an image in that image's kind of numbers."""
    return np.rint(values).clip(0, 255).astype(np.uint8) if image.dtype == np.uint8 else values
