# SPDX-License-Identifier: Apache-2.0
"""The table of ATen's operators: how each is computed in terms of `cnncore.ops`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph.dtype import DTYPES
from ..graph.trace import as_tensor
from ..ops.pull_back import pull_back

Function = Callable[..., Any]
"""Takes what the operator's schema says, without devices and memory formats; inputs are tensors."""

OPERATORS: dict[str, Function] = {}
"""By name ("add") or by name and overload ("max.dim"); the files of `operators` fill it."""

PROGRAM = frozenset({"float32", "int64", "int32", "uint8", "int8", "bool"})
"""Element types that travel in programs as they are."""


def operator(*names: str) -> Callable[[Function], Function]:
    """Enter the decorated function as the one that computes these operators."""

    def enter(function: Function) -> Function:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter


def same(function: Function, *names: str) -> None:
    """Enter a function that takes what these operators take."""
    OPERATORS.update(dict.fromkeys(names, function))


def find(op: str) -> Function | None:
    """Return the function of an operator, with its overload or without, or None.

    An operator in place ("relu_") is computed by the one that it is named after.
    """
    name, _, overload = op.partition(".")
    for known in (op, name, f"{name[:-1]}.{overload}", name[:-1]) if is_in_place(op) else (op, name):
        if known in OPERATORS:
            return OPERATORS[known]
    return None


def is_in_place(op: str) -> bool:
    """Whether an operator changes its first input."""
    name = op.partition(".")[0]
    return name.endswith("_") and not name.startswith("_")


class Empty(NamedTuple):
    """A tensor without elements, such as the statistics that batch normalization keeps in inference."""

    shape: tuple[int, ...]
    dtype: str


TAKING_EMPTY = frozenset({"native_batch_norm_backward"})
"""Operators that take such tensors."""


class Later:
    """A result that adds nodes to the program only if somebody asks for it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __call__(self) -> Any:
        return self._make()


def later(make: Callable[[], Any]) -> Any:
    """Return a result that is made on demand."""
    return Later(make)


def known_dtype(name: Any) -> str:
    """Return the name of an element type that programs have.

    Raises:
        TypeError: they do not.
    """
    if name not in DTYPES or name not in PROGRAM:
        raise TypeError(f"elements of type {name}")
    return str(name)


def tensor(value: Any) -> Any:
    """Return a value as a tensor of the program being traced."""
    return as_tensor(value)


def is_number(value: Any) -> bool:
    """Whether a value is a Python number."""
    return isinstance(value, (bool, int, float))


def in_range(number: Any, dtype: str) -> Any:
    """Return a number as torch gives it to an operator beside integers: wrapped around as their type is.

    >>> in_range(-1, "uint8"), in_range(200, "int8"), in_range(0.5, "uint8")
    (255, -56, 0.5)
    """
    if dtype in ("float32", "bool") or not isinstance(number, int) or isinstance(number, bool):
        return number
    limits = np.iinfo(dtype)
    return (number - int(limits.min)) % (1 << limits.bits) + int(limits.min)


def pulled(forward: Callable[..., Any], inputs: Sequence[Any], grad: Any, needs: Sequence[bool]) -> list[Any]:
    """Return the gradients by its inputs of what `forward` computes, given the gradient by that."""
    given = [None if value is None else tensor(value) for value in inputs]
    return list(pull_back(lambda *values: [forward(*values)], given, [tensor(grad)], needs))
