# SPDX-License-Identifier: Apache-2.0
"""Bounded caches of compiled programs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

from .locks import fork_safe

T = TypeVar("T")

BUDGET = 1 << 27
"""Bytes that the programs of one cache may hold together (128 MB); a single program may need more."""


def constant_key(value: Any) -> Hashable:
    """Return what tells a constant from all others in a key: 1, 1.0 and True are equal, 0.0 and -0.0 too."""
    if isinstance(value, (float, np.floating)) and value == 0:
        return type(value), repr(value)
    return type(value), value


def _free(entry: object) -> int:
    return 0


class LRU(Generic[T]):
    """A dictionary that drops what has not been used for longest.

    Args:
        capacity: entries kept at most.
        cost: bytes an entry holds; entries go until the sum is below `budget` or one is left.
        budget: see `cost`. Compiling again takes milliseconds, memory held for nothing is gone for long.

    Safe to use from several threads; two threads that miss at once may both make the value.
    """

    def __init__(self, capacity: int, cost: Callable[[T], int] = _free, budget: int = BUDGET) -> None:
        self.capacity = capacity
        self.budget = budget
        self._cost = cost
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._last: tuple[Hashable, T] | None = None  # what is asked for again and again
        self._lock = fork_safe(self, "_lock", threading.Lock)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """Return the entries, the least recently used first."""
        with self._lock:
            return list(self._entries.values())

    def get(self, key: Hashable) -> T | None:
        """Return the entry for `key` and mark it as used, or None."""
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                self._last = key, entry
            return entry

    def put(self, key: Hashable, value: T) -> T:
        """Store and return `value`."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            self._last = key, value
            held = sum(map(self._cost, self._entries.values()))
            while len(self._entries) > self.capacity or (held > self.budget and len(self._entries) > 1):
                _, dropped = self._entries.popitem(last=False)
                held -= self._cost(dropped)
        return value

    def clear(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._entries.clear()
            self._last = None
