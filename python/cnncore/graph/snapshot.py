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
from threading import get_ident
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
        self._entrance = threading.RLock()  # held by those who close the gate
        self._changing: set[int] = set()  # threads inside
        self._left = threading.Condition()
        self._awaited = False  # set before `_changing` is read, read after it is changed

    def enter(self, targets: Iterable[Any], seen: int) -> int:
        """Begin to change `targets`; returns the value of `taken`, to be given as `seen` the next time."""
        with self._entrance:
            if self.taken != seen:
                for target in targets:
                    target.before_change()
            self._changing.add(get_ident())
            return self.taken

    def leave(self) -> None:
        """End what `enter` began."""
        self._changing.discard(get_ident())
        if self._awaited:
            with self._left:
                self._left.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Wait until no other thread changes anything and let none begin to inside the ``with`` block."""
        with self._entrance:
            self._awaited = True
            with self._left:
                while self._changing - {get_ident()}:
                    self._left.wait()
            self._awaited = False
            yield


gate = _Gate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gate._reset)  # the threads that had passed are not in the child
