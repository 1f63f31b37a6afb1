# SPDX-License-Identifier: Apache-2.0
"""Transforms of whole batches: random numbers, mixing, and data loaders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import data
from cnncore.data import transforms as t
from cnncore.data.transforms.draws import Draws

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 3, 16, 16), dtype=np.uint8)
LABELS = np.arange(30) % 5
CHAIN = t.Compose(
    [
        t.RandomCrop(16, padding=2),
        t.RandomHorizontalFlip(),
        t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.7),
        t.RandomChoice([t.GaussianBlur(3), t.RandomRotation(20), t.RandomErasing(p=1.0)]),
        t.RandomOrder([t.RandomInvert(0.3), t.RandomSolarize(100)]),
        t.ToFloat(),
        t.Normalize(0.5, 0.25),
    ]
)


def test_numbers_of_a_sample_do_not_depend_on_the_others() -> None:
    together, alone = Draws.of(1, 2, [4, 9, 7]), Draws.of(1, 2, [9])
    for shape in ((), (3,), (2, 2)):
        assert np.array_equal(together.words(shape)[1], alone.words(shape)[0])
    assert np.array_equal(together.fork(3).words()[1], alone.fork(3).words()[0])
    assert together.fork(3).words()[1] != together.fork(4).words()[1]
    assert Draws.of(1, 3, [9]).words()[0] != Draws.of(1, 2, [9]).words()[0]


def test_numbers_are_uniform_and_independent() -> None:
    draws = Draws.of(0, 0, range(50000))
    first, second = draws.uniform(0, 1), draws.uniform(0, 1)
    for values in (first, second):
        counts = np.histogram(values, 20, (0, 1))[0]
        # Chi squared with 19 degrees of freedom: 60 has a probability of 4e-6.
        assert ((counts - 2500) ** 2 / 2500).sum() < 60
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(50000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 5 / np.sqrt(50000)
    noise = draws.noise((3,))
    assert abs(noise.mean()) < 5 / np.sqrt(150000)
    assert abs(noise.std() - 1) < 5 / np.sqrt(300000)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_loader_gives_the_same_whatever_the_workers(workers: int) -> None:
    def epochs(count: int) -> list[Any]:
        loader = data.DataLoader((IMAGES, LABELS), 7, shuffle=True, seed=5, transform=CHAIN, workers=count)
        return [batch for _ in range(2) for batch in loader]

    for (x, y), (other_x, other_y) in zip(epochs(workers), epochs(0), strict=True):
        assert np.array_equal(x, other_x)
        assert np.array_equal(y, other_y)


def test_a_sample_is_the_same_in_any_batch_of_an_epoch_and_another_in_the_next() -> None:
    small = data.DataLoader((IMAGES, LABELS), 1, seed=5, transform=CHAIN)
    large = data.DataLoader((IMAGES, LABELS), 30, seed=5, transform=CHAIN)
    singles = np.concatenate([x for x, _ in small])
    (batch,) = [x for x, _ in large]
    assert np.array_equal(singles, batch)
    (again,) = [x for x, _ in large]
    assert not np.array_equal(batch, again)


class _Photos(data.Dataset):
    """Images of several sizes, with masks and boxes."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        image = np.full((3, 20 + index, 30 - index), index, np.uint8)
        return image, image[0].astype(np.int64), np.array([[1.0, 2, 10, 12]]), index


def test_images_of_several_sizes_with_masks_and_boxes() -> None:
    loader = data.DataLoader(
        _Photos(),
        6,
        transform=t.Compose([t.Resize((10, 15)), t.RandomHorizontalFlip(1.0)]),
        targets=("image", "mask", "boxes", "label"),
    )
    ((x, mask, boxes, y),) = list(loader)
    assert x.shape == (6, 3, 10, 15)
    assert np.array_equal(x[:, 0], mask)
    assert [len(b) for b in boxes] == [1] * 6
    np.testing.assert_allclose(boxes[0], [[15 - 5, 1, 15 - 0.5, 6]])
    assert y.tolist() == list(range(6))
    with pytest.raises(ValueError, match=r"images of one shape in the end.*Resize\(\(height, width\)\)"):
        list(data.DataLoader(_Photos(), 6, transform=t.ToFloat(), targets=("image",)))


