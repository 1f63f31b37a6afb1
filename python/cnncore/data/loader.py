# SPDX-License-Identifier: Apache-2.0
"""Batches of a data set, in an order that follows from the seed, prepared by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .dataset import Arrays, as_dataset
from .samplers import permutation
from .settings import flag, natural, sample_numbers
from .transformed import check_targets, transformed_batch
from .transforms import Transform
from .transforms.draws import Draws

TORCH_NAMES = {
    "num_workers": "workers= is the number of threads that prepare batches",
    "collate_fn": "collate=",
    "batch_sampler": "sampler= gives the order, batch_size= the size of batches",
    "generator": "seed= is that of the order",
    "pin_memory": "batches are numpy arrays: leave it out",
    **dict.fromkeys(
        ("persistent_workers", "prefetch_factor", "worker_init_fn", "multiprocessing_context", "timeout"),
        "workers are threads, which need no settings: leave it out",
    ),
}
"""What to write for arguments of torch's DataLoader."""

Method = TypeVar("Method", bound=Callable[..., Any])


def _without_torch_names(method: Method) -> Method:
    @wraps(method)
    def checked(*args: Any, **options: Any) -> Any:
        for name in options.keys() & TORCH_NAMES.keys():
            raise TypeError(f"DataLoader has no argument {name!r}: {TORCH_NAMES[name]}")
        return method(*args, **options)

    return checked  # type: ignore[return-value]


PREFETCHED_BATCHES_PER_WORKER = 2


class DataLoader:
    """An iterable of batches; every iteration is the next epoch.

    The order of epoch e follows from (seed, e) alone: not from the number of workers, nor from the numpy
    version. Workers are threads: they share the data set's memory, and cnncore's kernels as well as image
    decoders release the interpreter lock. At most twice as many batches as workers wait to be used.

    Args:
        dataset: a `Dataset`, a tuple of arrays with one row a sample, a list of samples, or any object with
            `len()` whose items are samples: tuples of arrays and numbers. torch's datasets are such objects.
        batch_size: samples a batch; the last batch of an epoch may be smaller.
        shuffle: draw a new order for each epoch.
        seed: of the order.
        drop_last: leave out a last batch smaller than `batch_size`.
        transform: called in the workers: a `transforms.Transform`, whose random numbers of a sample follow
            from (seed, epoch, sample number) and which takes images of different sizes; or a function of a
            batch's first array, (batch, ...), that returns what takes its place.
        targets: what each array of a batch is to a `transforms.Transform`: "image", "mask", "boxes", "label"
            or None for what it does not see; further arrays are not seen.
        sampler: gives the order instead of `shuffle` and `seed`: one of `data`'s samplers, any object with
            `order(epoch)` and `len()`, or an iterable of sample numbers, such as torch's samplers.
        collate: a function of a list of samples that returns a batch, such as `pad_collate`; by default
            samples are stacked.
        workers: threads that prepare batches ahead; 0 prepares each when it is asked for.

    Attributes:
        epoch: the number of the next iteration's epoch; set it to resume.

    Raises:
        TypeError: something without samples.
        ValueError: a batch size, seed or worker count out of range, or arrays of different lengths.

    >>> loader = DataLoader((np.arange(5), np.arange(5) * 10), batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in loader]
    [([0, 1], [0, 10]), ([2, 3], [20, 30]), ([4], [40])]
    >>> len(loader), loader.epoch
    (3, 1)
    """

    @_without_torch_names
    def __init__(
        self,
        dataset: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | Callable[[NDArray[Any]], Any] | None = None,
        workers: int = 0,
        targets: Sequence[str | None] = ("image", "label"),
        sampler: Any = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self.dataset = as_dataset(dataset)
        self.batch_size = natural("batch_size", batch_size, 1)
        self.shuffle = flag("shuffle", shuffle)
        self.seed = natural("seed", seed, 0)
        self.drop_last = flag("drop_last", drop_last)
        for name, function in (("transform", transform), ("collate", collate)):
            if function is not None and not callable(function):
                raise TypeError(f"expected {name} to be a function, got {function!r}")
        self.transform = transform
        self.workers = natural("workers", workers, 0)
        self.targets = check_targets(targets)
        if sampler is not None and shuffle:
            raise ValueError("expected shuffle=False with a sampler, which gives the order")
        if sampler is not None and (
            not hasattr(sampler, "__len__") or isinstance(sampler, (str, bytes, Mapping))
        ):
            raise TypeError(f"expected a sampler with order(epoch) and len(), got {type(sampler).__name__}")
        if isinstance(sampler, (list, tuple, np.ndarray)):
            sample_numbers("a sampler's items", sampler)
        if collate is not None and isinstance(transform, Transform):
            raise TypeError("expected a collate or a transforms.Transform, which stacks by itself, got both")
        self.sampler = sampler
        self.collate = collate
        self.epoch = 0

    def __len__(self) -> int:
        samples = len(self.dataset if self.sampler is None else self.sampler)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Arrays]:
        epoch, order = self.epoch, self.order(self.epoch)
        self.epoch += 1
        return self.batches(
            epoch, (order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self)))
        )

    def batches(self, epoch: int, numbers: Iterable[NDArray[np.intp]]) -> Iterator[Arrays]:
        """Yield a batch for each array of sample numbers, as those of an epoch.

        Raises:
            ValueError: samples of different shapes that `collate` does not bring together.
        """
        if self.workers == 0:
            return (self._prepare(epoch, indices) for indices in numbers)
        return self._prefetch(epoch, numbers)

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Return the sample numbers of an epoch in their order.

        Raises:
            ValueError: the sampler gives numbers that the dataset does not have.
        """
        if self.sampler is not None:
            give = getattr(self.sampler, "order", None)
            given = list(self.sampler) if give is None else give(epoch)
            order = sample_numbers("a sampler's items", given)
            if order.ndim != 1:
                raise ValueError(f"expected a row of sample numbers of the sampler, got shape {order.shape}")
            if len(order) and not 0 <= order.min() <= order.max() < len(self.dataset):
                raise ValueError(f"expected sample numbers from 0 to {len(self.dataset) - 1} of the sampler")
            return order
        samples = len(self.dataset)
        return permutation(samples, self.seed, epoch) if self.shuffle else np.arange(samples)

    def _prepare(self, epoch: int, indices: NDArray[np.intp]) -> Any:
        if isinstance(self.transform, Transform):
            draws = Draws.of(self.seed, epoch, indices)
            return transformed_batch(self.dataset, indices, self.transform, draws, self.targets)
        if self.collate is not None:
            return self._collated(self.collate([self.dataset[int(index)] for index in indices]))
        batch = self.dataset.batch(indices)
        if self.transform is None:
            return batch
        return (np.asarray(self.transform(batch[0])), *batch[1:])

    def _collated(self, batch: Any) -> Any:
        if self.transform is None:
            return batch
        if not isinstance(batch, tuple) or isinstance(self.transform, Transform):
            raise TypeError(f"expected a tuple of collate for the transform, got {type(batch).__name__}")
        return (np.asarray(self.transform(batch[0])), *batch[1:])

    def _prefetch(self, epoch: int, batches: Iterable[NDArray[np.intp]]) -> Iterator[Arrays]:
        waiting: deque[Future[Arrays]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="cnncore-loader")
        try:
            for indices in batches:
                waiting.append(pool.submit(self._prepare, epoch, indices))
                if len(waiting) >= PREFETCHED_BATCHES_PER_WORKER * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
