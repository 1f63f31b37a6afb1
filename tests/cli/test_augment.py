# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from cnncore.cli.augment import ShiftedImages

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 2, 6, 5)).astype(np.uint8)
LABELS = np.arange(30)


def test_every_image_is_moved_by_whole_pixels() -> None:
    indices = np.array([4, 0, 29, 7, 7])
    x, y = ShiftedImages(IMAGES, LABELS, 2, seed=1).batch(indices)
    assert (x.dtype, x.shape, y.tolist()) == (np.uint8, (5, 2, 6, 5), indices.tolist())
    padded = np.pad(IMAGES, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    for image, index in zip(x, indices, strict=True):
        shifts = [padded[index, :, d : d + 6, r : r + 5] for d in range(5) for r in range(5)]
        assert any(np.array_equal(image, shift) for shift in shifts)


def test_all_directions_occur() -> None:
    same = np.repeat(IMAGES[:1], 400, 0)
    x, _ = ShiftedImages(same, np.zeros(400), 1, seed=0).batch(np.arange(400))
    assert len({image.tobytes() for image in x}) == 9


def test_movements_follow_from_seed_and_samples() -> None:
    first = ShiftedImages(IMAGES, LABELS, 2, seed=1)
    again = ShiftedImages(IMAGES, LABELS, 2, seed=1)
    np.testing.assert_array_equal(first.batch([3, 4, 5])[0], again.batch([3, 4, 5])[0])
    many = np.arange(30)
    assert not np.array_equal(first.batch(many)[0], ShiftedImages(IMAGES, LABELS, 2, seed=2).batch(many)[0])
    assert not np.array_equal(first.batch(many)[0], first.batch(many[::-1])[0][::-1])


def test_without_pixels_nothing_moves() -> None:
    np.testing.assert_array_equal(ShiftedImages(IMAGES, LABELS, 0, seed=1).batch([3, 1])[0], IMAGES[[3, 1]])
