# SPDX-License-Identifier: Apache-2.0
"""Colours: each function against float64, Python's colorsys, and Pillow where it is installed."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

from cnncore.data import transforms as t
from cnncore.data.transforms import colours
from cnncore.data.transforms.draws import Draws

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 3, 8, 9), dtype=np.uint8)
FLOATS = RNG.random((4, 3, 8, 9)).astype(np.float32)
LUMA = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)
FACTORS = np.array([0.0, 0.5, 1.0, 1.7])


def _brightness(x: Any, f: float) -> Any:
    return f * x


def _contrast(x: Any, f: float) -> Any:
    return f * x + (1 - f) * (x * LUMA).sum(0).mean()


def _saturation(x: Any, f: float) -> Any:
    return f * x + (1 - f) * (x * LUMA).sum(0)


def _sharpness(x: Any, f: float) -> Any:
    smooth = x.copy()
    parts = [
        x[:, 1 + i : x.shape[1] - 1 + i, 1 + j : x.shape[2] - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    smooth[:, 1:-1, 1:-1] = (sum(parts) + 4 * parts[4]) / 13
    return f * x + (1 - f) * smooth


@pytest.mark.parametrize(
    ("adjust", "reference"),
    [
        (colours.adjust_brightness, _brightness),
        (colours.adjust_contrast, _contrast),
        (colours.adjust_saturation, _saturation),
        (colours.adjust_sharpness, _sharpness),
    ],
)
def test_factors_against_float64(adjust: Any, reference: Any) -> None:
    for images, white in ((BYTES, 255), (FLOATS, 1)):
        done = adjust(images, FACTORS)
        assert done.dtype == images.dtype
        for image, factor, result in zip(images, FACTORS, done, strict=True):
            expected = reference(image.astype(np.float64), factor).clip(0, white)
            # Bytes are rounded; floats go through a dozen roundings of numbers up to 4.
            assert np.abs(result - expected).max() <= (0.501 if white == 255 else 48 * 2.0**-24)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_bytes_become_what_each_value_gives(channels: int) -> None:
    """Functions of single values go through tables, halves up whatever the channels."""
    images = RNG.integers(0, 256, (2, channels, 16, 32), dtype=np.uint8)
    halves = colours.adjust_brightness(images, 0.5)
    np.testing.assert_array_equal(halves, images // 2 + images % 2)
    np.testing.assert_array_equal(colours.invert(images), 255 - images)
    np.testing.assert_array_equal(
        colours.posterize(images, [3, 8]), images & np.array([[[[224]]], [[[255]]]])
    )
    limits = np.array([100, 256])
    turned = np.where(images >= limits.reshape(2, 1, 1, 1), 255 - images, images)
    np.testing.assert_array_equal(colours.solarize(images, limits), turned)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.1, 0.5])
def test_hue_against_colorsys(shift: float) -> None:
    done = colours.adjust_hue(FLOATS, shift)
    for before, after in zip(
        FLOATS.transpose(0, 2, 3, 1).reshape(-1, 3), done.transpose(0, 2, 3, 1).reshape(-1, 3), strict=True
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*before.tolist())
        expected = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        np.testing.assert_allclose(after, expected, atol=2e-6)


def test_grey_images_have_no_hue_and_saturation() -> None:
    one, three = BYTES[:, :1], np.repeat(BYTES[:, :1], 3, 1)
    assert np.array_equal(colours.adjust_hue(one, 0.3), one)
    assert np.array_equal(colours.adjust_saturation(one, 3.0), one)
    assert np.array_equal(colours.adjust_hue(three, 0.3), three)
    with pytest.raises(ValueError, match="1 or 3 channels to change hue, got 2"):
        colours.adjust_hue(BYTES[:, :2], 0.3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colours.equalize, lambda o, im: o.equalize(im)),
        (lambda x: colours.posterize(x, 3), lambda o, im: o.posterize(im, 3)),
        (lambda x: colours.solarize(x, 100), lambda o, im: o.solarize(im, 100)),
        (colours.invert, lambda o, im: o.invert(im)),
    ],
)
def test_as_pillow(ours: Any, theirs: Any) -> None:
    image_module, image_ops = (pytest.importorskip(f"PIL.{name}") for name in ("Image", "ImageOps"))
    skewed = (RNG.random((3, 40, 50)) ** 3 * 200).astype(np.uint8)
    for image in (BYTES[0], skewed, np.full((3, 4, 4), 7, np.uint8)):
        expected = np.asarray(theirs(image_ops, image_module.fromarray(image.transpose(1, 2, 0))))
        assert np.array_equal(ours(image[None])[0].transpose(1, 2, 0), expected)


def test_equalize_spreads() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(colours.equalize(ramp), ramp)
    dark = np.repeat(ramp // 4, 64, -1)
    spread = colours.equalize(dark)
    assert spread.max() >= 250
    assert (np.diff(spread[0, 0].ravel().astype(int)) >= 0).all()


def test_autocontrast() -> None:
    image = np.array([[[10, 20, 30]], [[5, 5, 5]]], np.uint8)
    assert colours.autocontrast(image[None])[0].tolist() == [[[0, 128, 255]], [[5, 5, 5]]]
    np.testing.assert_allclose(colours.autocontrast(FLOATS).min((2, 3)), 0)
    np.testing.assert_allclose(colours.autocontrast(FLOATS).max((2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.5), (5, 1.0), (23, 4.0)])
def test_blur_against_float64(size: int, sigma: float) -> None:
    done = colours.gaussian_blur(FLOATS, sigma, size)
    kernel = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    kernel /= kernel.sum()
    half = size // 2
    wide = np.pad(FLOATS.astype(np.float64), ((0, 0), (0, 0), (half, half), (half, half)), mode="reflect")
    rows = sum(kernel[i] * wide[:, :, i : i + 8] for i in range(size))
    expected = sum(kernel[i] * rows[..., i : i + 9] for i in range(size))
    np.testing.assert_allclose(done, expected, atol=2 * size * 2.0**-24)


def test_jitter_draws_within_its_limits() -> None:
    grey = np.full((2000, 1, 1, 1), 0.4, np.float32)
    done = t.ColorJitter(brightness=0.5).batch(grey, Draws.of(0, 0, range(2000))).images.ravel() / 0.4
    assert 0.5 - 1e-6 <= done.min() < 0.52
    assert 1.48 < done.max() <= 1.5 + 1e-6
    assert np.array_equal(t.ColorJitter()(FLOATS[0]), FLOATS[0])


def test_the_order_of_jitters_differs() -> None:
    image = np.zeros((64, 3, 4, 4), np.float32)
    image[:, 0] = 0.6
    image[:, 1, 0] = 0.9
    done = t.ColorJitter(brightness=(1.5, 1.5), contrast=(0.5, 0.5)).batch(image, Draws.of(0, 0, range(64)))
    # Brightness cuts at 1: before or after contrast is not the same.
    assert len(np.unique(done.images.reshape(64, -1), axis=0)) == 2


def test_noise() -> None:
    noisy = t.GaussianNoise(sigma=0.1, clip=False)(np.full((3, 100, 100), 0.5, np.float32))
    # 30,000 numbers: five standard deviations of their mean, and of their deviation.
    assert abs(noisy.mean() - 0.5) < 5 * 0.1 / np.sqrt(30000)
    assert abs(noisy.std() - 0.1) < 5 * 0.1 / np.sqrt(60000)
    assert np.abs(noisy - 0.5).max() > 0.3
    assert t.GaussianNoise()(np.zeros((1, 8, 8), np.uint8)).dtype == np.uint8


@pytest.mark.parametrize("policy", [t.RandAugment(), t.TrivialAugmentWide(), t.AutoAugment("cifar10")])
def test_policies_give_a_sample_the_same_alone_and_in_a_batch(policy: Any) -> None:
    images = RNG.integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    done = policy.batch(images, Draws.of(3, 1, range(40))).images
    alone = [policy.batch(images[i : i + 1], Draws.of(3, 1, [i])).images[0] for i in range(40)]
    assert np.array_equal(done, np.stack(alone))
    assert sum(not np.array_equal(a, b) for a, b in zip(done, images, strict=True)) > 25


def test_policies_move_masks() -> None:
    image = np.zeros((3, 32, 32), np.uint8)
    image[:, 8:20, 10:24] = 255
    for seed in range(20):
        done = t.RandAugment(1, 30)(image, mask=(image[0] > 0).astype(int), seed=seed)
        moved = done["mask"] > 0
        inside = done["image"][0] != done["image"][0, 0, 0]
        assert np.array_equal(inside, moved) or not inside.any() or moved.sum() == (image[0] > 0).sum()


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_policies_of_auto_augment_have_25_pairs(policy: str) -> None:
    from cnncore.data.transforms import policies

    table = policies._POLICIES[policy]
    assert len(table) == 25
    assert all(change.name in policies._NARROW for pair in table for change in pair)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: t.ColorJitter(hue=0.6), "hue within -0.5 to 0.5"),
        (lambda: t.ColorJitter(brightness=-1), "brightness to be a finite number of at least 0"),
        (lambda: t.GaussianBlur(4), "kernel_size to be an odd integer"),
        (lambda: t.GaussianBlur(3, 0), "sigma above 0"),
        (lambda: t.RandomPosterize(9), "bits from 0 to 8"),
        (lambda: t.RandomSolarize(np.nan), "threshold to be a finite number"),
        (lambda: t.RandAugment(magnitude=31), "magnitude below 31"),
        (lambda: t.AutoAugment("mnist"), "one of imagenet, cifar10, svhn"),
        (lambda: t.RandomInvert(p=1.5), "probability from 0 to 1"),
        (lambda: t.Grayscale(2), "1 or 3 channels"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
