# SPDX-License-Identifier: Apache-2.0
"""Random changes of signals, spectrograms and sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import natural
from .arguments import interval
from .draws import Draws
from .samples import Samples
from .transform import Transform, probability

__all__ = [
    "FrequencyMasking",
    "RandomGain",
    "RandomReverseComplement",
    "RandomTimeShift",
    "SpecAugment",
    "TimeMasking",
]


class RandomGain(Transform):
    """Make a signal louder or quieter.

    Args:
        decibels: (from, to).

    Raises:
        ValueError: the first of `decibels` above the second.
        TypeError: `decibels` that is no pair.

    >>> RandomGain((20, 20))(np.ones((1, 3), np.float32)).tolist()
    [[10.0, 10.0, 10.0]]
    """

    def __init__(self, decibels: Any = (-6.0, 6.0)) -> None:
        self.decibels = interval(decibels, "decibels")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        gain = (10 ** (draws.uniform(*self.decibels) / 20)).astype(np.float32)
        images = samples.images.astype(np.float32)
        return samples.with_images(images * gain.reshape(-1, *(1,) * (images.ndim - 1)))


class RandomTimeShift(Transform):
    """Move a signal along its last axis; zeros come in.

    Args:
        most: the largest shift as a share of the length.

    Raises:
        ValueError: `most` is not from 0 to 1.

    >>> RandomTimeShift(0.0)(np.arange(3.0)[None]).tolist()
    [[0.0, 1.0, 2.0]]
    """

    spatial = (1, 2)

    def __init__(self, most: float = 0.1) -> None:
        self.most = probability(most, "most")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        length = samples.extents[-1]
        limit = int(self.most * length)
        shifts = draws.integers(2 * limit + 1) - limit
        images = np.zeros_like(samples.images)
        for row, source, shift in zip(images, samples.images, shifts, strict=True):
            begin, end = max(0, shift), length + min(0, shift)
            row[..., begin:end] = source[..., begin - shift : end - shift]
        return samples.with_images(images)


class _Masking(Transform):
    """Zeros in a stretch of one axis of a spectrogram (channels, frequencies, times)."""

    spatial = (2,)
    axis = -1

    def __init__(self, param: int, count: int = 1, p: float = 1.0) -> None:
        self.param, self.count = natural("param", param, 0), natural("count", count, 0)
        self.p = probability(p)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        extent = samples.extents[self.axis]
        widest = min(self.param, int(self.p * extent))
        hidden = np.zeros((len(samples), extent), bool)
        places: NDArray[np.int64] = np.arange(extent)
        for _ in range(self.count):
            width = draws.integers(widest + 1)
            begin = draws.integers(extent - width + 1)
            hidden |= (places >= begin[:, None]) & (places < (begin + width)[:, None])
        shape = [len(samples), 1, 1, 1]
        shape[self.axis] = extent
        kept = ~hidden.reshape(shape)
        return samples.with_images(samples.images * kept)


class TimeMasking(_Masking):
    """Hide times of a spectrogram (channels, frequencies, times) (Park et al., 2019).

    Args:
        param: the widest stretch.
        count: stretches.
        p: the widest stretch as a share of all times.

    >>> TimeMasking(0)(np.ones((1, 2, 3))).sum()
    np.float32(6.0)
    """


class FrequencyMasking(_Masking):
    """Hide frequencies of a spectrogram (channels, frequencies, times) (Park et al., 2019).

    Args:
        param: the widest stretch.
        count: stretches.
        p: the widest stretch as a share of all frequencies.

    >>> FrequencyMasking(0)(np.ones((1, 2, 3))).sum()
    np.float32(6.0)
    """

    axis = -2


class SpecAugment(Transform):
    """Hide frequencies and times of a spectrogram (Park et al., 2019, without its time warp).

    Args:
        frequencies, times: the widest stretches.
        frequency_masks, time_masks: how many.

    >>> SpecAugment(0, 0)(np.ones((1, 2, 3))).sum()
    np.float32(6.0)
    """

    spatial = (2,)

    def __init__(
        self, frequencies: int = 27, times: int = 100, frequency_masks: int = 1, time_masks: int = 1
    ) -> None:
        self.masks = [
            FrequencyMasking(
                natural("frequencies", frequencies, 0), natural("frequency_masks", frequency_masks, 0)
            ),
            TimeMasking(natural("times", times, 0), natural("time_masks", time_masks, 0)),
        ]

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        for i, mask in enumerate(self.masks):
            samples = mask.run(samples, draws.fork(i))
        return samples


class RandomReverseComplement(Transform):
    """Read DNA or RNA (4, length), in the order A, C, G, T, from its other strand with probability `p`.

    Raises:
        ValueError: sequences of other than 4 channels.

    >>> RandomReverseComplement(1.0)(np.array([[1.0, 0], [0, 1], [0, 0], [0, 0]])).argmax(0).tolist()
    [2, 3]
    """

    spatial = (1,)

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        if samples.images.shape[1] != 4:
            raise ValueError(f"[RandomReverseComplement] expected 4 channels, got {samples.images.shape[1]}")
        turned = draws.chance(self.p)
        images = samples.images.copy()
        images[turned] = samples.images[turned][:, ::-1, ::-1]
        return samples.with_images(images)
