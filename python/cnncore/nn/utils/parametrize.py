# SPDX-License-Identifier: Apache-2.0
"""Parameters that are computed from others each time a module uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..containers import ModuleDict
from ..module import Module
from ..parameter import Parameter

__all__ = ["ParametrizationList", "is_parametrized", "remove_parametrizations"]

_COMPUTED = "_computed"
"""Attribute of a module: functions of it by name, which compute attributes from parameters of its own."""


class ParametrizationList(Module):
    """The originals of one parameter and, as child "0", what computes it from them.

    A single one is called `original`, several `original0` and so on.
    """

    def __init__(self, function: Module, originals: Sequence[ArrayLike]) -> None:
        super().__init__()
        single = len(originals) == 1
        self.names = ["original"] if single else [f"original{i}" for i in range(len(originals))]
        for name, original in zip(self.names, originals, strict=True):
            self.register_parameter(name, Parameter(original))
        self.add_module("0", function)

    def forward(self) -> Any:
        return self._modules["0"](*(self._parameters[name] for name in self.names))


def register(module: Module, name: str, function: Module, originals: Sequence[ArrayLike]) -> None:
    """Replace a parameter by what `function` computes from new parameters, each time it is read.

    The module's class becomes a subclass, so that other modules of its class stay as they are.
    """
    if is_parametrized(module, name):
        raise ValueError(f"{name!r} of {type(module).__name__} is parametrized already")
    if not is_parametrized(module):
        module.add_module("parametrizations", ModuleDict())
    delattr(module, name)
    module.parametrizations[name] = ParametrizationList(function, originals)
    _reclass(module)


def compute(module: Module, name: str, function: Callable[[Any], Any] | None) -> None:
    """Let an attribute be what a function of the module gives, each time it is read; None ends that."""
    known = dict(module.__dict__.get(_COMPUTED, {}))
    if function is None:
        del known[name]
    else:
        known[name] = function
    setattr(module, _COMPUTED, known)
    _reclass(module)


def computed(module: Module, name: str) -> Any:
    """Return the function that computes an attribute, or None."""
    return module.__dict__.get(_COMPUTED, {}).get(name)


def _reclass(module: Module) -> None:
    """Give a module the class that computes its attributes, or its own where there are none."""
    plain = getattr(type(module), "_plain", type(module))
    names = list(module.__dict__.get(_COMPUTED, {}))
    if is_parametrized(module):
        names += module.parametrizations.keys()
    module.__class__ = _computing(plain, names) if names else plain


def _computing(plain: type[Module], names: Sequence[str]) -> type[Module]:
    """Return a subclass whose instances compute these attributes."""

    def property_of(name: str) -> property:
        return property(lambda self: _value(self, name))

    def reduce(self: Module, protocol: Any) -> Any:
        return _made, (plain, list(names)), self.__getstate__()

    members = {"__module__": plain.__module__, "__reduce_ex__": reduce, "_plain": plain}
    properties = {name: property_of(name) for name in names}
    return type(f"Parametrized{plain.__name__}", (plain,), {**members, **properties})


def _value(module: Module, name: str) -> Any:
    function = computed(module, name)
    return module.parametrizations[name]() if function is None else function(module)


def _made(plain: type[Module], names: list[str]) -> Module:
    """Return an instance without contents, for pickle and deepcopy to fill."""
    made = _computing(plain, names)
    return made.__new__(made)


def is_parametrized(module: Module, name: str | None = None) -> bool:
    """Return whether a parameter of the module, or the one that is named, is computed from others.

    >>> from cnncore import nn
    >>> is_parametrized(nn.Linear(2, 3))
    False
    """
    listed = module._modules.get("parametrizations")
    return isinstance(listed, ModuleDict) and (name is None or name in listed)


def remove_parametrizations(module: Module, name: str, leave_parametrized: bool = True) -> Module:
    """Make a computed parameter an ordinary one again.

    Args:
        module: changed in place.
        name: of the parameter.
        leave_parametrized: keep the value that it has now; False brings back the original, where there is
            only one.

    Returns:
        The module.

    Raises:
        ValueError: the parameter is not computed from others, or from several.

    >>> from cnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> list(remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, name):
        raise ValueError(f"{name!r} of {type(module).__name__} is not parametrized")
    originals = module.parametrizations[name]
    if not leave_parametrized and len(originals.names) > 1:
        raise ValueError("expected leave_parametrized=True: several originals cannot be one parameter")
    value = np.array(getattr(module, name) if leave_parametrized else originals.original)
    del module.parametrizations[name]
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
    _reclass(module)
    module.register_parameter(name, Parameter(value))
    return module
