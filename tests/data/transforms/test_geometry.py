# SPDX-License-Identifier: Apache-2.0
"""Where pixels, masks and boxes go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import _core
from cnncore.data import transforms as t
from cnncore.data.transforms.draws import Draws

IMAGE = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7)
MASK = np.arange(35).reshape(5, 7)
BOX = np.array([[1.0, 2.0, 4.0, 3.0, 9.0]])
"""Left, top, right, bottom, and a class."""


def test_crops_move_image_mask_and_boxes_alike() -> None:
    done = t.CenterCrop((3, 5))(IMAGE, mask=MASK, boxes=BOX)
    assert np.array_equal(done["image"], IMAGE[:, 1:4, 1:6])
    assert np.array_equal(done["mask"], MASK[1:4, 1:6])
    assert done["boxes"].tolist() == [[0, 1, 3, 2, 9]]


def test_a_crop_larger_than_the_image_adds_a_border() -> None:
    done = t.CenterCrop(9)(IMAGE)
    assert np.array_equal(done[:, 2:7, 1:8], IMAGE)
    assert int(done.sum()) == int(IMAGE.sum())


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(mode: str) -> None:
    done = t.Pad((1, 2, 3, 4), padding_mode=mode)(IMAGE, boxes=BOX)
    assert np.array_equal(done["image"], np.pad(IMAGE, ((0, 0), (2, 4), (1, 3)), mode=mode))  # type: ignore[call-overload]
    assert done["boxes"].tolist() == [[2, 4, 5, 5, 9]]


def test_pad_with_a_colour() -> None:
    done = t.Pad(1, fill=(1, 2, 3))(np.zeros((3, 1, 1), np.uint8))
    assert done[:, 0, 0].tolist() == [1, 2, 3]
    assert done[:, 1, 1].tolist() == [0, 0, 0]


def test_random_crops_show_every_place_equally_often() -> None:
    samples = np.broadcast_to(np.arange(16, dtype=np.uint8).reshape(1, 4, 4), (4000, 1, 4, 4))
    done = t.RandomCrop(2).batch(samples, Draws.of(0, 0, range(4000))).images
    corners, counts = np.unique(done[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    # 4000 / 9 with a standard deviation of 20: five of them.
    assert np.abs(counts - 4000 / 9).max() < 100
    assert np.array_equal(done[:, 0, 0, 1] - done[:, 0, 0, 0], np.ones(4000))


def test_images_too_small_for_a_crop() -> None:
    with pytest.raises(ValueError, match=r"at least \(9, 9\), got \(5, 7\); pad_if_needed=True"):
        t.RandomCrop(9)(IMAGE)
    assert t.RandomCrop(9, pad_if_needed=True)(IMAGE).shape == (3, 9, 9)


@pytest.mark.parametrize(
    ("flip", "image", "box"),
    [
        (t.RandomHorizontalFlip(1.0), IMAGE[:, :, ::-1], [3, 2, 6, 3, 9]),
        (t.RandomVerticalFlip(1.0), IMAGE[:, ::-1], [1, 2, 4, 3, 9]),
    ],
)
def test_flips(flip: Any, image: Any, box: Any) -> None:
    done = flip(IMAGE, mask=MASK, boxes=BOX)
    assert np.array_equal(done["image"], image)
    assert np.array_equal(done["mask"], MASK[:, ::-1] if box[0] == 3 else MASK[::-1])
    assert done["boxes"].tolist() == [box]


def test_quarter_turns_are_exact() -> None:
    square = IMAGE[:, :, :5]
    for turns in range(4):
        done = t.RandomRotation((90 * turns, 90 * turns))(square, mask=MASK[:, :5])
        assert np.array_equal(done["image"], np.rot90(square, turns, (1, 2)))
        assert np.array_equal(done["mask"], np.rot90(MASK[:, :5], turns))
    assert np.array_equal(t.RandomRotation((90, 90), expand=True)(IMAGE), np.rot90(IMAGE, 1, (1, 2)))


def test_turned_boxes_surround_what_they_did() -> None:
    image = np.zeros((1, 40, 60), np.uint8)
    image[0, 12:17, 22:31] = 255
    box = np.array([[22, 12, 31, 17]])
    for angle in (10, 45, -70):
        done = t.RandomRotation((angle, angle), "bilinear")(image, boxes=box)
        rows, columns = np.nonzero(done["image"][0] > 127)
        left, top, right, bottom = done["boxes"][0]
        assert left <= columns.min() + 0.5
        assert columns.max() + 0.5 <= right
        assert top <= rows.min() + 0.5
        assert rows.max() + 0.5 <= bottom


def _shifted(image: Any, down: int, right: int) -> Any:
    border = ((0, 0), (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)))
    padded = np.pad(image, border)
    top, left = max(-down, 0), max(-right, 0)
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def test_whole_shifts_and_shears() -> None:
    done = t.RandomAffine(0, translate=(1, 1)).batch(IMAGE[None].repeat(50, 0), Draws.of(0, 0, range(50)))
    shifts = set()
    for image in done.images:
        for down in range(-5, 6):
            for right in range(-7, 8):
                if np.array_equal(image, _shifted(IMAGE, down, right)):
                    shifts.add((down, right))
    # Whole pixels, drawn from -5 to 5 and -7 to 7: 50 draws of 165 find some 43 of them.
    assert len(shifts) > 25
    sheared = t.RandomAffine(0, shear=(45, 45))(np.eye(5, dtype=np.uint8)[None])
    assert sheared[0].sum(0).max() >= 3


def _bilinear(image: Any, rows: Any, columns: Any) -> Any:
    """Float64, zeros outside."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    y, x = np.clip(rows + 1, 0, image.shape[1] + 1), np.clip(columns + 1, 0, image.shape[2] + 1)
    top, left = (
        np.minimum(np.floor(y), image.shape[1]).astype(int),
        np.minimum(np.floor(x), image.shape[2]).astype(int),
    )
    down, right = y - top, x - left
    return (
        padded[:, top, left] * (1 - down) * (1 - right)
        + padded[:, top, left + 1] * (1 - down) * right
        + padded[:, top + 1, left] * down * (1 - right)
        + padded[:, top + 1, left + 1] * down * right
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_warps_against_float64(dtype: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((3, 2, 9, 11)).astype(np.float32)
    if dtype == "uint8":
        images = (images * 255).astype(np.uint8)
    matrices = np.eye(3) + rng.normal(size=(3, 3, 3)) * [[0.2, 0.2, 2], [0.2, 0.2, 2], [0.01, 0.01, 0]]
    done = _core.warp_images(images, matrices, 8, 10, "bilinear", np.zeros(2, np.float32))
    rows, columns = np.mgrid[:8, :10].astype(np.float64)
    for image, matrix, result in zip(images, matrices, done, strict=True):
        x, y, w = (matrix[i, 0] * columns + matrix[i, 1] * rows + matrix[i, 2] for i in range(3))
        expected = _bilinear(image, y / w, x / w)
        if dtype == "uint8":
            assert np.abs(result - expected).max() <= 0.5 + 1e-4
        else:
            np.testing.assert_allclose(result, expected, atol=8 * 2.0**-24)


@pytest.mark.parametrize("projective", [0.0, 0.01])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nearest_pixels(dtype: Any, projective: float) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (3, 2, 9, 11)).astype(dtype)
    spread = np.array([[0.2, 0.2, 2], [0.2, 0.2, 2], [projective, projective, 0]])
    matrices = np.eye(3) + rng.normal(size=(3, 3, 3)) * spread
    done = _core.warp_images(images, matrices, 8, 10, "nearest", np.array([5, 6], np.float32))
    rows, columns = np.mgrid[:8, :10].astype(np.float64)
    for image, matrix, result in zip(images, matrices, done, strict=True):
        x, y, w = (matrix[i, 0] * columns + matrix[i, 1] * rows + matrix[i, 2] for i in range(3))
        i, j = np.floor(y / w + 0.5).astype(int), np.floor(x / w + 0.5).astype(int)
        inside = (i >= 0) & (i < 9) & (j >= 0) & (j < 11)
        assert inside.any()
        assert not inside.all()
        expected = np.where(inside, image[:, i.clip(0, 8), j.clip(0, 10)], np.array([5, 6]).reshape(2, 1, 1))
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_places_that_are_no_places_have_the_fill(value: float) -> None:
    matrix = np.eye(3)
    matrix[0, 2] = value
    done = _core.warp_images(IMAGE[None], matrix[None], 2, 2, "bilinear", np.full(3, 7, np.float32))
    assert (done == 7).all()
    places = np.full((1, 2, 2, 2), np.clip(value, -3e38, 3e38) if np.isfinite(value) else value, np.float32)
    for mode in ("nearest", "bilinear"):
        assert (_core.remap_images(IMAGE[None], places, mode, np.full(3, 7, np.float32)) == 7).all()


def test_perspective_keeps_lines_straight_and_corners_inside() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32) / 63, (1, 64, 64)).copy()
    done = t.RandomPerspective(0.4, p=1.0, fill=1.0)(
        np.ones((1, 64, 64), np.float32), boxes=[[10, 10, 50, 50]]
    )
    np.testing.assert_allclose(done["image"], 1, atol=1e-6)
    left, top, right, bottom = done["boxes"][0]
    assert 0 <= left < right <= 64
    assert 0 <= top < bottom <= 64
    assert not np.array_equal(t.RandomPerspective(0.4, p=1.0)(ramp), ramp)
    assert np.array_equal(t.RandomPerspective(0.4, p=0.0)(ramp), ramp)
    assert np.allclose(t.RandomPerspective(0.0, p=1.0)(ramp), ramp, atol=1e-6)


