# SPDX-License-Identifier: Apache-2.0
"""The parts of batches that each of several processes takes, and what these count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import ops
from ..nn.loss import CrossEntropyLoss
from ..nn.loss_labels import NLLLoss
from .batches import ArrayBatches, Batches, DatasetBatches, IterableBatches, batch_of
from .objective import TINY, SeveralLosses, total_weight
from .rows import Batch, rows_of
from .stretches import Stretches

if TYPE_CHECKING:
    from ..distributed import Ranks


class StandIn(Batch):
    """Rows that do not count, of a process that has none in this step: it computes beside the others."""

    __slots__ = ()


def part(begin: int, end: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the bounds of a process's part of rows, about as many for each.

    >>> [part(0, 7, rank, 3) for rank in range(3)]
    [(0, 2), (2, 4), (4, 7)]
    """
    return begin + (end - begin) * rank // ranks, begin + (end - begin) * (rank + 1) // ranks


class Shard:
    """A process's parts of batches of arrays or of a data set; a row stands in where a part is empty."""

    def __init__(self, batches: ArrayBatches | DatasetBatches, rank: int, ranks: int) -> None:
        self.batches = batches
        self._parts = [part(*bounds, rank, ranks) for bounds in batches.bounds]

    def rows(self) -> int | None:
        return self.batches.rows()

    def count(self) -> int | None:
        return self.batches.count()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        chosen = [(begin, max(end, begin + 1)) for begin, end in self._parts]
        last = self.batches.rows()
        chosen = [(begin, end) if end <= last else (last - 1, last) for begin, end in chosen]
        for place, batch in enumerate(self.batches.between(number, chosen[start:]), start):
            begin, end = self._parts[place]
            yield batch if begin < end else StandIn(*batch)


