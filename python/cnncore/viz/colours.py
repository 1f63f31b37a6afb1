# SPDX-License-Identifier: Apache-2.0
"""Numbers as colours, and many images as one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which remain distinct to colour-blind eyes."""

_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    np.float64,
)
"""Of van der Walt and Smith: even steps of lightness, also in grey and to colour-blind eyes."""

_SIGNED = np.array(
    [(0, 90, 160), (120, 175, 220), (247, 247, 247), (240, 170, 110), (190, 75, 0)], np.float64
)
"""Negative blue, 0 white, positive orange."""


def _mapped(share: Array, anchors: Array) -> Array:
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(anchors) - 1)
    lower = np.minimum(place.astype(np.intp), len(anchors) - 2)
    part = (place - lower)[..., None]
    colours: Array = np.rint(anchors[lower] * (1 - part) + anchors[lower + 1] * part).astype(np.uint8)
    return colours


def sequential(values: Array, low: float | None = None, high: float | None = None) -> Array:
    """Return colours (..., 3), uint8, from dark (`low`, the least value) to light (`high`, the largest).

    >>> sequential(np.array([0.0, 1.0])).tolist()
    [[68, 1, 84], [253, 231, 37]]
    """
    return _mapped(scaled(values, low, high), _VIRIDIS)


def signed(values: Array, size: float | None = None) -> Array:
    """Return colours (..., 3), uint8: blue below 0, white, orange above; full at `size`, the largest value.

    >>> signed(np.array([-2.0, 0.0])).tolist()
    [[0, 90, 160], [247, 247, 247]]
    """
    largest = size or float(np.abs(np.nan_to_num(values)).max(initial=0)) or 1.0
    return _mapped(values / (2 * largest) + 0.5, _SIGNED)


def scaled(values: Array, low: float | None = None, high: float | None = None) -> Array:
    """Return values from 0 (`low`, the least) to 1 (`high`, the largest); 0 where all are the same."""
    finite = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    least = float(finite.min(initial=np.inf)) if low is None else low
    most = float(finite.max(initial=-np.inf)) if high is None else high
    if not most > least:
        return np.zeros_like(finite)
    return np.clip((finite - least) / (most - least), 0, 1)


def picture(image: Array) -> Array:
    """Return an image (1 or 3, height, width) of 0 to 1 as uint8 (height, width) or (height, width, 3)."""
    levels = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return levels[0] if len(levels) == 1 else np.ascontiguousarray(np.moveaxis(levels, 0, 2))


def overlaid(image: Array, heat: Array, strength: float = 0.6) -> Array:
    """Return an image with a heat map above it, uint8 (height, width, 3).

    Args:
        image: (1 or 3, height, width) of 0 to 1.
        heat: (height, width), 0 and more; the image shows through where it is small.
        strength: share of the colour where the heat is largest.
    """
    below = np.moveaxis(np.clip(np.nan_to_num(image), 0, 1), 0, 2) * 255.0
    share = scaled(heat, 0.0)
    cover = strength * np.sqrt(share)[..., None]
    mixed: Array = np.rint(below * (1 - cover) + _mapped(share, _VIRIDIS) * cover).astype(np.uint8)
    return mixed


def tiled(images: Array, columns: int | None = None, gap: int = 1, shade: int = 255) -> Array:
    """Return images (count, height, width, ...) side by side as one, uint8.

    Args:
        images: uint8.
        columns: images in a row; None makes the whole about as wide as high.
        gap: pixels between two.
        shade: of the gaps.
    """
    count, height, width = images.shape[:3]
    across = min(count, columns or math.ceil(math.sqrt(count * height / width)))
    down = -(-count // across)
    whole = np.full(
        (down * (height + gap) - gap, across * (width + gap) - gap, *images.shape[3:]), shade, np.uint8
    )
    for number, image in enumerate(images):
        top, left = number // across * (height + gap), number % across * (width + gap)
        whole[top : top + height, left : left + width] = image
    return whole


def maps_picture(maps: Array, most: int = 64, columns: int | None = None) -> Array:
    """Return a layer's answer as one image, uint8 (height, width, 3).

    Args:
        maps: of one row: (channels, height, width), shown each on its own scale; (channels, length) or
            (features,), shown as a table of all channels.
        most: channels shown.
        columns: see `tiled`.
    """
    if maps.ndim == 1:
        across = columns or math.ceil(math.sqrt(len(maps) * 4))
        padded = np.full(-(-len(maps) // across) * across, np.nan)
        padded[: len(maps)] = scaled(maps)
        colours = sequential(padded.reshape(-1, across), 0.0, 1.0)
        colours[np.isnan(padded).reshape(-1, across)] = 255
        return colours
    shown = maps[:most]
    if maps.ndim == 2:
        return sequential(shown)
    flat = shown.reshape(len(shown), -1, shown.shape[-1])  # a volume's slices one below the other
    return tiled(np.stack([sequential(channel) for channel in flat]), columns)
