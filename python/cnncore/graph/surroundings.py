# SPDX-License-Identifier: Apache-2.0
"""What traced functions take from around them: remembered when they are traced, compared at each call.

Tracing runs a function once, so that a number in its closure becomes a constant of the program. Watched are
closure cells, globals that the function names, defaults, entries of dicts and lists, attributes of plain
objects that it names, and the same of functions and `forward` methods that it calls. docs/tracing.md tells
users what is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor import Tensor

LARGEST = 1 << 20
"""Bytes of an array whose contents are compared; of larger ones only the identity is."""

MOST = 64
"""Entries of a dict or list that are compared; of longer ones only the length is."""

DEEPEST = 4
"""Levels of containers and objects that are looked into."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_PLAIN_TYPES = frozenset((bool, int, float, str, type(None), dict))
_MISSING = object()
_PACKAGE = __name__.split(".", 1)[0]
_GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)


class Surroundings:
    """What one traced function, and the modules it called, depend on outside themselves."""

    def __init__(self, fn: Any, modules: Iterable[Any]) -> None:
        self._entries: list[list[Any]] = []  # [mapping, key, value]
        self._cells: list[list[Any]] = []  # [cell, value]
        self._attributes: list[list[Any]] = []  # [object, name, value]
        self._sizes: list[tuple[Any, int]] = []
        self._arrays: list[tuple[NDArray[Any], bytes]] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no other object takes the id of one in `_seen`
        self.layers: list[Any] = []  # that the code names
        self.generators: list[Any] = []  # of random numbers, that the code names
        self.draws = False  # whether the code names Python's or numpy's global random numbers
        self._callable(fn)
        for module in modules:
            self._module(module)
        self._seen, self._kept = set(), []
        self.any = bool(self._entries or self._cells or self._attributes or self._sizes or self._arrays)

    def same(self) -> bool:
        """Whether all of it is as it was."""
        for entry in self._entries:
            if entry[0].get(entry[1], _MISSING) is not entry[2] and not _still(entry, entry[0].get(entry[1])):
                return False
        for entry in self._cells:
            try:
                value = entry[0].cell_contents
            except ValueError:
                return False
            if value is not entry[1] and not _still(entry, value):
                return False
        for entry in self._attributes:
            value = getattr(entry[0], entry[1], _MISSING)
            if value is not entry[2] and not _still(entry, value):
                return False
        for container, size in self._sizes:
            if len(container) != size:
                return False
        return all(array.tobytes() == contents for array, contents in self._arrays)

    # -- what is looked at ----------------------------------------------------------------------

    def _first(self, value: Any) -> bool:
        """Whether this object has not been looked at yet."""
        if id(value) in self._seen:
            return False
        self._seen.add(id(value))
        self._kept.append(value)
        return True

    def _callable(self, fn: Any) -> None:
        while isinstance(fn, partial):
            for value in (*fn.args, *fn.keywords.values()):
                self._contents(value, frozenset(), 1)
            fn = fn.func
        owner = getattr(fn, "__self__", None)
        if isinstance(owner, _GENERATORS):  # a method such as rng.normal
            self.generators.append(owner)
        elif isinstance(fn, MethodType):
            self._function(fn.__func__, fn.__self__)
        elif isinstance(fn, FunctionType):
            self._function(fn, None)
        elif callable(fn) and not isinstance(fn, type):
            self._function(type(fn).__call__, fn)

    def _module(self, module: Any) -> None:
        """Look at a layer's `forward`, and at functions that it was given (a loss, a predicate)."""
        self._function(getattr(type(module), "forward", None), module)  # or it is one of the attributes
        for value in tuple(vars(module).values()):
            if type(value) in _PLAIN_TYPES:  # most attributes are, of hundreds of layers
                continue
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, (FunctionType, MethodType, partial)):
                    self._callable(part)

    def _function(self, fn: Any, owner: Any) -> None:
        if not isinstance(fn, FunctionType) or of_library(fn):
            return
        names = _names(fn.__code__)
        self.draws |= "random" in names
        if owner is not None:
            self._object(owner, names, 0)
        if not self._first(fn):
            return
        for cell in fn.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not set yet
                continue
            self._cells.append([cell, value])
            self._contents(value, names, 0)
        for name in names & fn.__globals__.keys():
            value = fn.__globals__[name]
            if not isinstance(value, ModuleType):
                self._entries.append([fn.__globals__, name, value])
            self._contents(value, names, 0)
        for value in (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()):
            self._contents(value, names, 0)
        if fn.__defaults__:
            self._attributes.append([fn, "__defaults__", fn.__defaults__])

    def _contents(self, value: Any, names: frozenset[str], depth: int) -> None:
        """Look into what a name stands for; what it stands for has been noted."""
        if isinstance(value, _PLAIN) or depth > DEEPEST:
            return
        owner = getattr(value, "__self__", None)
        if isinstance(owner, _GENERATORS):
            self.generators.append(owner)
        elif isinstance(value, _GENERATORS):
            self.generators.append(value)
        elif isinstance(value, np.ndarray):
            if value.nbytes <= LARGEST and value.dtype.kind != "O" and self._first(value):
                self._arrays.append((value, value.tobytes()))
        elif isinstance(value, (FunctionType, MethodType, partial)):
            self._callable(value)
        elif type(value) is dict or isinstance(value, (list, tuple)):
            self._container(value, names, depth)
        else:
            self._object(value, names, depth)

    def _container(self, value: Any, names: frozenset[str], depth: int) -> None:
        if not self._first(value):
            return
        if not isinstance(value, tuple):
            self._sizes.append((value, len(value)))
        if len(value) > MOST:
            return
        if isinstance(value, dict):
            for key, entry in value.items():
                self._entries.append([value, key, entry])
                self._contents(entry, names, depth + 1)
            return
        mapping = _Elements(value)
        for number, entry in enumerate(value):
            if not isinstance(value, tuple):
                self._entries.append([mapping, number, entry])
            self._contents(entry, names, depth + 1)

    def _object(self, value: Any, names: frozenset[str], depth: int) -> None:
        """Look at the attributes of an object, class or module of Python that the code names."""
        layer = hasattr(value, "structure_version") and not isinstance(value, type)
        if layer:
            self.layers.append(value)
        if isinstance(value, Tensor) or of_library(value if isinstance(value, type) else type(value)):
            return
        if isinstance(value, ModuleType) and value.__name__.split(".", 1)[0] in (_PACKAGE, "numpy"):
            return
        found: Mapping[str, Any] = getattr(value, "__dict__", {})
        for name in sorted(names & found.keys()):
            attribute = found[name]
            if not isinstance(value, ModuleType) or isinstance(attribute, _PLAIN):
                if not layer:  # a layer counts what is set itself
                    self._attributes.append([value, name, attribute])
                self._contents(attribute, names, depth + 1)
        if isinstance(value, (type, ModuleType)):
            return
        for name in ("__call__", *sorted(names)):
            method = getattr(type(value), name, None)
            if isinstance(method, FunctionType) and self._first(method):
                self._function(method, value)


