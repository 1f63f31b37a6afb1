# SPDX-License-Identifier: Apache-2.0
"""Orders of samples for a `DataLoader`, and parts of a data set for validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._checks import is_index
from .settings import MOST_SAMPLES, finite, flag, integer, natural

__all__ = [
    "GroupSampler",
    "LengthSampler",
    "ShardedSampler",
    "StratifiedSampler",
    "WeightedSampler",
    "k_fold",
    "train_test_split",
]

Order = NDArray[np.intp]


class Sampler(Protocol):
    """What gives the sample numbers of an epoch in their order."""

    def order(self, epoch: int) -> Order:
        """Return the sample numbers of an epoch."""

    def __len__(self) -> int:
        """Return how many there are in an epoch."""


def random_words(count: int, *key: int) -> NDArray[np.uint64]:
    """Return random words that follow from the key.

    The raw words of Philox never change between numpy versions; Generator.permutation may.
    """
    return np.random.Philox(np.random.SeedSequence(key)).random_raw(count)


def permutation(count: int, *key: int) -> Order:
    """Return 0 .. count - 1 in an order that follows from the key."""
    return np.argsort(random_words(count, *key), kind="stable")


def _unit(count: int, *key: int) -> NDArray[np.float64]:
    return np.asarray((random_words(count, *key) >> np.uint64(11)) * 2.0**-53)


class WeightedSampler:
    """Draw samples with probabilities, as torch's WeightedRandomSampler does.

    Args:
        weights: one a sample, not negative.
        count: samples an epoch; as many as there are by default.
        replacement: whether a sample may come more than once an epoch.
        seed: of the draws.

    Raises:
        ValueError: weights that are no row of numbers, negative, not finite or all 0; a count below 1, or
            without replacement above the samples of weight above 0.

    >>> WeightedSampler([0, 1, 0], count=4).order(0).tolist()
    [1, 1, 1, 1]
    """

    def __init__(
        self, weights: Any, count: int | None = None, replacement: bool = True, seed: int = 0
    ) -> None:
        self.weights = _row("weights", weights)
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            raise ValueError("expected weights (samples,), finite, not negative and not all 0")
        self.count = len(self.weights) if count is None else natural("count", count, 1, MOST_SAMPLES)
        self.replacement = flag("replacement", replacement)
        self.seed = natural("seed", seed, 0)
        possible = int((self.weights > 0).sum())
        if not self.replacement and self.count > possible:
            raise ValueError(f"expected a count from 1 to {possible} without replacement, got {self.count}")

    def __len__(self) -> int:
        return self.count

    def order(self, epoch: int) -> Order:
        """Return the sample numbers of an epoch."""
        if self.replacement:
            limits = np.cumsum(self.weights) / self.weights.sum()
            return np.searchsorted(limits, _unit(self.count, self.seed, epoch), side="right")
        # Exponential races (Efraimidis and Spirakis, 2006): the earliest arrivals are the sample.
        waits = -np.log1p(-_unit(len(self.weights), self.seed, epoch))
        with np.errstate(divide="ignore"):
            arrivals = np.where(self.weights > 0, waits / self.weights, np.inf)
        return np.argsort(arrivals, kind="stable")[: self.count]


class StratifiedSampler:
    """Shuffle so that every stretch of an epoch has the classes in their shares of the whole.

    Args:
        labels: class numbers or names (samples,).
        seed: of the order.

    Raises:
        ValueError: `labels` that is no row of integers.

    >>> order = StratifiedSampler([0] * 6 + [1] * 3).order(0)
    >>> [int((order[i : i + 3] >= 6).sum()) for i in (0, 3, 6)]
    [1, 1, 1]
    """

    def __init__(self, labels: Any, seed: int = 0) -> None:
        self.numbers = _numbers(labels, "labels")
        self.seed = natural("seed", seed, 0)

    def __len__(self) -> int:
        return len(self.numbers)

    def order(self, epoch: int) -> Order:
        """Return the sample numbers of an epoch."""
        words = random_words(len(self), self.seed, epoch)
        ranks = _ranks_within(self.numbers, words)
        sizes = np.bincount(self.numbers)[self.numbers]
        return np.lexsort((words, (ranks + 0.5) / sizes))


class GroupSampler:
    """Shuffle groups; the samples of a group follow one another, shuffled as well.

    Args:
        groups: the group of each sample (samples,): numbers or names.
        seed: of the order.

    Raises:
        ValueError: `groups` that is no row of integers.

    >>> groups = np.array([0, 1, 0, 1, 2])
    >>> order = groups[GroupSampler(groups).order(0)]
    >>> int((np.diff(order) != 0).sum())
    2
    """

    def __init__(self, groups: Any, seed: int = 0) -> None:
        self.numbers = _numbers(groups, "groups")
        self.seed = natural("seed", seed, 0)

    def __len__(self) -> int:
        return len(self.numbers)

    def order(self, epoch: int) -> Order:
        """Return the sample numbers of an epoch."""
        places = permutation(int(self.numbers.max(initial=-1)) + 1, self.seed, epoch, 1)
        rank = np.argsort(places)
        return np.lexsort((random_words(len(self), self.seed, epoch), rank[self.numbers]))


class LengthSampler:
    """Shuffle so that samples of about one length come together, and little of a batch is padding.

    Args:
        lengths: of the samples (samples,).
        batch_size: the loader's.
        batches: how many batches are sorted by length together.
        seed: of the order.

    Raises:
        ValueError: lengths that are no row of numbers, or `batch_size` or `batches` below 1.

    >>> lengths = np.array([9, 1, 8, 2])
    >>> sorted(lengths[LengthSampler(lengths, 2).order(0)][:2].tolist()) in ([1, 2], [8, 9])
    True
    """

    def __init__(self, lengths: Any, batch_size: int, batches: int = 50, seed: int = 0) -> None:
        self.lengths = _row("lengths", lengths)
        self.batch_size = natural("batch_size", batch_size, 1, MOST_SAMPLES)
        self.batches = natural("batches", batches, 1, MOST_SAMPLES)
        self.seed = natural("seed", seed, 0)

    def __len__(self) -> int:
        return len(self.lengths)

    def order(self, epoch: int) -> Order:
        """Return the sample numbers of an epoch."""
        order = permutation(len(self), self.seed, epoch)
        size = self.batch_size * self.batches
        pools = [order[i : i + size] for i in range(0, max(len(order), 1), size)]
        ordered = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        whole = len(order) // self.batch_size
        batches = ordered[: whole * self.batch_size].reshape(whole, self.batch_size)
        mixed = batches[permutation(whole, self.seed, epoch, 1)].ravel()
        return np.concatenate([mixed, ordered[whole * self.batch_size :]])


class ShardedSampler:
    """A process's share of an order that all processes agree on.

    Args:
        samples: how many there are, or a sampler whose order is shared.
        rank, ranks: this process's number and how many there are.
        shuffle: draw a new order for each epoch, where `samples` is a number.
        seed: of the order; the same in all processes.

    All shares are equally long: the first samples of the order come once more at its end where they must.

    Raises:
        ValueError: `rank` is not from 0 to `ranks` - 1.

    >>> [ShardedSampler(5, rank, 2, shuffle=False).order(0).tolist() for rank in range(2)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self, samples: int | Sampler, rank: int, ranks: int, shuffle: bool = True, seed: int = 0
    ) -> None:
        if hasattr(samples, "order") and hasattr(samples, "__len__"):
            self.samples: int | Sampler = samples
        elif is_index(samples):
            self.samples = natural("samples", samples, 0, MOST_SAMPLES)
        else:
            raise TypeError(f"expected samples as their number or a sampler, got {samples!r}")
        self.ranks, self.rank = natural("ranks", ranks, 1, MOST_SAMPLES), integer("rank", rank)
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"expected a rank from 0 to {self.ranks - 1}, got {rank}; ranks is {ranks}")
        self.shuffle, self.seed = flag("shuffle", shuffle), natural("seed", seed, 0)

    def __len__(self) -> int:
        count = self.samples if isinstance(self.samples, int) else len(self.samples)
        return -(-count // self.ranks)

    def order(self, epoch: int) -> Order:
        """Return this process's sample numbers of an epoch."""
        if not isinstance(self.samples, int):
            order = self.samples.order(epoch)
        elif self.shuffle:
            order = permutation(self.samples, self.seed, epoch)
        else:
            order = np.arange(self.samples)
        places = self.rank + self.ranks * np.arange(len(self))
        return order[places % max(len(order), 1)]


def k_fold(
    samples: Any, k: int = 5, groups: Any = None, stratify: bool = True, seed: int = 0
) -> Iterator[tuple[Order, Order]]:
    """Return an iterator of the sample numbers of train and test, k times; every sample is tested once.

    Args:
        samples: the labels, or how many samples there are.
        k: parts, at least 2.
        groups: the group of each sample: no group is in train and test at a time.
        stratify: give every part the classes in their shares, where labels are given and no groups.
        seed: of the shuffle.

    Raises:
        ValueError: more parts than samples, fewer than 2, or than groups; labels or groups that are not as
            many as samples.

    >>> [test.size for _, test in k_fold(10, k=3)]
    [4, 3, 3]
    """
    k, seed = natural("k", k, 2), natural("seed", seed, 0)
    parts = _parts(samples, k, groups, flag("stratify", stratify), seed)
    return ((np.flatnonzero(parts != i), np.flatnonzero(parts == i)) for i in range(k))


def train_test_split(
    samples: Any, test: float = 0.2, groups: Any = None, stratify: bool = True, seed: int = 0
) -> tuple[Order, Order]:
    """Return the sample numbers of train and test.

    Args:
        samples: the labels, or how many samples there are.
        test: share of the samples that are tested, above 0 and below 1.
        groups: the group of each sample: no group is in both.
        stratify: give both the classes in their shares, where labels are given and no groups.
        seed: of the shuffle.

    Raises:
        ValueError: a share that leaves no samples for one of the two.

    >>> train, test = train_test_split([0] * 10 + [1] * 10, 0.2)
    >>> test.size, int((test >= 10).sum())
    (4, 2)
    """
    if not 0 < finite("test", test) < 1:
        raise ValueError(f"expected test, a share of the samples, above 0 and below 1, got {test}")
    stratify, seed = flag("stratify", stratify), natural("seed", seed, 0)
    count, labels = _count(samples)
    wanted = min(max(1, round(test * count)), count - 1)
    if groups is not None:
        numbers = _numbers(groups, "groups", count)
        sizes = np.bincount(numbers)
        shuffled = permutation(len(sizes), seed)
        chosen = shuffled[: max(1, int(np.searchsorted(np.cumsum(sizes[shuffled]), wanted)) + 1)]
        is_test = np.isin(numbers, chosen)
    else:
        sampler = StratifiedSampler(labels if stratify and labels is not None else np.zeros(count), seed)
        is_test = np.zeros(count, bool)
        is_test[sampler.order(0)[:wanted]] = True
    if is_test.all() or not is_test.any():
        raise ValueError(f"expected samples for both train and test, got {count} in all")
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _parts(samples: Any, k: int, groups: Any, stratify: bool, seed: int) -> Order:
    """The part in which each sample is tested."""
    count, labels = _count(samples)
    if groups is not None:
        numbers = _numbers(groups, "groups", count)
        _check_parts(k, int(numbers.max(initial=-1)) + 1, "groups")
        sizes = np.bincount(numbers)
        parts = np.zeros(len(sizes), np.intp)
        filled = np.zeros(k, np.int64)
        # The largest groups first, each to the emptiest part.
        for group in np.lexsort((permutation(len(sizes), seed), -sizes)):
            parts[group] = filled.argmin()
            filled[parts[group]] += sizes[group]
        return parts[numbers]
    _check_parts(k, count, "samples")
    classes = labels if stratify and labels is not None else np.zeros(count)
    order = np.lexsort((random_words(count, seed), _numbers(classes, "labels")))
    result = np.empty(count, np.intp)
    result[order] = np.arange(count) % k
    return result


def _check_parts(k: int, most: int, what: str) -> None:
    if not 2 <= k <= most:
        raise ValueError(f"expected k from 2 to the {most} {what}, got {k}")


def _count(samples: Any) -> tuple[int, NDArray[Any] | None]:
    if np.ndim(samples) == 0:
        return natural("samples", samples, 1, MOST_SAMPLES), None
    labels = np.asarray(samples)
    return len(labels), labels


def _row(name: str, values: Any) -> NDArray[np.float64]:
    """Return numbers, one a sample."""
    row = np.asarray(values)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "biuf"):
        raise ValueError(f"expected {name} (samples,) of numbers, got {values!r}")
    return row.astype(np.float64)


def _numbers(values: Any, name: str, count: int | None = None) -> Order:
    array = np.asarray(values)
    if array.ndim != 1 or (count is not None and len(array) != count):
        wanted = "samples" if count is None else str(count)
        raise ValueError(f"expected {name} ({wanted},), got shape {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.intp)


def _ranks_within(numbers: Order, words: NDArray[np.uint64]) -> Order:
    """Each sample's place among those of its class, in the order of random words."""
    order = np.lexsort((words, numbers))
    starts = np.cumsum(np.bincount(numbers)) - np.bincount(numbers)
    ranks = np.empty(len(numbers), np.intp)
    ranks[order] = np.arange(len(numbers)) - starts[numbers[order]]
    return ranks
