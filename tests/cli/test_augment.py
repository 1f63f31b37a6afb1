# SPDX-License-Identifier: Apache-2.0
"""How `cnncore train` changes training images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cnncore import data
from cnncore.cli.augment import AUGMENTATIONS, augmentation, training_transform
from cnncore.cli.datasets import Part
from cnncore.cli.model_file import Description

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 3, 12, 10)).astype(np.uint8)
DESCRIPTION = Description("resnet20", ("a", "b"), (3, 12, 10), (0.5,) * 3, (0.25,) * 3, "", 0.0)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_keeps_the_form_and_follows_from_the_seed(name: str, channels: int) -> None:
    images, labels = IMAGES[:, :channels], np.arange(30) % 2
    description = replace(
        DESCRIPTION, image=(channels, 12, 10), mean=(0.5,) * channels, std=(0.25,) * channels
    )
    transform = training_transform(augmentation(name, (12, 10)), None, description)

    def batches(seed: int) -> list[np.ndarray]:
        samples = Part(data.Dataset(images, labels), labels)
        return [x for x, _ in data.DataLoader(samples, 10, seed=seed, transform=transform)]

    first, again, other = batches(1), batches(1), batches(2)
    assert all(x.shape == (10, channels, 12, 10) and x.dtype == np.float32 for x in first)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    plain = description.normalise(images).reshape(3, 10, channels, 12, 10)
    same = all((a == b).all() for a, b in zip(first, plain, strict=True))
    assert same == (name == "none")
    assert (name == "none") == all((a == b).all() for a, b in zip(first, other, strict=True))


def test_shifts_are_by_whole_pixels_to_all_sides() -> None:
    (crop,) = augmentation("shift", (12, 10), shift=2)
    same = np.repeat(IMAGES[:1], 400, 0)
    samples = Part(data.Dataset(same), np.zeros(400, np.int64))
    ((found, _),) = data.DataLoader(samples, 400, transform=crop)
    padded = np.pad(IMAGES[0], ((0, 0), (2, 2), (2, 2)), mode="edge")
    shifts = {padded[:, d : d + 12, r : r + 10].tobytes() for d in range(5) for r in range(5)}
    assert {image.tobytes() for image in found} == shifts


def test_parts_of_samples() -> None:
    labels = np.arange(30) % 3
    whole = Part(data.Dataset(IMAGES, labels), labels)
    part = whole.take(labels > 0).take(np.arange(20) % 4 == 0)
    numbers = np.flatnonzero(labels > 0)[::4]
    assert (part.labels == labels[numbers]).all()
    x, y = part.batch(np.array([2, 0]))
    assert (x == IMAGES[numbers[[2, 0]]]).all()
    assert (y == labels[numbers[[2, 0]]]).all()
    image, label = part[1]
    assert (image == IMAGES[numbers[1]]).all()
    assert label == labels[numbers[1]]
