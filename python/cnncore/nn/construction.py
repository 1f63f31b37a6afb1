# SPDX-License-Identifier: Apache-2.0
"""What modules were made with, so that a file can say how to make them again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from inspect import Signature

PLAIN = (bool, int, float, str, type(None))

HOMES = ("cnncore.nn", "cnncore.ops", "cnncore.models", "cnncore.cli.networks")
"""Packages whose functions and classes a definition may name."""


class Construction(NamedTuple):
    """The call that made a module: its class and the arguments, or what is unknown of them."""

    kind: type
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    unknown: str = ""


class InitSignature:
    """The `__signature__` of a module's class: that of `__init__`, which `Module.__new__` would hide."""

    def __get__(self, instance: object, owner: type) -> Signature:
        from inspect import Signature, signature

        if instance is not None:
            raise AttributeError("__signature__")
        _, *arguments = signature(owner.__init__).parameters.values()  # type: ignore[misc]
        return Signature(arguments)


class Unknown(Exception):  # noqa: N818 - a signal, not an error
    """An argument that a file cannot hold."""


def remember(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Construction:
    """Return the construction of a module by a call; arguments that change later are copied."""
    try:
        return Construction(
            kind, tuple(map(kept, args)), {name: kept(value) for name, value in kwargs.items()}
        )
    except Unknown as reason:
        return Construction(kind, unknown=str(reason))


def kept(value: Any) -> Any:
    """Return an argument as it is remembered.

    Raises:
        Unknown: it is none of numbers, texts, modules, cnncore's own functions and classes, and lists, tuples
            and dicts of such.
    """
    if isinstance(value, PLAIN) or hasattr(value, "named_modules"):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields") and at_home(type(value)):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(map(kept, value)) if type(value) in (list, tuple) else tuple(map(kept, value))
    if isinstance(value, dict):
        return {kept(key): kept(part) for key, part in value.items()}
    if isinstance(value, (FunctionType, type)) and at_home(value):
        return value
    if isinstance(value, partial):
        return partial(
            kept(value.func), *map(kept, value.args), **{n: kept(v) for n, v in value.keywords.items()}
        )
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    raise Unknown(f"an argument of type {type(value).__name__}")


def at_home(value: Any) -> bool:
    """Whether a function or class is one of cnncore's that can be found by its name."""
    home = getattr(value, "__module__", "") or ""
    found = any(home == name or home.startswith(f"{name}.") for name in HOMES)
    return found and "<" not in value.__qualname__