class _Elements:
    """A list with the `get` of a dict."""

    def __init__(self, elements: list[Any]) -> None:
        self._elements = elements

    def get(self, number: int, default: Any = None) -> Any:
        return self._elements[number] if number < len(self._elements) else default


def _still(entry: list[Any], value: Any) -> bool:
    """Whether another object is the same plain value; it is remembered then."""
    old = entry[-1]
    if type(value) is not type(old) or not isinstance(value, _PLAIN):
        return False
    if value != old and not (value != value and old != old):
        return False
    if isinstance(value, (float, complex, np.generic)) and repr(value) != repr(old):  # 0.0 and -0.0
        return False
    entry[-1] = value
    return True


def of_library(fn: Any) -> bool:
    """Whether a function or class is cnncore's own or numpy's."""
    return str(getattr(fn, "__module__", "")).partition(".")[0] in (_PACKAGE, "numpy")


@lru_cache(maxsize=1024)
def _names(code: CodeType) -> frozenset[str]:
    """Return the globals and attributes that code names, with those of the functions inside it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return frozenset(names)


# -- random numbers -------------------------------------------------------------------------------


class RandomNumbers:
    """The states of random generators before a function is traced."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._global = _global_states()
        self._own: dict[int, tuple[Any, Any]] = {}
        for generator in Surroundings(fn, ()).generators:
            self._note(generator)
        self.look_at(getattr(fn, "__self__", None))

    def look_at(self, owner: Any) -> None:
        """Note the generators that an object (a layer) holds."""
        for value in tuple(getattr(owner, "__dict__", {}).values()):
            self._note(value)

    def _note(self, value: Any) -> None:
        if isinstance(value, _GENERATORS) and id(value) not in self._own:
            self._own[id(value)] = value, _state(value)

    def drawn(self, names_global: bool) -> bool:
        """Whether numbers have been drawn since; `names_global`: whether the code names global generators,
        which other threads may have used as well."""
        if names_global and _global_states() != self._global:
            return True
        return any(_state(generator) != state for generator, state in self._own.values())


def _state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator._bit_generator
    return _comparable(bits.state)


def _global_states() -> tuple[Any, ...]:
    return random.getstate(), _comparable(np.random.get_state(legacy=False))


def _comparable(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _comparable(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state