def test_functions_still_take_the_first_array() -> None:
    loader = data.DataLoader((IMAGES, LABELS), 30, transform=lambda x: x[:, :1])
    ((x, y),) = list(loader)
    assert x.shape == (30, 1, 16, 16)
    assert np.array_equal(y, LABELS)


@pytest.mark.parametrize("targets", [("picture",), ("mask",), ("image", "image")])
def test_wrong_targets(targets: Any) -> None:
    with pytest.raises(ValueError, match="targets"):
        data.DataLoader((IMAGES, LABELS), targets=targets)


@pytest.mark.parametrize("mixing", [t.Mixup, t.CutMix])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_labels_are_mixed_as_pixels_are(mixing: Any, alpha: float) -> None:
    classes = 5
    images = np.eye(classes, dtype=np.float32)[LABELS][:, :, None, None] * np.ones((1, 1, 16, 16), np.float32)
    done = mixing(num_classes=classes, alpha=alpha).batch(images, Draws.of(0, 0, range(30)), labels=LABELS)
    np.testing.assert_allclose(done.images.mean((2, 3)), done.labels, atol=1e-6)
    np.testing.assert_allclose(done.labels.sum(1), 1, atol=1e-6)
    assert (done.labels.max(1) < 1).sum() > 5
    soft = mixing(alpha=alpha).batch(
        images, Draws.of(0, 0, range(30)), labels=np.eye(classes, dtype=np.float32)[LABELS]
    )
    assert np.array_equal(soft.labels, done.labels)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 2.0, 4.5, 30.0, 1e6])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    from cnncore.data.transforms.mixing import _beta

    shares = _beta(Draws.of(0, 0, range(20000)), alpha)
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 5 * np.sqrt(variance / 20000)
    # The variance's own deviation is below variance / sqrt(n / 2) for these flat distributions.
    assert abs(shares.var() - variance) < 5 * variance / np.sqrt(10000)


@pytest.mark.parametrize("alpha", [1e-299, 1e-308, 5e-324])
def test_shares_of_the_least_alphas_are_all_or_nothing(alpha: float) -> None:
    """Logarithms by such an alpha overflow; pairs were drawn for ever."""
    from cnncore.data.transforms.mixing import _beta

    shares = _beta(Draws.of(0, 0, range(400)), alpha)
    assert set(shares) == {0.0, 1.0}
    assert 120 < shares.sum() < 280  # 8 deviations of a fair coin


def test_mosaic_shows_four_images_and_their_boxes() -> None:
    images = np.arange(1, 9, dtype=np.uint8).reshape(8, 1, 1, 1) * np.ones((1, 1, 20, 24), np.uint8)
    boxes = [np.array([[2.0, 3, 22, 17, i]], np.float32) for i in range(1, 9)]
    masks = images[:, 0].astype(np.int64)
    done = t.Mosaic().batch(images, Draws.of(2, 0, range(8)), masks=masks, boxes=boxes)
    assert np.array_equal(done.images[:, 0], done.masks)
    assert done.boxes is not None
    for image, kept in zip(done.images, done.boxes, strict=True):
        assert 1 <= len(np.unique(image)) <= 4
        for left, top, right, bottom, number in kept.tolist():
            inside = image[0, int(top) : int(bottom), int(left) : int(right)]
            assert (inside == number).all()
            assert inside.size > 0


def test_mixing_needs_a_batch_and_classes() -> None:
    with pytest.raises(TypeError, match="mixes samples of a batch"):
        t.Mixup(2)(IMAGES[0])
    with pytest.raises(ValueError, match="expected num_classes"):
        t.CutMix().batch(IMAGES, Draws.of(0, 0, range(30)), labels=LABELS)
    with pytest.raises(ValueError, match="labels from 0 to 2, got 4"):
        t.Mixup(3).batch(IMAGES, Draws.of(0, 0, range(30)), labels=LABELS)
    with pytest.raises(ValueError, match="without boxes"):
        t.CutMix(5).batch(IMAGES, Draws.of(0, 0, range(30)), boxes=[[]] * 30)


