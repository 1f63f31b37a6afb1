# SPDX-License-Identifier: Apache-2.0
"""Random numbers of samples: each sample has its own, wherever and with whomever it is prepared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every bit."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))


class Draws:
    """Random numbers of a batch of samples, one or more for each at a time.

    The numbers of a sample follow from its key and the place in the chain of transforms that asks, not from
    the other samples of the batch.

    Args:
        keys: (samples,) uint64.

    >>> draws = Draws.of(seed=0, epoch=3, indices=[5, 7])
    >>> other = Draws.of(seed=0, epoch=3, indices=[7])
    >>> draws.uniform(0, 1)[1] == other.uniform(0, 1)[0]
    np.True_
    """

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self.keys = keys
        self.count = 0

    @classmethod
    def of(cls, seed: int, epoch: int, indices: Any) -> Draws:
        """The numbers of samples of a data set in an epoch."""
        state = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
        return cls(_mixed(state + _STEP * np.asarray(indices).astype(np.uint64)))

    def __len__(self) -> int:
        return len(self.keys)

    def fork(self, branch: int) -> Draws:
        """Numbers for one step of several, independent of the others'."""
        return Draws(_mixed(self.keys ^ _mixed(np.array([branch + 1], np.uint64))))

    def take(self, chosen: Any) -> Draws:
        """The numbers of some of the samples."""
        return Draws(self.keys[chosen])

    def words(self, shape: tuple[int, ...] = ()) -> NDArray[np.uint64]:
        """(samples, *shape) of 64 random bits."""
        size = int(np.prod(shape, dtype=np.int64))
        places = np.arange(self.count + 1, self.count + 1 + size, dtype=np.uint64) * _STEP
        self.count += size
        return _mixed(self.keys[:, None] + places).reshape(len(self.keys), *shape)

    def uniform(self, low: Any, high: Any, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """(samples, *shape) from `low` to `high`."""
        unit = (self.words(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        result: NDArray[np.float64] = low + (high - low) * unit
        return result

    def integers(self, below: Any, shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
        """(samples, *shape) of 0 .. below - 1."""
        numbers = (self.uniform(0, 1, shape) * below).astype(np.int64)
        return np.asarray(np.minimum(numbers, np.asarray(below) - 1))

    def chance(self, p: float) -> NDArray[np.bool_]:
        """(samples,), true with probability `p`."""
        return self.uniform(0, 1) < p

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(samples, *shape) of the standard normal distribution, float32 (Box and Muller, 1958)."""
        size = int(np.prod(shape))
        words = self.words(((size + 1) // 2,))
        unit = np.float32(2.0**-24)
        # 1 - u is never 0: its logarithm is finite.
        radius = np.sqrt(np.float32(-2) * np.log(1 - (words >> np.uint64(40)).astype(np.float32) * unit))
        angle = (words & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2 * np.pi * unit)
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return both[:, :size].reshape(len(self), *shape)
