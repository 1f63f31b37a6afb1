# SPDX-License-Identifier: Apache-2.0
"""Modules that hold parameters in a list or a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, overload

from .keyed import Keyed
from .module import Module
from .parameter import Parameter
from .positions import Ordered


class ParameterList(Ordered[Parameter]):
    """A list of parameters, registered under "0", "1", ...; arrays become parameters.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> scales = nn.ParameterList([np.ones(3), np.zeros((2, 2))])
    >>> scales
    ParameterList(
      (0): Parameter containing: [float32 of size 3]
      (1): Parameter containing: [float32 of size 2x2]
    )
    >>> [name for name, _ in scales.append(np.ones(1)).named_parameters()]
    ['0', '1', '2']
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values or ())

    def _items(self) -> dict[str, Any]:
        return self._parameters

    def _checked(self, value: Any) -> Parameter:
        return as_parameter(value)

    @overload
    def __getitem__(self, index: int) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: int | slice) -> Parameter | ParameterList:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return self._parameters[self._name(index)]  # type: ignore[return-value]

    def insert(self, index: int, value: Any) -> None:
        """Add a parameter before position `index`; the later ones get new names."""
        self._insert(index, value)

    def __add__(self, other: Iterable[Any]) -> ParameterList:
        return ParameterList([*self, *self._iterable(other)])

    def __repr__(self) -> str:
        return _lines(self)


class ParameterDict(Keyed[Parameter]):
    """A dict of parameters, registered under their keys; arrays become parameters.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> parts = nn.ParameterDict({"scale": np.ones(3)})
    >>> parts["shift"] = np.zeros(3)
    >>> [name for name, _ in parts.named_parameters()]
    ['scale', 'shift']
    >>> sorted((parts | {"power": np.ones(1)}).keys())
    ['power', 'scale', 'shift']
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update(() if parameters is None else parameters)

    def _items(self) -> dict[str, Any]:
        return self._parameters

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, as_parameter(value))

    def copy(self) -> ParameterDict:
        """Return another ParameterDict of the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a ParameterDict with `default` under each key."""
        return ParameterDict((key, default) for key in keys)

    def __or__(self, other: Any) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: Any) -> ParameterDict:
        joined = ParameterDict(other)
        joined.update(self.items())
        return joined

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return _lines(self)


def as_parameter(value: Any) -> Parameter:
    """Return a Parameter: `value` itself, or one with its contents.

    Raises:
        TypeError: neither a Parameter nor an array.
    """
    if isinstance(value, Parameter):
        return value
    if value is None:
        raise TypeError("expected a Parameter or an array, got None")
    return Parameter(value)


def _lines(module: Module) -> str:
    lines = []
    for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
        size = "x".join(map(str, parameter.shape)) or "1"
        lines.append(f"  ({name}): Parameter containing: [{parameter.dtype} of size {size}]")
    return f"{type(module).__name__}(" + ("\n" + "\n".join(lines) + "\n" if lines else "") + ")"
