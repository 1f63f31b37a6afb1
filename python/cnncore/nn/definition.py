# SPDX-License-Identifier: Apache-2.0
"""How to make a model again, as JSON: the tree of its modules with what each was made with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from .construction import HOMES, PLAIN, Construction, at_home
from .containers import ModuleDict, ModuleList, Sequential
from .module import Module

_OWN = ("training", "structure_version", "class_names", "preprocessing")
_CONTAINERS = (Sequential, ModuleList, ModuleDict)
"""Made empty and filled with their parts, which may have changed since; so are classes of that kind that take
nothing else, and those inside others whose arguments are not known."""


class Indescribable(Exception):  # noqa: N818 - a signal, not an error
    """A module that cannot be made again from a description."""


def describe(model: Module) -> dict[str, Any]:
    """Return the definition of a model.

    Raises:
        Indescribable: a module of it cannot be made again, with the reason.
    """
    known: dict[int, str] = {}
    tree = _described(model, "", known)
    tied: dict[int, list[str]] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        tied.setdefault(id(parameter), []).append(path)
    return {"tree": tree, "tied": [paths for paths in tied.values() if len(paths) > 1]}


def _described(module: Module, path: str, known: dict[int, str]) -> dict[str, Any]:
    if id(module) in known:
        return {"same": known[id(module)]}
    known[id(module)] = path
    made: Construction = module.__dict__["_construction"]
    name = f"{path or 'the model'} ({type(module).__name__})"
    if "parametrizations" in module._modules:
        raise Indescribable(
            f"{name} has parametrizations: nn.utils.parametrize.remove_parametrizations first"
        )
    if made.unknown and not isinstance(module, _CONTAINERS):
        raise Indescribable(f"{name} was made with {made.unknown}")
    takes_parts = type(module).__init__ in {kind.__init__ for kind in _CONTAINERS}
    filled = isinstance(module, _CONTAINERS) and (takes_parts or bool(made.unknown))
    return {
        "class": _name_of(made.kind),
        "args": [] if filled else [_packed(value, name) for value in made.args],
        "kwargs": {} if filled else {key: _packed(value, name) for key, value in made.kwargs.items()},
        "attributes": {
            key: value for key, value in map(_attribute, vars(module).items()) if value is not None
        },
        "children": {
            key: None if child is None else _described(child, f"{path}.{key}" if path else key, known)
            for key, child in module._modules.items()
        },
    }


def _attribute(item: tuple[str, Any]) -> tuple[str, Any]:
    """Return an attribute that is a plain setting, packed; None in place of others."""
    name, value = item
    if name.startswith("_") or name in _OWN:
        return name, None
    try:
        return name, _packed(value, name, plain=True)
    except Indescribable:
        return name, None


def _name_of(value: Any) -> str:
    return f"{value.__module__}:{value.__qualname__}"


def _packed(value: Any, place: str, plain: bool = False) -> Any:
    """Return a value as a tagged list that JSON holds."""
    if isinstance(value, PLAIN):
        return ["plain", value]
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [type(value).__name__, [_packed(part, place, plain) for part in value]]
    if isinstance(value, dict):
        return [
            "dict",
            [[_packed(key, place, plain), _packed(part, place, plain)] for key, part in value.items()],
        ]
    if plain:
        raise Indescribable(place)
    if isinstance(value, Module):
        return ["module", _described(value, place, {})]
    if isinstance(value, tuple):
        return ["record", _name_of(type(value)), [_packed(part, place) for part in value]]
    if isinstance(value, partial):
        named = [[key, _packed(part, place)] for key, part in value.keywords.items()]
        return ["partial", _packed(value.func, place), [_packed(part, place) for part in value.args], named]
    if at_home(value):
        return ["name", _name_of(value)]
    raise Indescribable(f"{place} was made with an argument of type {type(value).__name__}")


class Builder:
    """Makes modules from definitions.

    Args:
        custom: classes of modules that are not cnncore's own, which definitions may name.
    """

    def __init__(self, custom: Iterable[type[Module]] = ()) -> None:
        self.custom = {kind.__name__: kind for kind in custom}

    def build(self, definition: Mapping[str, Any]) -> Module:
        """Return a new model.

        Raises:
            ValueError: the definition is damaged, or names a class that is not known.
        """
        model = self._made(definition["tree"])
        self._share(model, model, definition["tree"])
        for paths in definition["tied"]:
            first = model.get_parameter(paths[0])
            for path in paths[1:]:
                owner, _, name = path.rpartition(".")
                setattr(model.get_submodule(owner), name, first)
        return model

    def _made(self, entry: Mapping[str, Any]) -> Module:
        kind = self._class(entry["class"])
        args = [self._unpacked(value) for value in entry["args"]]
        kwargs = {key: self._unpacked(value) for key, value in entry["kwargs"].items()}
        module: Module = kind(*args, **kwargs)
        self._align(module, entry)
        return module

    def _align(self, module: Module, entry: Mapping[str, Any]) -> None:
        """Give a new module the parts and settings that the described one had in the end."""
        for name in [name for name in module._modules if name not in entry["children"]]:
            delattr(module, name)
        for name, child in entry["children"].items():
            present = module._modules.get(name)
            if child is None:
                if present is not None:
                    setattr(module, name, None)
            elif "same" in child:
                continue
            elif present is not None and _alike(present, child):
                self._align(present, child)
            else:
                module._register(module._modules, name, self._made(child))
        for name, packed in entry["attributes"].items():
            value = self._unpacked(packed)
            if vars(module).get(name, module) != value:
                setattr(module, name, value)

    def _share(self, model: Module, module: Module, entry: Mapping[str, Any]) -> None:
        """Let modules that stand in several places be one."""
        for name, child in entry["children"].items():
            if child is None:
                continue
            if "same" in child:
                module._register(module._modules, name, model.get_submodule(child["same"]))
            else:
                self._share(model, module._modules[name], child)

    def _class(self, name: str) -> type[Module]:
        found = self._named(name)
        if not (isinstance(found, type) and issubclass(found, Module)):
            raise ValueError(f"expected a class of modules, got {name}")
        return found

    def _named(self, name: str) -> Any:
        home, _, path = name.partition(":")
        if not any(home == own or home.startswith(f"{own}.") for own in HOMES):
            short = path.rpartition(".")[2]
            if short in self.custom:
                return self.custom[short]
            raise ValueError(
                f"the model has modules of the class {short}, which is not cnncore's own: "
                f"cc.load_model(path, custom=[{short}])"
            )
        value: Any = import_module(home)
        for part in path.split("."):
            value = getattr(value, part)
        if not at_home(value):
            raise ValueError(f"expected a function or class of cnncore, got {name}")
        return value

    def _unpacked(self, packed: Any) -> Any:
        kind, *rest = packed
        if kind == "plain":
            return rest[0]
        if kind in ("list", "tuple"):
            values = [self._unpacked(part) for part in rest[0]]
            return values if kind == "list" else tuple(values)
        if kind == "dict":
            return {self._unpacked(key): self._unpacked(part) for key, part in rest[0]}
        if kind == "module":
            return self._made(rest[0])
        if kind == "record":
            return self._named(rest[0])(*(self._unpacked(part) for part in rest[1]))
        if kind == "partial":
            function, args, named = self._unpacked(rest[0]), rest[1], rest[2]
            return partial(function, *map(self._unpacked, args), **{k: self._unpacked(v) for k, v in named})
        if kind == "name":
            return self._named(rest[0])
        raise ValueError(f"expected a value of a definition, got {kind!r}")


def _alike(module: Module, entry: Mapping[str, Any]) -> bool:
    """Whether a module was made by the call that an entry describes."""
    made: Construction = module.__dict__["_construction"]
    if isinstance(module, _CONTAINERS):
        return bool(entry["class"] == _name_of(made.kind))
    try:
        args = [_packed(value, "") for value in made.args]
        kwargs = {key: _packed(value, "") for key, value in made.kwargs.items()}
    except Indescribable:
        return False
    if entry["class"] != _name_of(made.kind) or made.unknown:
        return False
    return bool(_as_json([args, kwargs]) == _as_json([entry["args"], entry["kwargs"]]))


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
