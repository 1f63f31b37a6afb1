# SPDX-License-Identifier: Apache-2.0
"""Locks that a forked child finds free, whichever thread of the parent held them.

A forked child has one thread, the one that forked; a lock that another thread held stays held in it for good.
So every lock of the package is made by `fork_safe`. The machine does the same with its own (cpp/core/fork.h),
and lets no fork fall into a change of parameters, buffers or optimiser state (cpp/program/storage.h).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Lock = TypeVar("Lock")

_makers: WeakKeyDictionary[Any, dict[str, Callable[[], Any]]] = WeakKeyDictionary()


def fork_safe(owner: Any, name: str, make: Callable[[], Lock]) -> Lock:
    """Return ``make()``; in a forked child, attribute `name` of `owner` becomes a new one.

    Args:
        owner: an instance, or a module for a lock of its own; held weakly.
        name: of the attribute that the lock is kept in.
        make: makes a lock: ``threading.Lock``, ``threading.RLock``.
    """
    _makers.setdefault(owner, {})[name] = make
    return make()


def _renew() -> None:
    for owner, makers in list(_makers.items()):
        for name, make in makers.items():
            setattr(owner, name, make())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
