# SPDX-License-Identifier: Apache-2.0
"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from .module import Module

OrderedT = TypeVar("OrderedT", bound="Ordered")


class Ordered(Module):
    """Modules in an order, with the access by position that `Sequential` and `ModuleList` share."""

    def append(self: OrderedT, module: Module) -> OrderedT:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._entry(index)[0], module)

    def _entry(self, index: int) -> tuple[str, Module]:
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(
                f"expected an integer or a slice as index, got {index!r}; modules by name are attributes: "
                "getattr(sequential, name)"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index from {-len(self)} to {len(self) - 1}, got {index}")
        entries: list[tuple[str, Module]] = list(self._modules.items())
        return entries[index]


class Sequential(Ordered):
    """Modules applied one after the other.

    Takes modules as arguments (named "0", "1", ...) or one dict of modules by name.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> net
    Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
    )
    >>> net[-1]
    ReLU()
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
            return
        for index, entry in enumerate(modules):
            if not isinstance(entry, Module):
                raise TypeError(f"expected modules, got {type(entry).__name__} at position {index}")
            self.add_module(str(index), entry)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        return self._entry(index)[1]


class ModuleList(Ordered):
    """A list of modules, registered under "0", "1", ...; it has no forward of its own.

    >>> from cnncore import nn
    >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    >>> len(layers), [name for name, _ in layers.named_parameters()][0]
    (3, '0.weight')
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Add a module before position `index`; the later ones get new names."""
        modules = list(self)
        modules.insert(index, module)
        self._modules.clear()
        self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self._entry(index)[1]


class ModuleDict(Module):
    """A dict of modules, registered under their keys; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules by name."""
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> list[str]:
        """Return the names."""
        return list(self._modules)

    def values(self) -> list[Module]:
        """Return the modules."""
        return list(self._modules.values())

    def items(self) -> list[tuple[str, Module]]:
        """Return (name, module) pairs."""
        return list(self._modules.items())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        module: Module = self._modules[name]
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        delattr(self, name)
