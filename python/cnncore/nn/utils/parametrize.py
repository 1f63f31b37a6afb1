# SPDX-License-Identifier: Apache-2.0
"""Parameters that are computed from others each time a module uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..containers import ModuleDict
from ..module import Module
from ..parameter import Parameter

__all__ = ["ParametrizationList", "is_parametrized", "remove_parametrizations"]


class ParametrizationList(Module):
    """The originals of one parameter, `original0` and so on, and as child "0" what computes it from them."""

    def __init__(self, function: Module, originals: Sequence[ArrayLike]) -> None:
        super().__init__()
        for i, original in enumerate(originals):
            self.register_parameter(f"original{i}", Parameter(original))
        self.count = len(originals)
        self.add_module("0", function)

    def forward(self) -> Any:
        return self._modules["0"](*(self._parameters[f"original{i}"] for i in range(self.count)))


def register(module: Module, name: str, function: Module, originals: Sequence[ArrayLike]) -> None:
    """Replace a parameter by what `function` computes from new parameters, each time it is read.

    The module's class becomes a subclass, so that other modules of its class stay as they are.
    """
    if is_parametrized(module, name):
        raise ValueError(f"{name!r} of {type(module).__name__} is parametrized already")
    plain = type(module).__mro__[1] if is_parametrized(module) else type(module)
    if not is_parametrized(module):
        module.add_module("parametrizations", ModuleDict())
    delattr(module, name)
    module.parametrizations[name] = ParametrizationList(function, originals)
    module.__class__ = _computing(plain, list(module.parametrizations.keys()))


def _computing(plain: type[Module], names: Sequence[str]) -> type[Module]:
    """Return a subclass whose instances compute these parameters."""

    def computed(name: str) -> property:
        return property(lambda self: self.parametrizations[name]())

    members = {"__module__": plain.__module__, **{name: computed(name) for name in names}}
    return type(f"Parametrized{plain.__name__}", (plain,), members)


def is_parametrized(module: Module, name: str | None = None) -> bool:
    """Return whether a parameter of the module, or the one that is named, is computed from others.

    >>> from cnncore import nn
    >>> is_parametrized(nn.Linear(2, 3))
    False
    """
    listed = module._modules.get("parametrizations")
    return isinstance(listed, ModuleDict) and (name is None or name in listed)


def remove_parametrizations(module: Module, name: str, leave_parametrized: bool = True) -> Module:
    """Make a computed parameter an ordinary one again, with the value that it has now.

    Args:
        module: changed in place.
        name: of the parameter.
        leave_parametrized: True, the only choice there is: several originals cannot be one parameter.

    Returns:
        The module.

    Raises:
        ValueError: the parameter is not computed from others.

    >>> from cnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> list(remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, name):
        raise ValueError(f"{name!r} of {type(module).__name__} is not parametrized")
    if not leave_parametrized:
        raise ValueError("expected leave_parametrized=True: several originals cannot be one parameter")
    value = np.asarray(getattr(module, name))
    plain = type(module).__mro__[1]
    del module.parametrizations[name]
    if len(module.parametrizations):
        module.__class__ = _computing(plain, list(module.parametrizations.keys()))
    else:
        delattr(module, "parametrizations")
        module.__class__ = plain
    module.register_parameter(name, Parameter(value))
    return module
