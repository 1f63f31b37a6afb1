# SPDX-License-Identifier: Apache-2.0
"""How training images are changed at random."""

from __future__ import annotations

from typing import Any

from ..data import transforms as t
from ..data.transforms.draws import Draws
from ..data.transforms.samples import Samples
from .model_file import Description

AUGMENTATIONS = {
    "none": "nothing",
    "shift": "moved by a few pixels",
    "photo": "parts of half of the area or more, mirrored, of other brightness, contrast and colours",
    "randaugment": "moved, mirrored, and two random changes (RandAugment)",
    "trivial": "moved, mirrored, and one random change (TrivialAugment)",
}
"""What each does to an image."""


def augmentation(name: str, size: tuple[int, int], shift: int = 0) -> list[t.Transform]:
    """Return the transforms of one of `AUGMENTATIONS`.

    Args:
        name: which.
        size: (height, width) of the images.
        shift: pixels by which images are moved; 0 for an eighth of the shorter side.

    >>> [type(each).__name__ for each in augmentation("photo", (64, 64))]
    ['RandomResizedCrop', 'RandomHorizontalFlip', 'ColorJitter']
    """
    if name == "none":
        return []
    if name == "photo":
        part = t.RandomResizedCrop(size, scale=(0.5, 1.0))
        return [part, t.RandomHorizontalFlip(), t.ColorJitter(0.25, 0.25, 0.25)]
    moved = t.RandomCrop(size, padding=shift or max(1, min(size) // 8), padding_mode="edge")
    if name == "shift":
        return [moved]
    changes = {"randaugment": t.RandAugment, "trivial": t.TrivialAugmentWide}
    return [moved, t.RandomHorizontalFlip(), changes[name]()]


class Normalised(t.Transform):
    """What a network takes, as its description says."""

    def __init__(self, description: Description) -> None:
        self.description = description

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        return samples.with_images(self.description.normalise(samples.images))


def training_transform(
    augment: list[t.Transform], mixup: t.Transform | None, description: Description
) -> Any:
    """Return what training images go through, for a DataLoader."""
    changes = [*augment, *([] if mixup is None else [mixup])]
    return t.Compose([*changes, Normalised(description)]) if changes else description.normalise
