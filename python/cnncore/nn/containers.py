# SPDX-License-Identifier: Apache-2.0
"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from .._checks import is_integer
from .keyed import Keyed
from .module import Module
from .positions import Ordered

if TYPE_CHECKING:
    from typing_extensions import Self


class ModuleSequence(Ordered[Module]):
    """Modules in an order, with the interface of a list that `Sequential` and `ModuleList` share."""

    def _items(self) -> dict[str, Any]:
        return self._modules

    def _checked(self, value: Any) -> Module:
        if not isinstance(value, Module):
            hint = f": pass {value.__name__}(...)" if isinstance(value, type) else ""
            raise TypeError(f"expected a Module, got {type(value).__name__}{hint}")
        return value

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))


class Sequential(ModuleSequence):
    """Modules applied one after the other.

    Takes modules as arguments (named "0", "1", ...) or one dict of modules by name. It has the interface of a
    list: indices, slices, `append`, `insert`, `extend`, `pop`, `del`, `+` and `*`; the next call uses what is
    there then. Removing and inserting number all modules anew, as in torch.

    Raises:
        TypeError: something that is no Module.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> net
    Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
    )
    >>> net[-1]
    ReLU()
    >>> net.insert(1, nn.BatchNorm2d(2)).pop(-1)
    ReLU()
    >>> len(net + nn.Sequential(nn.Flatten()))
    3
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
        return self._modules[self._name(index)]  # type: ignore[no-any-return]

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before position `index`; return the Sequential."""
        self._insert(index, module)
        return self

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *self._iterable(other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * self._times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        self._replace(list(self) * self._times(times))
        return self

    def _times(self, times: Any) -> int:
        if not is_integer(times):
            raise TypeError(f"expected an integer to multiply a Sequential by, got {times!r}")
        if times < 1:
            raise ValueError(f"expected an integer of at least 1 to multiply a Sequential by, got {times}")
        return int(times.__index__())


class ModuleList(ModuleSequence):
    """A list of modules, registered under "0", "1", ...; it has no forward of its own.

    >>> from cnncore import nn
    >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=4, out_features=4, bias=True)
    )
    >>> layers.insert(0, nn.Flatten())
    >>> del layers[1:]
    >>> [name for name, _ in (layers + [nn.ReLU()]).named_children()]
    ['0', '1']
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules or ())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self._modules[self._name(index)]  # type: ignore[no-any-return]

    def insert(self, index: int, module: Module) -> None:
        """Add a module before position `index`; the later ones get new names."""
        self._insert(index, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *self._iterable(other)])

    def __repr__(self) -> str:
        """Return a text in which equal neighbours share a line."""
        runs: list[tuple[int, int, str]] = []
        for number, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = runs[-1][0], number, text
            else:
                runs.append((number, number, text))
        lines = [
            (f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x ")
            + text.replace("\n", "\n  ")
            for first, last, text in runs
        ]
        return f"{type(self).__name__}(" + ("\n  " + "\n  ".join(lines) + "\n)" if lines else ")")


class ModuleDict(Keyed[Module]):
    """A dict of modules, registered under their keys; it has no forward of its own.

    >>> from cnncore import nn
    >>> heads = nn.ModuleDict({"colour": nn.Linear(8, 3), "shape": nn.Linear(8, 5)})
    >>> sorted(heads.keys()), "size" in heads
    (['colour', 'shape'], False)
    >>> heads.pop("shape")
    Linear(in_features=8, out_features=5, bias=True)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def _items(self) -> dict[str, Any]:
        return self._modules

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)
