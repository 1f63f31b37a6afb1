# SPDX-License-Identifier: Apache-2.0
"""The interface of a dict over what a module has registered by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from .module import Module

Entry = TypeVar("Entry")
_MISSING: Any = object()


class Keyed(Module, Generic[Entry]):
    """Entries by key; a subclass says which table holds them."""

    def _items(self) -> dict[str, Any]:
        """Return the table of entries."""
        raise NotImplementedError

    def __setitem__(self, key: str, value: Any) -> None:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Entry:
        if key not in self._items():
            known = ", ".join(map(repr, self._items())) or "none"
            raise KeyError(f"no entry {key!r}; there are: {known}")
        entry: Entry = self._items()[key]
        return entry

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def keys(self) -> list[str]:
        """Return the keys, in the order in which they were added."""
        return list(self._items())

    def values(self) -> list[Entry]:
        """Return the entries."""
        return list(self._items().values())

    def items(self) -> list[tuple[str, Entry]]:
        """Return (key, entry) pairs."""
        return list(self._items().items())

    def get(self, key: str, default: Any = None) -> Any:
        """Return the entry at `key`, or `default` where there is none."""
        return self._items().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Entry:
        """Return the entry at `key`, which is `default` from now on where there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = _MISSING) -> Entry:
        """Remove the entry at `key` and return it; without one return `default` or raise KeyError."""
        if default is not _MISSING and key not in self:
            missing: Entry = default
            return missing
        entry = self[key]
        with self._changing():
            del self._items()[key]
        return entry

    def popitem(self) -> tuple[str, Entry]:
        """Remove the pair that was added last and return it."""
        if not self._items():
            raise KeyError("no entry is left")
        key = self.keys()[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove all entries."""
        with self._changing():
            self._items().clear()

    def update(self, entries: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace entries.

        Args:
            entries: a dict, another container by key, or (key, entry) pairs.
        """
        pairs: Any = entries.items() if hasattr(entries, "items") else entries
        if isinstance(pairs, str) or not hasattr(pairs, "__iter__"):
            raise TypeError(f"expected a dict or (key, entry) pairs, got {type(entries).__name__}")
        found = [tuple(pair) if isinstance(pair, (tuple, list)) else (pair,) for pair in pairs]
        for pair in found:
            if len(pair) != 2:
                raise ValueError(f"expected (key, entry) pairs, got {pair!r}")
        for key, entry in found:
            self[key] = entry
