# SPDX-License-Identifier: Apache-2.0
"""Python operators of parameters: graph operations while tracing, numpy's otherwise."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .. import ops
from ..graph.trace import is_tracing


def _binary(name: str, plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(self: Any, other: Any) -> Any:
        if is_tracing():
            return getattr(ops, name)(self, other)
        return plain(self.numpy(), _plain(other))

    return apply


def _reflected(name: str, plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(self: Any, other: Any) -> Any:
        if is_tracing():
            return getattr(ops, name)(other, self)
        return plain(_plain(other), self.numpy())

    return apply


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, ArrayOperators) else value


class ArrayOperators:
    """Arithmetic and indexing for a class with a `numpy()` method."""

    __array_priority__ = 1000.0  # numpy leaves `array * parameter` to this class

    def numpy(self) -> Any:
        """Return the values."""
        raise NotImplementedError

    __add__, __radd__ = _binary("add", operator.add), _reflected("add", operator.add)
    __sub__, __rsub__ = _binary("sub", operator.sub), _reflected("sub", operator.sub)
    __mul__, __rmul__ = _binary("mul", operator.mul), _reflected("mul", operator.mul)
    __truediv__, __rtruediv__ = _binary("div", operator.truediv), _reflected("div", operator.truediv)
    __pow__, __rpow__ = _binary("pow", operator.pow), _reflected("pow", operator.pow)
    __matmul__, __rmatmul__ = _binary("matmul", operator.matmul), _reflected("matmul", operator.matmul)

    def __neg__(self) -> Any:
        return ops.neg(self) if is_tracing() else -self.numpy()

    def __abs__(self) -> Any:
        return ops.abs(self) if is_tracing() else abs(self.numpy())

    def __getitem__(self, index: Any) -> Any:
        return ops.slice(self, index) if is_tracing() else self.numpy()[index]
