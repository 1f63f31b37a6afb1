# SPDX-License-Identifier: Apache-2.0
"""Detectors: from lists of images of any sizes to lists of boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import nn, ops
from ...graph.trace import is_tracing

Target = Mapping[str, Any]


class Detector(nn.Module):
    """What turns batches of images into losses or detections of fixed numbers, and lists of them into lists.

    Subclasses have `image_mean`, `image_std`, `divisor` (of a batch's height and width) and `new_size`.

    Called with a list of images (channels, height, width) of any sizes, floats of 0 to 1 or uint8, in
    inference mode it returns a dict for each: "boxes" (count, 4) of (x1, y1, x2, y2) in its pixels, "labels"
    (count,) from 1 and "scores" (count,), by falling score. In training mode it takes a list of dicts of
    "boxes" and "labels" beside and returns a dict of losses.

    Called with what `batch` returns, in a training step, for example, it returns the losses; with images and
    sizes alone detections of a fixed number: label 0 where there are fewer.
    """

    image_mean: Sequence[float]
    image_std: Sequence[float]
    divisor = 1

    def new_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size that an image is resized to."""
        raise NotImplementedError

    def batch(
        self, images: Sequence[Any], targets: Sequence[Target] | None = None
    ) -> tuple[NDArray[Any], ...]:
        """Return images of any sizes as arrays of a batch.

        Args:
            images: arrays (channels, height, width), floats of 0 to 1 or uint8.
            targets: for each, "boxes" (count, 4) in its pixels and "labels" (count,) from 1.

        Returns:
            Images (batch, channels, height, width), their sizes (batch, 2) in them, and with targets boxes
            (batch, most, 4) and labels (batch, most), 0 where there are fewer.

        Raises:
            ValueError: no images, or targets that do not fit them.
        """
        if len(images) == 0 or any(np.ndim(image) != 3 or 0 in np.shape(image) for image in images):
            shapes = [np.shape(image) for image in images]
            raise ValueError(f"expected images (channels, height, width), got shapes {shapes}")
        resized = [self._resized(np.asarray(image)) for image in images]
        sizes = np.array([image.shape[1:] for image in resized])
        height, width = (-(-int(extent) // self.divisor) * self.divisor for extent in sizes.max(0))
        fill = np.array(self.image_mean, np.float32).reshape(-1, 1, 1)
        wide = np.empty((len(images), len(fill), height, width), np.float32)
        wide[:] = fill
        for target, image in zip(wide, resized, strict=True):
            target[:, : image.shape[1], : image.shape[2]] = image
        if targets is None:
            return wide, sizes.astype(np.float32)
        return wide, sizes.astype(np.float32), *self._padded(images, sizes, targets)

    def _resized(self, image: NDArray[Any]) -> NDArray[Any]:
        if image.shape[0] != len(self.image_mean):
            raise ValueError(f"expected images of {len(self.image_mean)} channels, got shape {image.shape}")
        values = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
        size = self.new_size(*image.shape[1:])
        if size == image.shape[1:]:
            return values
        resized: NDArray[Any] = np.asarray(ops.interpolate(values[None], size=size, mode="bilinear"))[0]
        return resized

    @staticmethod
    def _padded(
        images: Sequence[Any], sizes: NDArray[Any], targets: Sequence[Target]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if len(targets) != len(images):
            raise ValueError(f"expected targets of {len(images)} images, got {len(targets)}")
        for number, target in enumerate(targets):
            if not isinstance(target, Mapping) or not {"boxes", "labels"} <= set(target):
                got = sorted(map(str, target)) if isinstance(target, Mapping) else type(target).__name__
                raise ValueError(f"expected a dict of boxes and labels for image {number}, got {got}")
        counts = [np.size(target["labels"]) for target in targets]
        # Programs are compiled for sizes: those of powers of two serve all numbers of objects.
        most = 1 << (max(*counts, 1) - 1).bit_length()
        boxes, labels = np.zeros((len(images), most, 4), np.float32), np.zeros((len(images), most), np.int64)
        for number, (image, size, target) in enumerate(zip(images, sizes, targets, strict=True)):
            own, names = np.asarray(target["boxes"], np.float32).reshape(-1, 4), np.asarray(target["labels"])
            if names.shape != (len(own),) or (names.size and names.dtype.kind not in "iu"):
                raise ValueError(
                    f"expected an integer label for each of {len(own)} boxes of image {number}, "
                    f"got {names.dtype} of shape {names.shape}"
                )
            if (names < 1).any():
                raise ValueError(
                    f"expected labels from 1 (0 is the background), got {names.min()} of image {number}"
                )
            right = np.isfinite(own).all(1) & (own[:, 2:] > own[:, :2]).all(1)  # also false for NaN
            if not right.all():
                raise ValueError(
                    "expected boxes (x1, y1, x2, y2) with positive width and height, "
                    f"got {own[~right][0].tolist()} of image {number}"
                )
            height, width = np.array(size) / np.shape(image)[1:]
            boxes[number, : len(own)] = own * np.array([width, height, width, height], np.float32)
            labels[number, : len(own)] = names
        return boxes, labels

    def normalised(self, images: Any) -> Any:
        """Return images with the mean and deviation that the backbone was trained with."""
        mean, std = (
            np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.image_mean, self.image_std)
        )
        return (images - mean) / std

    def __call__(self, images: Any, *others: Any, **named: Any) -> Any:
        if is_tracing() or not isinstance(images, list | tuple):
            return super().__call__(images, *others, **named)
        if self.training:
            targets = others[0] if others else named.get("targets")
            if targets is None:
                raise ValueError(
                    "expected targets in training mode: a dict of boxes and labels for each image"
                )
            return super().__call__(*self.batch(images, targets))
        wide, sizes = self.batch(images)
        found = super().__call__(wide, sizes)
        results = []
        for number, image in enumerate(images):
            real = found["labels"][number] > 0
            height, width = np.array(np.shape(image)[1:]) / sizes[number]
            scale = np.array([width, height, width, height], np.float32)
            result = {name: values[number][real] for name, values in found.items()}
            results.append({**result, "boxes": result["boxes"] * scale})
        return results
