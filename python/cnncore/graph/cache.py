# SPDX-License-Identifier: Apache-2.0
"""Bounded caches of compiled programs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class LRU(Generic[T]):
    """A dictionary that drops the entry not used for longest once it holds `capacity` entries.

    Safe to use from several threads; two threads that miss at once may both make the value.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> T | None:
        """Return the entry for `key` and mark it as used, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: Hashable, value: T) -> T:
        """Store and return `value`."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self.capacity:
                self._entries.popitem(last=False)
        return value

    def find(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the entry for `key`, made first where there is none."""
        entry = self.get(key)
        return self.put(key, make()) if entry is None else entry

    def clear(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._entries.clear()