@pytest.mark.parametrize("value", [0, 7, "random"])
def test_erased_parts(value: Any) -> None:
    white = np.full((400, 3, 30, 40), 255, np.uint8)
    done = t.RandomErasing(p=0.5, scale=(0.1, 0.2), value=value).batch(white, Draws.of(0, 0, range(400)))
    shares = (done.images[:, 0] != 255).mean((1, 2))
    erased = shares > 0
    assert abs(erased.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)
    assert shares[erased].min() > 0.08
    assert shares[erased].max() < 0.22
    signal = t.RandomErasing(p=1.0, scale=(0.5, 0.5))(np.ones((1, 100), np.float32))
    assert (signal == 0).sum() == 50
    volume = t.RandomErasing(p=1.0, scale=(0.125, 0.125), ratio=(1, 1))(np.ones((1, 8, 8, 8), np.float32))
    assert (volume == 0).sum() == 64


@pytest.mark.parametrize("extents", [(7,), (5, 6), (2, 3, 4)])
def test_normalize_of_bytes_has_the_bits_of_floats(extents: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, *extents), dtype=np.uint8)
    normalize = t.Normalize([0.4, 0.5], [0.2, 0.3])
    floats = t.Compose([lambda image: (image / np.float32(255)).astype(np.float32), normalize])
    for chain in (
        normalize,
        t.Compose([t.ToFloat(), normalize]),
        t.Compose([t.ToFloat(), t.ToFloat(), normalize]),
    ):
        done = chain.batch(images, Draws.of(0, 0, range(3))).images
        assert done.dtype == np.float32
        np.testing.assert_array_equal(done, floats.batch(images, Draws.of(0, 0, range(3))).images)


def test_normalize() -> None:
    done = t.Normalize([0.1, 0.2, 0.3], [1, 2, 4])(IMAGES[0])
    mean, std = np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), np.array([1, 2, 4]).reshape(3, 1, 1)
    np.testing.assert_allclose(done, (IMAGES[0] / 255 - mean) / std, atol=1e-6)
    with pytest.raises(ValueError, match="3 values of mean, got 2"):
        t.Normalize([0.1, 0.2], 1)(IMAGES[0])
    with pytest.raises(ValueError, match="std above 0"):
        t.Normalize(0, 0)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((2, 2), np.int64), TypeError, "uint8"),
        (np.zeros(3, np.uint8), ValueError, r"\(channels, \*extents\)"),
        (np.zeros((3, 0, 4)), ValueError, "with elements"),
        ("image", TypeError, "uint8"),
    ],
)
def test_what_is_no_image(image: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        t.ToFloat()(image)


def test_masks_and_boxes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"mask of the image's extents \(16, 16\), got \(15, 16\)"):
        t.ToFloat()(IMAGES[0], mask=np.zeros((15, 16)))
    with pytest.raises(ValueError, match="boxes"):
        t.ToFloat()(IMAGES[0], boxes=[[1, 2, 3]])
    assert t.RandomHorizontalFlip()(IMAGES[0], boxes=[])["boxes"].shape == (0, 4)


@pytest.mark.parametrize("kind", [t.Mixup, t.CutMix])
def test_labels_that_are_no_class(kind: Any) -> None:
    images = np.zeros((2, 3, 4, 4), np.uint8)
    for labels, error, message in (
        (np.array([0, 3]), ValueError, "labels from 0 to 2, got 3"),
        (np.array([0, -1]), ValueError, "labels from 0 to 2, got -1"),
        (np.array([0.0, 1.0]), TypeError, "integer labels or .*, got float64"),
    ):
        with pytest.raises(error, match=message):
            next(iter(data.DataLoader((images, labels), 2, transform=kind(num_classes=3))))