class LoaderShard:
    """A process's parts of batches of a `data.DataLoader`: each is the part of what all take together."""

    def __init__(self, batches: IterableBatches, rank: int, ranks: int) -> None:
        self.loader = batches.iterable
        self.classes = batches.classes
        self.rank, self.ranks = rank, ranks

    def rows(self) -> int:
        samples: int = len(self.loader.dataset if self.loader.sampler is None else self.loader.sampler)
        whole: int = self.loader.batch_size * self.ranks
        last = samples % whole if self.loader.drop_last else 0
        return samples - last

    def count(self) -> int:
        whole: int = self.loader.batch_size * self.ranks
        return -(-self.rows() // whole)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        order, whole = self.loader.order(number), self.loader.batch_size * self.ranks
        rows = self.rows()
        bounds = [(begin, min(begin + whole, rows)) for begin in range(0, rows, whole)][start:]
        parts = [order[slice(*part(*each, self.rank, self.ranks))] for each in bounds]
        self.loader.epoch = number + 1
        found = self.loader.batches(number, [each if len(each) else order[:1] for each in parts])
        for numbers, each in zip(parts, found, strict=True):
            batch = batch_of(each, self.classes)
            yield batch if len(numbers) else StandIn(*batch)


class OwnBatches:
    """An iterable of each process's own; one that ends before the others' has its last batch stand in."""

    def __init__(self, batches: Batches, ranks: Ranks) -> None:
        self.batches = batches
        self.ranks = ranks

    def rows(self) -> int | None:
        return None

    def count(self) -> int | None:
        return None

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        own = self.batches.epoch(number, start)
        last: Batch | None = None
        while True:
            batch = next(own, None)
            if not any(self.ranks.all(batch is not None)):
                return
            if batch is not None:
                last = batch
            elif last is not None:
                batch = StandIn(*last)
            else:
                raise ValueError(f"rank {self.ranks.rank} has no batches, others have: give each some")
            yield batch


def shard(batches: Batches, ranks: Ranks) -> Batches:
    """Return this process's part of batches that all processes have, or the own ones of each.

    Raises:
        ValueError: the processes have other numbers of rows, or of batches.
    """
    if isinstance(batches, Stretches):
        batches.batches = shard(batches.batches, ranks)
        return batches
    made: Batches = OwnBatches(batches, ranks)
    if isinstance(batches, (ArrayBatches, DatasetBatches)):
        made = Shard(batches, ranks.rank, ranks.size)
    elif isinstance(batches, IterableBatches) and is_shared(batches.iterable):
        made = LoaderShard(batches, ranks.rank, ranks.size)
    _agree(made, ranks)
    return made


def _agree(batches: Batches, ranks: Ranks) -> None:
    """Raise where processes would take other numbers of steps."""
    there = ranks.all((batches.rows(), batches.count()))
    for rank, other in enumerate(there):
        if other != there[0]:
            rows = ["an iterable" if each[0] is None else f"{each[0]} rows" for each in (there[0], other)]
            raise ValueError(
                f"expected the same data in all processes, got {rows[0]} in {there[0][1]} batches in rank 0, "
                f"{rows[1]} in {other[1]} in rank {rank}: each takes its part of arrays, data sets and "
                "loaders; iterables, and loaders with data.ShardedSampler, are each one's own"
            )


def is_shared(iterable: Any) -> bool:
    """Whether batches come from a loader whose samples all processes have alike."""
    from ..data.samplers import ShardedSampler

    is_loader = all(hasattr(iterable, name) for name in ("order", "batches", "sampler"))
    return is_loader and not isinstance(iterable.sampler, ShardedSampler)


def share_of(loss: Any, batch: Batch) -> float | None:
    """Return what the loss of a batch counts beside those of other processes; None: losses are summed.

    That is what it was divided by: rows, or the weights of those that count.

    Raises:
        ValueError: losses of several outputs that are divided by different things.
    """
    if isinstance(batch, StandIn):
        return None if getattr(loss, "reduction", "mean") == "sum" else 0.0
    if isinstance(loss, SeveralLosses):
        return _share_of_several(loss, batch)
    if getattr(loss, "reduction", "mean") == "sum":
        return None
    counted = _counted(loss, batch.y)
    if counted is None:
        return total_weight(batch.weight, rows_of(batch.y))
    if batch.weight is None:
        return float(counted.sum(dtype=np.float64))
    of_rows = batch.weight.reshape(-1, *[1] * (counted.ndim - 1))
    return float((counted * of_rows).sum(dtype=np.float64))


class EvaluatedPart(NamedTuple):
    """A process's part of a batch: its loss, what that counts (`share_of`), its rows and what these weigh."""

    loss: float
    share: float | None
    rows: int
    weight: float


def joined(parts: Iterable[Sequence[EvaluatedPart]]) -> tuple[int, float, float]:
    """Return rows, their weight, and the sum of weight times loss of batches that processes have parts of.

    Args:
        parts: of each process, one a batch.
    """
    rows, weight, total = 0, 0.0, 0.0
    for batch in zip(*parts, strict=True):
        there = [part for part in batch if part.rows]
        shares = [part.share for part in there]
        if None in shares:
            loss = sum(part.loss for part in there)
        else:
            loss = sum((part.share or 0.0) * part.loss for part in there) / max(
                sum(filter(None, shares)), TINY
            )
        weighs = sum(part.weight for part in there)
        rows += sum(part.rows for part in there)
        weight += weighs
        total += loss * weighs
    return rows, weight, total


def _counted(loss: Any, target: Any) -> Any:
    """Return what each label counts in the mean of a loss of classes; None where all count the same."""
    of_classes = isinstance(loss, (CrossEntropyLoss, NLLLoss))
    ignored = getattr(loss, "ignore_index", None) if of_classes else None
    if loss is ops.cross_entropy:
        ignored = -100
    labels = isinstance(target, np.ndarray) and target.dtype.kind in "iu"
    if ignored is None or not labels:
        return None
    weights = getattr(loss, "weight", None)
    counts = target != ignored
    if weights is None:
        return counts
    return np.where(counts, np.asarray(weights)[np.where(counts, target, 0)], 0.0)


def _share_of_several(losses: SeveralLosses, batch: Batch) -> float | None:
    """Return the share of the sum of several losses, which must be one of them all."""
    shares = [share_of(each, batch._replace(y=batch.y[key])) for key, each in losses.losses.items()]
    rows = [rows_of(batch.y[key]) for key in losses.losses]
    relative = {share and share / count for share, count in zip(shares, rows, strict=True)}
    if len(relative) > 1:
        raise ValueError(
            "with comm, losses of several outputs must all be means over the same rows, or all sums"
        )
    return shares[0]
