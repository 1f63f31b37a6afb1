# SPDX-License-Identifier: Apache-2.0
"""Parts of images, images with a border, and images turned over: pixels move by whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..._checks import is_integer
from ..settings import integer
from .arguments import extents, fill_colours, fill_of, integers, one_of, some_extents
from .draws import Draws
from .samples import Samples, map_boxes, white
from .transform import Transform, probability

__all__ = ["CenterCrop", "Pad", "RandomCrop", "RandomFlip", "RandomHorizontalFlip", "RandomVerticalFlip"]

_MODES = ("constant", "edge", "reflect", "symmetric")


class Pad(Transform):
    """Add a border.

    Args:
        padding: pixels at every side, one number for each axis (both sides), or for images (left, top, right,
            bottom).
        fill: the border's colour in the image's own unit, a number or one a channel.
        padding_mode: "constant", "edge" (the outermost pixel), "reflect" (mirrored without it) or "symmetric"
            (mirrored with it).

    Masks get 0 at a constant border.

    Raises:
        ValueError: an unknown padding mode, or a fill of neither one number nor one a channel.

    >>> Pad(1)(np.ones((1, 1, 1), np.uint8)).tolist()
    [[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]
    """

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        self.padding = integers(padding, "padding", 0)
        self.fill = fill_of(fill)
        self.padding_mode = one_of(padding_mode, "padding_mode", _MODES)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        sides = _sides(self.padding, len(samples.extents))
        return padded(samples, sides, self.fill, self.padding_mode)


class CenterCrop(Transform):
    """The middle of an image; a border of zeros is added where it is smaller.

    Args:
        size: extents of the result: an integer, or one for each axis.

    Raises:
        ValueError: a size below 1.
        TypeError: a size that is no integer and not one for each axis.

    >>> CenterCrop(2)(np.arange(16, dtype=np.uint8).reshape(1, 4, 4)).tolist()
    [[[5, 6], [9, 10]]]
    """

    def __init__(self, size: Any) -> None:
        self.size = some_extents(size)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        size = extents(self.size, len(samples.extents))
        missing = [max(0, new - old) for new, old in zip(size, samples.extents, strict=True)]
        samples = padded(samples, [(n // 2, n - n // 2) for n in missing], 0, "constant")
        starts = [round((old - new) / 2) for new, old in zip(size, samples.extents, strict=True)]
        return cropped(samples, np.tile(starts, (len(samples), 1)), size)


class RandomCrop(Transform):
    """A part of an image at a random place.

    Args:
        size: extents of the result: an integer, or one for each axis.
        padding: a border added before, as `Pad` takes it; None for none.
        pad_if_needed: add a border to images that are too small.
        fill, padding_mode: of these borders.

    Raises:
        ValueError: images that are smaller than `size`, with their padding and without `pad_if_needed`.

    >>> RandomCrop(32, padding=4)(np.zeros((3, 32, 32), np.uint8)).shape
    (3, 32, 32)
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = some_extents(size)
        self.padding = None if padding is None else integers(padding, "padding", 0)
        self.pad_if_needed = bool(pad_if_needed)
        self.fill = fill_of(fill)
        self.padding_mode = one_of(padding_mode, "padding_mode", _MODES)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        axes = len(samples.extents)
        size = extents(self.size, axes)
        if self.padding is not None:
            samples = padded(samples, _sides(self.padding, axes), self.fill, self.padding_mode)
        missing = [max(0, new - old) for new, old in zip(size, samples.extents, strict=True)]
        if any(missing):
            if not self.pad_if_needed:
                raise ValueError(
                    f"[RandomCrop] expected images of at least {size}, got {samples.extents}; "
                    "pad_if_needed=True adds a border"
                )
            samples = padded(samples, [(n, n) for n in missing], self.fill, self.padding_mode)
        room = np.array([old - new + 1 for new, old in zip(size, samples.extents, strict=True)])
        return cropped(samples, draws.integers(room, (axes,)), size)


class RandomFlip(Transform):
    """Turn an axis over with probability `p`.

    Args:
        axis: of the extents, negative ones count from the last: -1 is left and right (or time), -2 up and
            down, -3 front and back.
        p: the probability.

    Raises:
        ValueError: an axis that the images do not have.

    >>> RandomFlip(-1, p=1.0)(np.array([[1, 2, 3]], np.uint8)).tolist()
    [[3, 2, 1]]
    """

    def __init__(self, axis: int = -1, p: float = 0.5) -> None:
        self.axis = integer("axis", axis)
        self.p = probability(p)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        axes = len(samples.extents)
        if not -axes <= self.axis < axes:
            raise ValueError(f"[{type(self).__name__}] expected an axis of {axes}, got {self.axis}")
        axis = self.axis - axes if self.axis >= 0 else self.axis
        turned = draws.chance(self.p)
        images = _flipped(samples.images, turned, axis)
        masks = None if samples.masks is None else _flipped(samples.masks, turned, axis)
        boxes = samples.boxes
        if boxes is not None:
            pairs = zip(boxes, turned, strict=True)
            boxes = [_turned(b, samples.extents, axis) if turn else b for b, turn in pairs]
        return Samples(images, masks, boxes, samples.labels)


class RandomHorizontalFlip(RandomFlip):
    """Exchange left and right with probability `p`.

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[1, 2]]], np.uint8)).tolist()
    [[[2, 1]]]
    """

    spatial = (2, 3)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(-1, p)


class RandomVerticalFlip(RandomFlip):
    """Exchange up and down with probability `p`.

    >>> RandomVerticalFlip(p=1.0)(np.array([[[1], [2]]], np.uint8)).tolist()
    [[[2], [1]]]
    """

    spatial = (2, 3)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(-2, p)


def cropped(samples: Samples, starts: NDArray[Any], size: Sequence[int]) -> Samples:
    """Parts of the samples. starts: (samples, axes)."""
    images = _windows(samples.images, starts, size)
    masks = None if samples.masks is None else _windows(samples.masks, starts, size)
    boxes = None
    if samples.boxes is not None:
        boxes = map_boxes(samples, lambda i, b: b - np.tile(starts[i][::-1][:2], 2), tuple(size))
    return Samples(images, masks, boxes, samples.labels)


def padded(samples: Samples, sides: Sequence[tuple[int, int]], fill: Any, mode: str) -> Samples:
    """The samples with a border. sides: before and after each axis."""
    if not any(map(any, sides)):
        return samples
    images = samples.images
    colours = fill_colours(fill, images.shape[1], white(images)).astype(images.dtype)
    border = _border(images, [(0, 0), (0, 0), *sides], mode)
    if mode == "constant" and colours.any():
        pairs = zip(sides, samples.extents, strict=True)
        inside: tuple[Any, ...] = (..., *(slice(before, before + n) for (before, _), n in pairs))
        filled = np.empty_like(border)
        filled[:] = colours.reshape(-1, *(1,) * len(sides))
        filled[inside] = images
        border = filled
    masks = None if samples.masks is None else _border(samples.masks, [(0, 0), *sides], mode)
    boxes = samples.boxes
    if boxes is not None:
        shift = np.tile([before for before, _ in sides][::-1][:2], 2)
        boxes = map_boxes(samples, lambda _, b: b + shift, border.shape)
    return Samples(border, masks, boxes, samples.labels)


def _border(array: NDArray[Any], sides: Sequence[tuple[int, int]], mode: str) -> NDArray[Any]:
    return np.asarray(np.pad(array, sides, mode=mode))  # type: ignore[call-overload]


def _sides(padding: Any, axes: int) -> list[tuple[int, int]]:
    values = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * axes
    if not all(map(is_integer, values)):
        raise TypeError(f"expected padding as integers, got {padding!r}")
    numbers = [int(v) for v in values]
    sides_of_images = len(numbers) == 4 and axes == 2
    if min(numbers, default=0) < 0 or (len(numbers) != axes and not sides_of_images):
        raise ValueError(
            "expected padding as an integer, one for each axis, or (left, top, right, bottom) of images, "
            f"none negative, got {padding!r}"
        )
    if not sides_of_images:
        # torchvision's pair is (left and right, top and bottom): from the last axis to the first.
        return [(n, n) for n in reversed(numbers)]
    left, top, right, bottom = numbers
    return [(top, bottom), (left, right)]


def _windows(array: NDArray[Any], starts: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    axes = len(size)
    if (starts == starts[:1]).all():
        pairs = zip(starts[0], size, strict=True)
        inside: tuple[Any, ...] = (..., *(slice(int(start), int(start) + n) for start, n in pairs))
        return np.ascontiguousarray(array[inside])
    views = sliding_window_view(array, tuple(size), axis=tuple(range(-axes, 0)))
    channels = (slice(None),) * (array.ndim - axes - 1)
    places: tuple[Any, ...] = (np.arange(len(array)), *channels, *(starts[:, i] for i in range(axes)))
    return np.asarray(views[places])


def _flipped(array: NDArray[Any], turned: NDArray[np.bool_], axis: int) -> NDArray[Any]:
    if not turned.any():
        return array
    result: NDArray[Any] = array.copy()
    result[turned] = np.flip(array[turned], axis)
    return result


def _turned(boxes: NDArray[np.float32], size: tuple[int, ...], axis: int) -> NDArray[np.float32]:
    low, high = (0, 2) if axis == -1 else (1, 3)
    result: NDArray[np.float32] = boxes.copy()
    result[:, low], result[:, high] = size[axis] - boxes[:, high], size[axis] - boxes[:, low]
    return result
