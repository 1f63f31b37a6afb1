# SPDX-License-Identifier: Apache-2.0
"""Sums over processes in a fixed order, beside the computation.

Each process owns one part of a sum's elements. It receives that part of every process (one non-blocking
all-to-all), adds them up in the processes' order and gives the result to all (one non-blocking all-gather).
The bits follow from the number of processes alone, and each sends and receives 2 (n - 1) / n times the
elements, as in a ring, in two rounds instead of 2 (n - 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._core import sum_parts
from .ranks import Ranks

TINY = 1e-30
"""Keeps steps whose rows weigh nothing from a division by zero."""


class Together(NamedTuple):
    """A step of all processes: their rows, what these weigh, and whether any asked to stop after it."""

    rows: int
    weight: float
    stop: bool


class _Sum:
    """A sum under way: its parts are received, then the sums of all parts."""

    def __init__(self, packed: memoryview, received: memoryview, request: Any) -> None:
        self.packed = packed
        self.received = received
        self.request = request
        self.given = False  # whether this process's part has been summed and is on its way to all
        self.done = False


class Exchange:
    """What the steps of one program at a time ask of the other processes (cpp/program/exchange.h)."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.together = Together(0, 0.0, False)
        self._sums: dict[int, _Sum] = {}
        self._mine = np.zeros(5)
        self._all = np.zeros((ranks.size, 5))
        self._opening: Any = None
        self._summed = False
        self._shares = (0.0, 0.0)

    @property
    def rank(self) -> int:
        return self.ranks.rank

    @property
    def size(self) -> int:
        return self.ranks.size

    def open(self, weight: float | None, rows: int, state: tuple[int, int], stop: bool) -> None:
        """Begin a step: tell the other processes what this one brings.

        Args:
            weight: what its loss counts in the mean of all; None: the losses are summed.
            rows: 0 where it takes part without data.
            state: numbers that must be equal in all processes: of settings, and of parameters' contents.
            stop: whether it asks to stop after this step.
        """
        self._summed = weight is None
        self._mine[:] = (1.0 if weight is None else weight, rows, *state, stop)
        self._opening = self.ranks.ordered.Iallgather(self._mine, self._all)

    def call(self, what: str, number: int, first: memoryview, second: memoryview) -> None:
        """Serve a step of the machine."""
        if what == "share":
            self._await_shares()
            factor, active = self._shares
            np.frombuffer(first, np.float32)[0] = factor
            np.frombuffer(second, np.float32)[0] = active
        elif what == "begin":
            self.advance()
            request = self.ranks.ordered.Ialltoall(first, second)
            self._sums[number] = _Sum(first, second, request)
        elif what == "end":
            each = self._sums[number]
            self._wait(lambda: each.done)
            del self._sums[number]
        else:
            request = self.ranks.blocking.Iallgather(first, second)
            self._wait(request.Test)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait while the sums under way go on."""

        def looked() -> bool:
            self.advance()
            return done()

        self.ranks.wait(looked)

    def advance(self) -> None:
        """Bring the sums under way as far as they can come now, without waiting.

        Parts are given to all in the order of the sums, the same in all processes, as MPI asks.
        """
        ready = True
        for each in self._sums.values():
            if each.given:
                each.done = each.done or each.request.Test()
            elif ready and each.request.Test():
                part = each.received[: len(each.received) // self.size]
                sum_parts(each.received, self.size, part)
                each.request = self.ranks.gathering.Iallgather(part, each.packed)
                each.given = True
            ready = ready and each.given

    def _await_shares(self) -> None:
        """Wait for what the processes bring to this step; a program that runs several times asks once."""
        if self._opening is None:
            return
        self.ranks.wait(self._opening.Test)
        self._opening = None
        weights, rows, settings, contents, stops = self._all.T
        self._check(settings, "the ranks' steps differ: in settings, learning rates or steps so far")
        self._check(contents, "the parameters differ: they were changed by other means than steps")
        active = float(rows[self.rank] > 0)
        factor = active if self._summed else weights[self.rank] / max(weights.sum(), TINY)
        self._shares = (float(factor), active)
        self.together = Together(int(rows.sum()), float(weights.sum()), bool(stops.any()))

    def _check(self, values: NDArray[np.float64], message: str) -> None:
        other = np.flatnonzero(values != values[0])
        if other.size:
            raise RuntimeError(f"{message} (those of rank {other[0]} from rank 0's)")