def test_elastic_moves_masks_with_the_image() -> None:
    halves = np.zeros((1, 64, 64), np.uint8)
    halves[:, :, 32:] = 200
    done = t.ElasticTransform(alpha=100, sigma=4, interpolation="nearest")(
        halves, mask=(halves[0] > 0).astype(int)
    )
    assert np.array_equal(done["image"][0] > 0, done["mask"] > 0)
    assert not np.array_equal(done["image"], halves)
    assert np.array_equal(t.ElasticTransform(alpha=0)(halves), halves)
    with pytest.raises(ValueError, match="a bent box is none"):
        t.ElasticTransform()(halves, boxes=BOX)


def test_volumes_turn_slice_by_slice() -> None:
    volume = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    done = t.RandomRotation((90, 90))(volume, mask=volume[0].astype(int))
    assert np.array_equal(done["image"], np.rot90(volume, 1, (2, 3)))
    assert np.array_equal(done["mask"], np.rot90(volume[0], 1, (1, 2)))


def test_signals_and_volumes_are_cropped_and_flipped() -> None:
    signal, volume = np.arange(10, dtype=np.float32)[None], np.arange(64, dtype=np.uint8).reshape(1, 4, 4, 4)
    assert t.CenterCrop(4)(signal).tolist() == [[3, 4, 5, 6]]
    assert t.RandomFlip(-1, 1.0)(signal).tolist() == [list(range(9, -1, -1))]
    assert np.array_equal(t.CenterCrop((2, 4, 2))(volume), volume[:, 1:3, :, 1:3])
    assert np.array_equal(t.RandomFlip(-3, 1.0)(volume), volume[:, ::-1])
    assert t.RandomCrop(2)(volume).shape == (1, 2, 2, 2)
    with pytest.raises(ValueError, match=r"RandomHorizontalFlip.*2 or 3 axes.*got shape"):
        t.RandomHorizontalFlip()(signal)
