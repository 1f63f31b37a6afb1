# SPDX-License-Identifier: Apache-2.0
"""Snapshots of parameters: they share a parameter's memory until it changes, and keep a copy from then on.

Whoever changes a parameter in place passes the gate below: programs that write parameters or buffers for the
length of a run, `assign` for the length of a copy. A snapshot of the parameter copies its contents on the way
in, and hands the copy to the programs that read it. Whoever takes snapshots and builds programs on them holds
the gate closed, so that no change falls in between.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from numpy.typing import NDArray

from .arrays import aligned_copy


class Reader(Protocol):
    """A program whose runs read a snapshot's memory."""

    def rebind(self, snapshot: Snapshot, memory: NDArray[Any]) -> None:
        """Read `memory` from now on; returns when no run reads the old memory any more."""


class Snapshot:
    """The contents that a parameter or buffer has when this is made. `memory` is never written to."""

    def __init__(self, origin: Any) -> None:
        self.memory: NDArray[Any] = origin.memory
        self._origin = weakref.ref(origin)
        self._copied = False
        self._readers: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def shared(self) -> bool:
        """Whether the memory is that of a living parameter, and so costs nothing."""
        return not self._copied and self._origin() is not None

    def add_reader(self, program: Reader) -> None:
        """Let `program` know when the memory moves."""
        self._readers.add(program)

    def copy(self) -> None:
        """Stop sharing: the parameter is about to change."""
        memory = aligned_copy(self.memory)
        for program in list(self._readers):
            program.rebind(self, memory)
        self.memory = memory
        self._copied = True


class _Gate:
    """Lets changes of parameters pass side by side, and snapshots be taken while there are none."""

    def __init__(self) -> None:
        self.taken = 0  # grows with each snapshot; who has seen the present value has let all of them copy
        self._reset()

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._changing = 0
        self._closing = 0

    def enter(self, targets: Iterable[Any], seen: int) -> int:
        """Begin to change `targets`; returns the value of `taken`, to be given as `seen` the next time."""
        with self._condition:
            while self._closing:
                self._condition.wait()
            if self.taken != seen:
                for target in targets:
                    target.before_change()
            self._changing += 1
            return self.taken

    def leave(self) -> None:
        """End what `enter` began."""
        with self._condition:
            self._changing -= 1
            if not self._changing:
                self._condition.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Wait until nothing changes and let nothing change inside the ``with`` block."""
        with self._condition:
            self._closing += 1
            try:
                while self._changing:
                    self._condition.wait()
            finally:
                self._closing -= 1
                if not self._closing:
                    self._condition.notify_all()  # they get the lock when this block has ended
            yield


gate = _Gate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gate._reset)  # the threads that had passed are not in the child
