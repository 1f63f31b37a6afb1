# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, as one of them sees them."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from itertools import zip_longest
from types import TracebackType
from typing import Any

import numpy as np

from .. import runtime

_FAREWELL = 1
"""The tag of the message that a process sends when it ends."""

_BRISK = 1e-3
"""Seconds of waiting without a pause between two looks."""

_PAUSE = 50e-6

_PATIENCE = 1.0
"""Seconds of waiting between two looks at who has ended."""

_NOBODYS = ("cores available to the process", "cgroup CPU quota")
"""Where a number of threads comes from that nobody has asked for."""

_NEEDED = ("Get_rank", "Get_size", "Dup", "Ialltoall", "Iallgather", "Ibarrier", "Bcast", "Abort")


class Ranks:
    """The processes of a communicator.

    A process that ends by an exception ends all of them, and one that ends while others wait for it is told
    of: nobody waits for ever.

    Attributes:
        rank: this process's number.
        size: how many there are.
    """

    def __init__(self, comm: Any) -> None:
        check_comm(comm)
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        # Each sees its calls in one order in all processes; what depends on times has one of its own.
        self.ordered, self.gathering, self.blocking, self._ends = (comm.Dup() for _ in range(4))
        self._share_cores()
        atexit.register(self._say_farewell)
        hook = sys.excepthook

        def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            hook(kind, error, trace)
            self._abort()

        sys.excepthook = end_all

    def __repr__(self) -> str:
        return f"Ranks(rank={self.rank}, size={self.size})"

    def end_all(self, error: BaseException) -> None:
        """End all processes because of an exception, which is printed."""
        print(f"rank {self.rank} of {self.size} ends all of them:", file=sys.stderr)
        traceback.print_exception(type(error), error, error.__traceback__)
        self._abort()

    def _abort(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._ends.Abort(1)

    def wait(self, done: Any) -> None:
        """Return when `done()` is true; raise when another process has ended before."""
        begun = looked = time.perf_counter()
        while not done():
            now = time.perf_counter()
            time.sleep(0 if now - begun < _BRISK else _PAUSE)
            if now - looked > _PATIENCE:
                looked = now
                self._look_for_ends()

    def _look_for_ends(self) -> None:
        for rank in range(self.size):
            if rank != self.rank and self._ends.Iprobe(source=rank, tag=_FAREWELL):
                raise RuntimeError(
                    f"rank {rank} has ended while rank {self.rank} waits for it: all ranks take as many "
                    "steps and call fit alike"
                )

    def _say_farewell(self) -> None:
        for rank in range(self.size):
            if rank != self.rank:
                self._ends.Isend(np.empty(0, np.uint8), dest=rank, tag=_FAREWELL)

    def _meet(self) -> None:
        """Wait until all processes are here: what blocks after that waits for none that has ended."""
        self.wait(self.blocking.Ibarrier().Test)

    def all(self, value: Any) -> list[Any]:
        """Return what each process gives, in their order."""
        self._meet()
        found: list[Any] = self.blocking.allgather(value)
        return found

    def first(self, value: Any) -> Any:
        """Return what the first process gives."""
        self._meet()
        return self.blocking.bcast(value)

    def share_first(self, stored: Iterable[Any]) -> None:
        """Give parameters and buffers the values that they have in the first process.

        Raises:
            ValueError: they are others in another process.
        """
        stored = list(stored)
        forms = self.all([each.shape for each in stored])
        for rank, form in enumerate(forms):
            if form != forms[0]:
                differing = next(
                    (pair for pair in zip_longest(forms[0], form) if pair[0] != pair[1]), (forms[0], form)
                )
                raise ValueError(
                    f"expected the same model in all processes: rank 0 has {len(forms[0])} parameters or "
                    f"buffers, rank {rank} {len(form)}; the first that differ are {differing[0]} and "
                    f"{differing[1]}"
                )
        for each in stored:
            values = each.storage.read()
            self.blocking.Bcast(values)
            if self.rank:
                each.storage.write(values)

    def _share_cores(self) -> None:
        """Use this process's part of the cores where nobody has said how many threads to use."""
        cores = frozenset(os.sched_getaffinity(0))
        there = self.all((socket.gethostname(), cores))
        if runtime.info()["thread_source"] not in _NOBODYS:
            return
        host, _ = there[self.rank]
        sharing = [others for name, others in there if name == host and others & cores]
        together = min(runtime.get_num_threads(), len(frozenset().union(*sharing)))
        runtime.set_num_threads(max(1, together // len(sharing)))


def check_comm(comm: Any) -> None:
    """Raise unless this is a communicator."""
    if not all(hasattr(comm, name) for name in _NEEDED):
        raise TypeError(f"expected comm as an MPI communicator (mpi4py.MPI.COMM_WORLD), got {comm!r}")


_known: list[tuple[Any, Ranks]] = []


def ranks_of(comm: Any) -> Ranks | None:
    """Return the processes of an MPI communicator; None for no or one process.

    Raises:
        TypeError: something else.
    """
    if comm is None:
        return None
    check_comm(comm)
    if comm.Get_size() == 1:
        return None
    for known, ranks in _known:
        if known == comm:
            return ranks
    made = Ranks(comm)
    _known.append((comm, made))
    return made
