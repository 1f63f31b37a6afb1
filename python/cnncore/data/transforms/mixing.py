# SPDX-License-Identifier: Apache-2.0
"""Samples put together from several of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import natural
from .arguments import finite, interval
from .draws import Draws
from .samples import Samples, cut_boxes, to_colours
from .transform import Transform, probability

__all__ = ["CutMix", "MixUp", "Mixup", "Mosaic"]

_QUADRANTS = 4


class _Mixing(Transform):
    """What needs a batch: a `DataLoader` applies it, or `batch`."""

    def __call__(self, image: Any, mask: Any = None, boxes: Any = None, seed: int | None = None) -> Any:
        raise TypeError(
            f"[{type(self).__name__}] mixes samples of a batch: data.DataLoader(..., transform=) applies it"
        )


class _Pairs(_Mixing):
    """Samples of two, with labels in proportion.

    Args:
        num_classes: labels that are class numbers become (samples, num_classes); None where they have
            probabilities already.
        alpha: of the Beta distribution of the first sample's share.
        p: probability for a sample to be mixed.
    """

    def __init__(self, num_classes: int | None = None, alpha: float = 1.0, p: float = 1.0) -> None:
        self.num_classes = None if num_classes is None else natural("num_classes", num_classes, 1)
        self.alpha = finite(alpha, "alpha", 0)
        if self.alpha == 0:
            raise ValueError(f"expected alpha above 0, got {alpha}")
        self.p = probability(p)

    def partners(self, samples: Samples, draws: Draws) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Each sample's partner and its own share, 1 for those that are left alone."""
        partner = draws.integers(len(samples))
        mixed = draws.chance(self.p)
        return partner, np.where(mixed, _beta(draws.fork(0), self.alpha), 1.0)

    def labels(
        self, labels: NDArray[Any] | None, partner: NDArray[Any], share: Any
    ) -> NDArray[np.float32] | None:
        """The means of labels, (samples, classes)."""
        if labels is None:
            return None
        name, classes = type(self).__name__, self.num_classes
        if labels.ndim == 1:
            if classes is None:
                raise ValueError(
                    f"[{name}] expected num_classes, since labels are class numbers, or (samples, classes)"
                )
            if labels.dtype.kind not in "iu":
                raise TypeError(f"[{name}] expected integer labels or (samples, classes), got {labels.dtype}")
            outside = labels[(labels < 0) | (labels >= classes)]
            if len(outside):
                raise ValueError(
                    f"[{name}] expected labels from 0 to {classes - 1}, got {max(outside, key=abs)}"
                )
            labels = np.eye(classes, dtype=np.float32)[labels]
        weights = np.asarray(share, np.float32).reshape(-1, *(1,) * (labels.ndim - 1))
        return np.asarray(labels * weights + labels[partner] * (1 - weights), np.float32)


class Mixup(_Pairs):
    """Means of two samples and of their labels (Zhang et al., 2017).

    Args:
        num_classes: labels that are class numbers become (samples, num_classes); None where they have
            probabilities already.
        alpha: of the Beta distribution of the first sample's share.
        p: probability for a sample to be mixed.

    Raises:
        ValueError: samples with boxes, or without labels to mix.

    >>> from cnncore.data.transforms.draws import Draws
    >>> x, y = np.eye(2, dtype=np.float32).reshape(2, 1, 1, 2), np.array([0, 1])
    >>> mixed = Mixup(num_classes=2).batch(x, Draws.of(0, 0, [0, 1]), labels=y)
    >>> np.allclose(mixed.images[:, 0, 0], mixed.labels)
    True
    """

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        _refuse(self, samples, masks=True)
        partner, share = self.partners(samples, draws)
        images = samples.images
        weights = share.reshape(-1, *(1,) * (images.ndim - 1))
        mixed = images * weights + images[partner] * (1 - weights)
        changed = to_colours(mixed, images) if images.dtype == np.uint8 else mixed.astype(np.float32)
        labels = self.labels(samples.labels, partner, share)
        return Samples(changed, None, None, labels)


MixUp = Mixup


class CutMix(_Pairs):
    """A rectangle of another sample, and labels by area (Yun et al., 2019).

    Args:
        num_classes: labels that are class numbers become (samples, num_classes); None where they have
            probabilities already.
        alpha: of the Beta distribution of the first sample's share.
        p: probability for a sample to be mixed.

    Signals get a stretch, volumes a cuboid. Masks are mixed as the images are.

    Raises:
        ValueError: samples with boxes, or without labels to mix.

    >>> from cnncore.data.transforms.draws import Draws
    >>> x, y = np.stack([np.zeros((1, 8, 8)), np.ones((1, 8, 8))]), np.array([0, 1])
    >>> mixed = CutMix(num_classes=2).batch(x, Draws.of(0, 0, [0, 1]), labels=y)
    >>> np.allclose(mixed.images.mean((1, 2, 3)), mixed.labels[:, 1])
    True
    """

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        _refuse(self, samples, masks=False)
        partner, share = self.partners(samples, draws)
        size = np.array(samples.extents)
        axes = len(size)
        middle = np.floor(draws.uniform(0, 1, (axes,)) * size)
        half = np.floor((1 - share)[:, None] ** (1 / axes) * size / 2)
        begin = np.maximum(middle - half, 0).astype(int)
        end = np.minimum(middle + half, size).astype(int)
        images = samples.images.copy()
        masks = None if samples.masks is None else samples.masks.copy()
        for i, other in enumerate(partner):
            pairs = zip(begin[i], end[i], strict=True)
            inside: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in pairs))
            images[i][inside] = samples.images[other][inside]
            if masks is not None and samples.masks is not None:
                masks[i][inside] = samples.masks[other][inside]
        kept = 1 - np.prod((end - begin) / size, axis=1)
        labels = self.labels(samples.labels, partner, kept)
        return Samples(images, masks, None, labels)


