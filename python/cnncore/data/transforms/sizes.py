# SPDX-License-Identifier: Apache-2.0
"""Images in another size."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from .arguments import extents, interval, one_of, some_extents
from .draws import Draws
from .samples import Samples, map_boxes
from .transform import Transform

__all__ = ["RandomResizedCrop", "Resize", "resized_boxes"]

MODES = ("nearest", "bilinear", "bicubic")
_TRIES = 10


class Resize(Transform):
    """Resize images, or signals (linearly).

    Args:
        size: (height, width); or an integer, which the shorter side gets while the aspect ratio stays (and
            the only axis of a signal).
        interpolation: "nearest", "bilinear" or "bicubic".
        max_size: the longer side becomes no longer; only with an integer size.
        antialias: whether the filter is as wide as the pixels that become one.

    Masks are resized by "nearest".

    Raises:
        ValueError: `max_size` beside both sides as `size`.

    >>> Resize((1, 2), "nearest")(np.array([[[1, 2, 3, 4]]], np.uint8)).tolist()
    [[[2, 4]]]
    >>> Resize(8)(np.zeros((3, 16, 24), np.uint8)).shape
    (3, 8, 12)
    """

    spatial = (1, 2)

    def __init__(
        self, size: Any, interpolation: str = "bilinear", max_size: int | None = None, antialias: bool = True
    ) -> None:
        self.size = some_extents(size)
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.max_size = None if max_size is None else extents(max_size, 1, "max_size")[0]
        if self.max_size is not None and isinstance(size, (tuple, list)) and len(size) > 1:
            raise ValueError("expected an integer size with max_size, got both sides")
        self.antialias = bool(antialias)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        old = samples.extents
        shorter = not isinstance(self.size, (tuple, list)) or len(self.size) == 1
        if len(old) == 2 and shorter:
            new = _by_shorter_side(old, extents(self.size, 1)[0], self.max_size)
        else:
            new = extents(self.size, len(old))
        if new == old:
            return samples
        rows = (1, *old) if len(old) == 1 else old
        boxes = np.tile([0.0, 0.0, *map(float, rows)], (len(samples), 1))
        return resized_boxes(samples, boxes, new, self.interpolation, self.antialias)


class RandomResizedCrop(Transform):
    """A random part of an image in a given size (Szegedy et al., 2015).

    Args:
        size: (height, width), or an integer for both.
        scale: the part's area as a share of the image's, from and to.
        ratio: its width through its height, from and to, drawn on a logarithmic scale.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: whether the filter is as wide as the pixels that become one.

    Raises:
        ValueError: a scale or ratio of 0.

    >>> RandomResizedCrop(224)(np.zeros((3, 300, 400), np.uint8)).shape
    (3, 224, 224)
    """

    spatial = (2,)

    def __init__(
        self,
        size: Any,
        scale: Any = (0.08, 1.0),
        ratio: Any = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ) -> None:
        self.size = extents(size, 2)
        self.scale = interval(scale, "scale", 0)
        self.ratio = interval(ratio, "ratio", 0)
        if self.ratio[0] == 0 or self.scale[1] == 0:
            raise ValueError(f"expected scale and ratio above 0, got {scale} and {ratio}")
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.antialias = bool(antialias)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        boxes = self._boxes(len(samples), samples.extents, draws)
        return resized_boxes(samples, boxes, self.size, self.interpolation, self.antialias)

    def _boxes(self, count: int, size: tuple[int, ...], draws: Draws) -> NDArray[np.float64]:
        """(samples, 4): top, left, height, width of whole pixels; the first of ten tries that fits."""
        height, width = size
        area = draws.uniform(*self.scale, (_TRIES,)) * (height * width)
        aspect = np.exp(draws.uniform(log(self.ratio[0]), log(self.ratio[1]), (_TRIES,)))
        wide, high = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        first = fits.argmax(1)
        rows = np.arange(count)
        wide, high = wide[rows, first], high[rows, first]
        top = np.floor(draws.uniform(0, 1) * (height - high + 1))
        left = np.floor(draws.uniform(0, 1) * (width - wide + 1))
        found = fits.any(1)
        middle = _middle(height, width, self.ratio)
        drawn = np.stack([top, left, high, wide], 1)
        return np.where(np.asarray(found)[:, None], drawn, np.array(middle, np.float64))


def resized_boxes(
    samples: Samples, boxes: NDArray[np.float64], size: tuple[int, ...], mode: str, antialias: bool
) -> Samples:
    """Parts of the samples in another size. boxes: (samples, 4) as top, left, height, width."""
    images, masks = samples.images, samples.masks
    one_axis = images.ndim == 3
    height, width = (1, *size) if one_axis else size
    planes = images[:, :, None] if one_axis else images
    resized = _core.resample_images(planes, boxes, height, width, mode, antialias)
    images = resized[:, :, 0] if one_axis else resized
    if masks is not None:
        masks = _nearest(masks[:, None] if one_axis else masks, boxes, height, width)
        masks = masks[:, 0] if one_axis else masks
    moved = samples.boxes
    if moved is not None:
        origin = np.tile(boxes[:, 1::-1], 2)
        scale = np.tile([width, height], 2) / np.tile(boxes[:, :1:-1], 2)
        moved = map_boxes(samples, lambda i, b: (b - origin[i]) * scale[i], (height, width))
    return Samples(images, masks, moved, samples.labels)


def _nearest(masks: NDArray[Any], boxes: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
    """Masks (samples, height, width) of any type at the pixels that lie nearest."""
    top, left, high, wide = (boxes[:, i, None] for i in range(4))
    rows = np.floor(top + (np.arange(height) + 0.5) * high / height).astype(np.intp)
    columns = np.floor(left + (np.arange(width) + 0.5) * wide / width).astype(np.intp)
    rows, columns = rows.clip(0, masks.shape[1] - 1), columns.clip(0, masks.shape[2] - 1)
    return masks[np.arange(len(masks))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _by_shorter_side(old: tuple[int, ...], size: int, most: int | None) -> tuple[int, ...]:
    short, long = min(old), max(old)
    longer = int(size * long / short)
    if most is not None and longer > most:
        if most <= size:
            raise ValueError(f"expected max_size above size {size}, got {most}")
        size, longer = int(most * size / longer), most
    return (max(size, 1), longer) if old[0] <= old[1] else (longer, max(size, 1))


def _middle(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """The largest part in the middle whose aspect ratio is within the limits."""
    aspect = exp(min(max(log(width / height), log(ratio[0])), log(ratio[1])))
    high = min(height, round(width / aspect))
    wide = min(width, round(height * aspect))
    return (height - high) // 2, (width - wide) // 2, max(high, 1), max(wide, 1)
