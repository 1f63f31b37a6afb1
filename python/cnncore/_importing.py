# SPDX-License-Identifier: Apache-2.0
"""A lock that is held while a part of the package is imported on first use, and while the process forks.

Python's own lock of a module that another thread is importing stays held in a forked child, which then waits
for it for good. So a fork waits until the import is done.
"""

from __future__ import annotations

import os
from threading import RLock, get_ident

FORK_SECONDS = 10.0
"""A fork waits no longer: the thread that imports may be waiting for one that forks while it imports."""

importing = RLock()

_forking: set[int] = set()


def _before_fork() -> None:
    if importing.acquire(timeout=FORK_SECONDS):
        _forking.add(get_ident())


def _after_fork() -> None:
    if get_ident() in _forking:
        _forking.remove(get_ident())
        importing.release()


def _after_fork_in_child() -> None:
    _after_fork()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
