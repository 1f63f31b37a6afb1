# SPDX-License-Identifier: Apache-2.0
"""Elements in another scale, and parts that are taken away."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from .arguments import finite, interval
from .draws import Draws
from .samples import Samples, white
from .transform import Transform, probability

__all__ = ["Normalize", "RandomErasing", "ToFloat"]

_TRIES = 10


class ToFloat(Transform):
    """uint8 from 0 to 255 as float32 from 0 to 1; floats stay.

    >>> ToFloat()(np.array([[51, 255]], np.uint8)).tolist()
    [[0.20000000298023224, 1.0]]
    """

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        return samples.with_images(as_floats(samples.images))

    def included_in(self, following: Transform) -> bool:
        return isinstance(following, (Normalize, ToFloat))


class Normalize(Transform):
    """(x - mean) / std for each channel; uint8 counts as 0 to 1.

    Args:
        mean, std: a number, or one for each channel.

    Raises:
        ValueError: a std of 0; numbers that are neither one nor one for each channel of the images.

    >>> Normalize([0.5], [0.25])(np.array([[0.5, 1.0]])).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean = [finite(value, "mean") for value in np.ravel(mean).tolist()]
        self.std = [finite(value, "std", 0) for value in np.ravel(std).tolist()]
        if 0 in self.std:
            raise ValueError(f"expected std above 0, got {std}")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        images = samples.images
        channels = images.shape[1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"[Normalize] expected {channels} values of {name}, got {len(values)}")
        if images.dtype == np.uint8 and images.size:
            tables = self._scaled(np.broadcast_to(as_floats(np.arange(256, dtype=np.uint8)), (channels, 256)))
            planes = images.reshape(*images.shape[:2], -1, images.shape[-1])
            return samples.with_images(_core.look_up_floats(planes, tables).reshape(images.shape))
        return samples.with_images(self._scaled(as_floats(images), images.ndim - 2))

    def _scaled(self, images: Any, axes: int = 1) -> NDArray[np.float32]:
        """(images - mean) / std, with `axes` axes after that of the channels."""
        shape = (-1, *(1,) * axes)
        shifted: NDArray[np.float32] = images - np.array(self.mean, np.float32).reshape(shape)
        shifted /= np.array(self.std, np.float32).reshape(shape)
        return shifted


class RandomErasing(Transform):
    """Replace a random part with probability `p` (Zhong et al., 2017): a rectangle, a stretch of a signal.

    Args:
        p: the probability.
        scale: the part's size as a share of the image's, from and to.
        ratio: its height through its width, from and to, on a logarithmic scale.
        value: what comes there, a number or one a channel in the image's own unit, or "random" for normal
            noise (uniform for uint8).

    Raises:
        ValueError: a scale above 1 or a ratio of 0.

    >>> RandomErasing(p=1.0, scale=(1, 1), ratio=(1, 1))(np.ones((1, 4, 4), np.uint8)).sum()
    np.uint64(0)
    """

    def __init__(
        self, p: float = 0.5, scale: Any = (0.02, 0.33), ratio: Any = (0.3, 3.3), value: Any = 0
    ) -> None:
        self.p = probability(p)
        self.scale = interval(scale, "scale", 0)
        self.ratio = interval(ratio, "ratio", 0)
        if self.ratio[0] == 0 or self.scale[1] > 1:
            raise ValueError(f"expected scale up to 1 and ratio above 0, got {scale} and {ratio}")
        if value != "random":
            value = [finite(number, "value") for number in np.ravel(value).tolist()]
        self.value = value

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        chosen = np.flatnonzero(draws.chance(self.p))
        images = samples.images
        size = np.array(images.shape[2:])
        axes = len(size)
        share = draws.uniform(*self.scale, (_TRIES,))
        stretch = np.exp(draws.uniform(log(self.ratio[0]), log(self.ratio[1]), (_TRIES, axes)))
        places = draws.uniform(0, 1, (axes,))
        noise = draws.fork(1)
        if len(chosen) == 0:
            return samples
        images = images.copy()
        for i in chosen:
            extents = _extents(size, share[i], stretch[i])
            starts = np.floor(places[i] * (size - extents + 1)).astype(int)
            pairs = zip(starts, extents, strict=True)
            inside: tuple[Any, ...] = (..., *(slice(start, start + n) for start, n in pairs))
            images[i][inside] = self._new(images, tuple(extents), noise.take([i]))
        return samples.with_images(images)

    def _new(self, images: Any, extents: tuple[int, ...], draws: Draws) -> Any:
        channels = images.shape[1]
        if self.value == "random":
            if images.dtype == np.uint8:
                return draws.integers(256, (channels, *extents))[0]
            return draws.noise((channels, *extents))[0]
        if len(self.value) not in (1, channels):
            raise ValueError(f"[RandomErasing] expected {channels} values, got {len(self.value)}")
        return np.array(self.value, images.dtype).reshape(-1, *(1,) * len(extents))


def _extents(size: Any, share: Any, stretch: Any) -> Any:
    """The part's extents: the first try that fits, else all of the image in the share's proportion."""
    axes = len(size)
    for area, shape in zip(share, stretch, strict=True):
        # Two axes: height / width is the ratio. One or three: sides in random proportion.
        sides = np.sqrt([shape[0], 1 / shape[0]]) if axes == 2 else shape / exp(np.log(shape).mean())
        extents = np.rint((area * np.prod(size)) ** (1 / axes) * sides).astype(int)
        if (extents <= size).all() and (extents > 0).all():
            return extents
    return np.maximum(1, np.floor(size * share[-1] ** (1 / axes))).astype(int)


def as_floats(images: Any) -> Any:
    """uint8 as float32 from 0 to 1."""
    if images.dtype != np.uint8:
        return images
    return np.divide(images, np.float32(white(images)), dtype=np.float32)
