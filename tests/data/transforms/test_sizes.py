# SPDX-License-Identifier: Apache-2.0
"""Images in another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore.data import resize
from cnncore.data import transforms as t
from cnncore.data.transforms.draws import Draws

RNG = np.random.default_rng(0)


def _cubic(x: Any) -> Any:
    x = np.abs(x)
    return np.where(
        x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    )


def _matrix(old: int, new: int, mode: str, antialias: bool) -> Any:
    """(new, old) weights, in float64."""
    scale = old / new
    centre = (np.arange(new) + 0.5) * scale
    if mode == "nearest":
        return np.eye(old)[np.floor(centre).astype(int)]
    wide = max(scale, 1) if antialias else 1
    distance = (np.arange(old) + 0.5 - centre[:, None]) / wide
    weights = _cubic(distance) if mode == "bicubic" else np.maximum(0, 1 - np.abs(distance))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(4, 5), (13, 9), (30, 40), (1, 1), (10, 100)])
def test_against_float64(size: tuple[int, int], mode: str, antialias: bool) -> None:
    image = RNG.random((2, 13, 17)).astype(np.float32)
    rows, columns = (_matrix(o, n, mode, antialias) for o, n in zip((13, 17), size, strict=True))
    expected = np.einsum("yh,chw,xw->cyx", rows, image, columns)
    done = t.Resize(size, mode, antialias=antialias)(image)
    # Weights, up to 40 products a row and column, and their sums are rounded.
    np.testing.assert_allclose(done, expected, atol=100 * 2.0**-24)
    bytes_ = (image * 255).astype(np.uint8)
    expected = np.einsum("yh,chw,xw->cyx", rows, bytes_, columns).clip(0, 255)
    assert np.abs(t.Resize(size, mode, antialias=antialias)(bytes_) - expected).max() <= 0.501


def test_as_pillow() -> None:
    image_module = pytest.importorskip("PIL.Image")
    image = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    theirs = image_module.fromarray(image).resize((23, 31), image_module.BILINEAR)
    ours = t.Resize((31, 23))(image.transpose(2, 0, 1))
    # Pillow rounds to eight bits between its two passes.
    assert np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(theirs)).max() <= 1


def test_the_shorter_side() -> None:
    wide, high = np.zeros((1, 10, 31), np.uint8), np.zeros((1, 31, 10), np.uint8)
    assert t.Resize(5)(wide).shape == (1, 5, 15)
    assert t.Resize(5)(high).shape == (1, 15, 5)
    assert t.Resize(5, max_size=10)(wide).shape == (1, 3, 10)
    assert t.Resize(20)(wide[0]).shape == (10, 20)


def test_masks_and_boxes_go_along() -> None:
    image = np.zeros((1, 8, 8), np.uint8)
    image[0, 2:4, 4:8] = 1
    done = t.Resize((16, 4), "nearest")(image, mask=image[0].astype(np.int64), boxes=[[4, 2, 8, 4]])
    assert np.array_equal(done["mask"], done["image"][0])
    assert done["boxes"].tolist() == [[2, 4, 4, 8]]


def test_random_parts_in_one_size() -> None:
    ramp = np.broadcast_to(np.arange(100, dtype=np.float32), (1, 80, 100)).copy()
    done = t.RandomResizedCrop((8, 8), scale=(0.25, 0.5), ratio=(1, 1)).batch(
        np.broadcast_to(ramp, (500, 1, 80, 100)), Draws.of(0, 0, range(500))
    )
    steps = np.diff(done.images[:, 0, 0], axis=1)[:, 2:5].mean(1)
    sides = steps * 8  # the width that became eight pixels
    assert np.sqrt(0.25 * 8000) - 1 <= sides.min()
    assert sides.max() <= np.sqrt(0.5 * 8000) + 1
    areas = sides**2 / 8000
    # Uniform from 0.25 to 0.5: the mean of 500 is within five of its standard deviations.
    assert abs(areas.mean() - 0.375) < 5 * 0.25 / np.sqrt(12 * 500)


def test_a_part_that_never_fits_is_the_middle() -> None:
    image = np.arange(400, dtype=np.float32).reshape(1, 2, 200)
    done = t.RandomResizedCrop(2, scale=(1, 1), ratio=(1, 1))(image)
    np.testing.assert_allclose(done, image[:, :, 99:101])


def test_resize_of_data_is_the_same() -> None:
    image = RNG.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    assert np.array_equal(resize(image, (9, 41)), t.Resize((9, 41))(image))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: t.Resize((1, 2), max_size=3), "integer size with max_size"),
        (lambda: t.Resize(4, "lanczos"), "one of nearest, bilinear, bicubic, got 'lanczos'"),
        (lambda: t.Resize(0)(np.zeros((1, 4, 4))), "size of at least 1"),
        (lambda: t.RandomResizedCrop(4, scale=(0.5, 0.2)), r"scale as \(low, high\)"),
        (lambda: t.RandomResizedCrop(4, ratio=(0, 1)), "ratio above 0"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
