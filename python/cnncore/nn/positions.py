# SPDX-License-Identifier: Apache-2.0
"""The interface of a list over what a module has registered under "0", "1", ..."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._checks import is_integer
from .module import Module

if TYPE_CHECKING:
    from typing_extensions import Self

Entry = TypeVar("Entry")


class Ordered(Module, Generic[Entry]):
    """Entries in an order; a subclass says which table holds them."""

    def _items(self) -> dict[str, Any]:
        """Return the table of entries by name."""
        raise NotImplementedError

    def _checked(self, value: Any) -> Entry:
        """Return an entry, or raise TypeError for what can be none."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._items().values()))

    def __reversed__(self) -> Iterator[Entry]:
        return iter(list(self._items().values())[::-1])

    def __setitem__(self, index: int, value: Any) -> None:
        self._register(self._items(), self._name(index), self._checked(value))

    def __delitem__(self, index: int | slice) -> None:
        entries = list(self)
        if isinstance(index, slice):
            del entries[index]
        else:
            self._name(index)
            del entries[index]
        self._replace(entries)

    def __iadd__(self, others: Iterable[Any]) -> Self:
        return self.extend(others)

    def append(self, value: Any) -> Self:
        """Add an entry at the end; return the container."""
        number = len(self)
        while str(number) in self._items():  # a slice keeps its entries' names
            number += 1
        self._register(self._items(), str(number), self._checked(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add entries at the end; return the container."""
        for value in [self._checked(value) for value in self._iterable(values)]:
            self.append(value)
        return self

    def pop(self, index: int = -1) -> Entry:
        """Remove an entry and return it; the later ones get new names."""
        name = self._name(index)
        entry: Entry = self._items()[name]
        del self[index]
        return entry

    def _insert(self, index: int, value: Any) -> None:
        if not is_integer(index):
            raise TypeError(f"expected an integer position, got {index!r}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"expected a position from {-len(self)} to {len(self)}, got {index}")
        entries = list(self)
        entries.insert(index, self._checked(value))
        self._replace(entries)

    def _replace(self, entries: list[Entry]) -> None:
        """Hold these entries, numbered from 0."""
        with self._changing():
            self._items().clear()
            self._items().update((str(number), entry) for number, entry in enumerate(entries))

    def _name(self, index: Any) -> str:
        if not is_integer(index):
            raise TypeError(
                f"expected an integer or a slice as index, got {index!r}; modules by name are attributes: "
                "getattr(sequential, name)"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index from {-len(self)} to {len(self) - 1}, got {index}")
        name: str = list(self._items())[index]
        return name

    def _iterable(self, values: Any) -> Iterable[Any]:
        if isinstance(values, (str, dict)) or not hasattr(values, "__iter__"):
            raise TypeError(f"expected a list of entries, got {type(values).__name__}")
        return list(values)
