# SPDX-License-Identifier: Apache-2.0
"""What passes over memory: pooling, norms, activations, resampling, embeddings, losses, optimiser steps.

Tensors are larger than the caches; images are channels-last for cnncore, and for torch whichever of both
formats is faster. A gradient is that of the result's sum. GB/s count what has to be read and written once,
gradients as well; what batch norm reads counts twice, because its sums come first. Their share is of what a
plain copy moves in turns with the row's other calls: of as many bytes, or so many that no cache holds them,
half of them written. An optimiser's row is a training step whose gradient costs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops
from cnncore.bench.timing import interleaved

from .convolution import BURST_SECONDS
from .record import OURS, LayerRow

Array = NDArray[Any]
Peer = Callable[["Function", str], dict[str, Callable[[], Any]]]

COPY = "copy"
COPIED = 2**28
"""Bytes at least: half of them are four times what a third cache of 32 MB holds."""


@dataclass(frozen=True)
class Function:
    """One operation: `name` in `ops` and in torch.nn.functional or torch, positional arrays and settings."""

    family: str
    name: str
    arrays: tuple[Array, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    read: float | None = None
    """Bytes it has to read, where these are not all arrays'."""
    linear: bool = False
    """Whether its gradient reads no argument but indices."""
    passes: int = 1
    """How often what it reads comes from memory: twice where sums over all of it are needed before the first
    result, and no cache holds it until then."""

    @property
    def differentiated(self) -> tuple[int, ...]:
        """Arguments that have a gradient."""
        return tuple(i for i, array in enumerate(self.arrays) if array.dtype == np.float32)

    def ours(self, *arrays: Any) -> Any:
        """The operation on arrays or tensors."""
        return getattr(ops, self.name)(*arrays, **self.settings)

    def bytes_of(self, direction: str, result: Array, found: Sequence[Array]) -> float:
        """What a direction has to read and write once.

        An activation's gradient takes the ones that the result's sum gives it as a number, others as
        an array.
        """
        read = float(sum(array.nbytes for array in self.arrays)) if self.read is None else self.read
        written = float(sum(array.nbytes for array in found))
        if direction == "forward":
            return self.passes * read + written
        if self.linear:
            read = float(sum(array.nbytes for array in self.arrays if array.dtype != np.float32))
        given = result.nbytes if self.family != "activations" else 0
        return self.passes * (read + given) + written


def draw(*shape: int, seed: int = 0, channels_last: bool = True) -> Array:
    """Normal numbers, signals, images and volumes in channels-last memory."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if len(shape) < 3 or not channels_last:
        return values
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.01, "momentum": 0.9},
    "Adam": {"lr": 0.01},
    "AdamW": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01},
    "Adagrad": {"lr": 0.01},
    "Adadelta": {"lr": 0.01},
    "Rprop": {"lr": 0.01},
    "ASGD": {"lr": 0.01},
    "Adafactor": {"lr": 0.01},
    "LARS": {"lr": 0.01, "momentum": 0.9},
    "LAMB": {"lr": 0.01},
    "Lion": {"lr": 0.01},
    "Muon": {"lr": 0.01},
}
"""Name in `optim` and torch.optim -> settings; steps on one matrix."""
PARAMETER = (2048, 2048)
STATES = dict.fromkeys(("SGD", "RMSprop", "Adagrad", "ASGD", "LARS", "Lion"), 1) | dict.fromkeys(
    ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adadelta", "Rprop", "LAMB"), 2
)
"""Arrays of the shape of the parameter that a step reads and writes beside it; Muon makes products, Adafactor
keeps means of rows and columns."""


def optimizer_step(name: str) -> Callable[[], Any]:
    """A step of cnncore's: the loss is the sum of the parameter times an array, which is the gradient."""
    weight = nn.Parameter(draw(*PARAMETER))
    factors = draw(*PARAMETER, seed=1)
    step = cc.train_step(lambda g: ops.sum(weight * g), getattr(cc.optim, name)([weight], **OPTIMIZERS[name]))
    return lambda: step(factors)


def measure(
    functions: Iterable[Function], filter: str, seconds: float, peers: Sequence[Peer]
) -> Iterator[LayerRow]:
    """Time what `filter` finds, forward and with gradients, against the peers' same operations."""
    for function in functions:
        for direction in ("forward", "gradient"):
            row = LayerRow(function.family, function.label or function.name, direction, 0, "")
            if not re.search(filter, f"{row.family} {row.name} {direction}"):
                continue
            run, found = _call(function, direction)
            row.bytes = function.bytes_of(direction, np.asarray(function.ours(*function.arrays)), found)
            calls: dict[str, Callable[[], Any]] = {OURS: run}
            for peer in peers:
                calls.update(peer(function, direction))
            yield _timed(row, calls, seconds)
    for name in OPTIMIZERS:
        row = LayerRow("optimisers", name, "step", 0, "x".join(map(str, PARAMETER)))
        if name in STATES:  # the parameter and the states twice, the gradient once
            row.bytes = 4.0 * float(np.prod(PARAMETER)) * (3 + 2 * STATES[name])
        if not re.search(filter, f"{row.family} {row.name}"):
            continue
        calls = {OURS: optimizer_step(name)}
        for peer in peers:
            calls.update(peer(Function("optimisers", name, ()), "step"))
        yield _timed(row, calls, seconds)


def copying(size: float, threads: int) -> Callable[[], Any]:
    """Copies `size` / 2 bytes, a part on each thread."""
    source = np.ones((threads, max(1, int(size) // (8 * threads))), np.float32)
    target = np.zeros_like(source)
    if threads == 1:
        return lambda: np.copyto(target, source)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.copyto, target, source))


def _call(function: Function, direction: str) -> tuple[Callable[[], Any], list[Array]]:
    if direction == "forward":
        return lambda: function.ours(*function.arrays), [function.ours(*function.arrays)]
    gradient = cc.grad(lambda *arrays: ops.sum(function.ours(*arrays)), argnums=function.differentiated)
    return lambda: gradient(*function.arrays), list(gradient(*function.arrays))


def _timed(row: LayerRow, calls: dict[str, Callable[[], Any]], seconds: float) -> LayerRow:
    copied = max(row.bytes, COPIED)
    if row.bytes:
        calls[COPY] = copying(copied, cc.get_num_threads())
    row.times = interleaved(calls, seconds, burst=BURST_SECONDS)
    if row.bytes:
        row.memory_gbytes = copied / row.times.pop(COPY).minimum / 1e9
    return row