class Mosaic(_Mixing):
    """Four samples in the quadrants of one image, with their masks and boxes (Bochkovskiy et al., 2020).

    Args:
        centre: where the quadrants meet, as shares of the extents (from, to).
        p: probability for a sample to be made of four.

    Each quadrant shows a random part of its image at its own scale. Labels of whole images are refused.

    Raises:
        ValueError: samples with labels of whole images; further columns of boxes may be labels.

    >>> from cnncore.data.transforms.draws import Draws
    >>> x = np.zeros((4, 3, 16, 16), np.uint8)
    >>> Mosaic().batch(x, Draws.of(0, 0, range(4))).images.shape
    (4, 3, 16, 16)
    """

    spatial = (2,)

    def __init__(self, centre: tuple[float, float] = (0.25, 0.75), p: float = 1.0) -> None:
        self.centre = interval(centre, "centre", 0)
        if self.centre[1] > 1:
            raise ValueError(f"expected centre as (low, high) from 0 to 1, got {centre}")
        self.p = probability(p)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        if samples.labels is not None:
            raise ValueError(
                "[Mosaic] expected no labels of whole images; further columns of boxes may be labels"
            )
        chosen = draws.chance(self.p)
        height, width = samples.extents
        meets = np.rint(draws.uniform(*self.centre, (2,)) * samples.extents).astype(int)
        others = draws.integers(len(samples), (_QUADRANTS - 1,))
        places = draws.uniform(0, 1, (_QUADRANTS, 2))
        images = samples.images.copy()
        masks = None if samples.masks is None else samples.masks.copy()
        boxes = None if samples.boxes is None else list(samples.boxes)
        for i in np.flatnonzero(chosen):
            y, x = meets[i]
            corners = [(0, 0, y, x), (0, x, y, width), (y, 0, height, x), (y, x, height, width)]
            sources = [int(i), *(int(other) for other in others[i])]
            kept = []
            for (top, left, bottom, right), source, place in zip(corners, sources, places[i], strict=True):
                size = np.array([bottom - top, right - left])
                from_y, from_x = np.floor(place * (np.array([height, width]) - size + 1)).astype(int)
                here = np.s_[..., top:bottom, left:right]
                there = np.s_[..., from_y : from_y + size[0], from_x : from_x + size[1]]
                images[i][here] = samples.images[source][there]
                if masks is not None and samples.masks is not None:
                    masks[i][here] = samples.masks[source][there]
                if samples.boxes is not None:
                    moved = samples.boxes[source].copy()
                    moved[:, :4] += np.tile([left - from_x, top - from_y], 2).astype(np.float32)
                    moved = cut_boxes(moved, (left, top, right, bottom))
                    kept.append(moved[(moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])])
            if boxes is not None:
                boxes[int(i)] = np.concatenate(kept)
        return Samples(images, masks, boxes, None)


_LEAST = 1e-300
"""Below it shares are 0 or 1 anyway, and logarithms by alpha overflow, of which no pair would be kept."""

_MOST_REJECTED = 4.0
"""The largest alpha of Jöhnk's method, which keeps one pair in 70 there and one in 4**alpha beyond."""


def _beta(draws: Draws, alpha: float) -> NDArray[np.float64]:
    """(samples,) of the symmetric Beta distribution (Jöhnk, 1964; for a large alpha Ulrich, 1984)."""
    if alpha > _MOST_REJECTED:
        power = 2 / (2 * alpha - 1)
        radius = np.sqrt(-np.expm1(power * np.log(draws.uniform(2.0**-60, 1))))
        return np.asarray(0.5 + 0.5 * radius * np.cos(2 * np.pi * draws.uniform(0, 1)))
    alpha = max(alpha, _LEAST)
    result = np.full(len(draws), np.nan)
    while np.isnan(result).any():
        # Logarithms, since powers of 1 / alpha underflow for a small one.
        first, second = (np.log(draws.uniform(2.0**-60, 1)) / alpha for _ in range(2))
        total = np.logaddexp(first, second)
        result = np.where(np.isnan(result) & (total <= 0), np.exp(first - total), result)
    return result


def _refuse(transform: Transform, samples: Samples, masks: bool) -> None:
    name = type(transform).__name__
    if samples.boxes is not None or (masks and samples.masks is not None):
        raise ValueError(
            f"[{name}] expected samples without boxes{' and masks' if masks else ''}: Mosaic keeps them"
        )
