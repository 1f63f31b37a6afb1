# SPDX-License-Identifier: Apache-2.0
"""A batch on its way through transforms: images, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[Any]
"""(samples, channels, *extents): uint8 from 0 to 255, or floats from 0 to 1."""


@dataclass(frozen=True)
class Samples:
    """Samples of equal extents.

    Attributes:
        images: (samples, channels, *extents).
        masks: (samples, *extents) or None: numbers that are moved as the pixels are, never mixed.
        boxes: for each sample (boxes, 4 or more): left, top, right, bottom in pixels, and what else belongs
            to a box, such as its class; or None.
        labels: (samples, ...) or None.
    """

    images: Images
    masks: NDArray[Any] | None = None
    boxes: list[NDArray[np.float32]] | None = None
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def extents(self) -> tuple[int, ...]:
        return self.images.shape[2:]

    def take(self, chosen: Any) -> Samples:
        """Some of the samples."""
        return Samples(
            self.images[chosen],
            None if self.masks is None else self.masks[chosen],
            None if self.boxes is None else [self.boxes[int(i)] for i in chosen],
            None if self.labels is None else self.labels[chosen],
        )

    def copy(self) -> Samples:
        """Samples with memory of their own."""
        return Samples(
            self.images.copy(),
            None if self.masks is None else self.masks.copy(),
            None if self.boxes is None else list(self.boxes),
            None if self.labels is None else self.labels.copy(),
        )

    def put(self, chosen: Any, changed: Samples) -> None:
        """Write others of the same extents and type over some of these samples."""
        self.images[chosen] = changed.images
        if self.masks is not None:
            self.masks[chosen] = changed.masks
        if self.boxes is not None and changed.boxes is not None:
            for place, new in zip(chosen, changed.boxes, strict=True):
                self.boxes[int(place)] = new
        if self.labels is not None:
            self.labels[chosen] = changed.labels

    def with_images(self, images: Images) -> Samples:
        """These samples with other pixels at the same places."""
        return replace(self, images=images)


def map_boxes(
    samples: Samples, move: Callable[[int, NDArray[np.float32]], NDArray[Any]], extents: tuple[int, ...]
) -> list[NDArray[np.float32]] | None:
    """Move each sample's boxes; they are cut at the border, and those that leave the image keep no area.

    Args:
        move: takes the sample's number and its boxes (boxes, 4), and returns them moved.
        extents: (height, width) of the new images.
    """
    if samples.boxes is None:
        return None
    height, width = extents[-2:]
    result = []
    for i, boxes in enumerate(samples.boxes):
        moved = boxes.copy()
        if len(boxes):
            moved[:, :4] = move(i, boxes[:, :4])
        result.append(cut_boxes(moved, (0, 0, width, height)))
    return result


def cut_boxes(boxes: NDArray[np.float32], region: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """The parts of boxes inside of a region (left, top, right, bottom)."""
    left, top, right, bottom = region
    cut: NDArray[np.float32] = boxes.copy()
    cut[:, :4] = boxes[:, :4].clip([left, top, left, top], [right, bottom, right, bottom])
    return cut


def white(images: Images) -> float:
    """The colour of full brightness."""
    return 255.0 if images.dtype == np.uint8 else 1.0


def to_colours(values: NDArray[Any], images: Images) -> Images:
    """Computed values as colours of the images' type: rounded for uint8, cut to the range."""
    if images.dtype == np.uint8:
        return np.asarray(np.rint(values).clip(0, 255), np.uint8)
    return values.clip(0, 1).astype(np.float32)
