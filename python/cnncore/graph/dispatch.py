# SPDX-License-Identifier: Apache-2.0
"""Operations called on arrays: a graph of one call, compiled once per shapes and settings, then run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from . import runner
from .arrays import to_input
from .cache import LRU, constant_key
from .tensor import Tensor
from .trace import dtype_error, is_tracing

P = ParamSpec("P")

_programs: LRU[runner.Program] = LRU(256, lambda program: program.nbytes())

_STATIC = (int, float, bool, str, type(None), np.number)


def operator(*tensors: str) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make a function that adds nodes for symbolic tensors also take arrays, and return arrays then.

    Args:
        tensors: names of the arguments that are tensors (or numbers, None, lists of tensors).
    """

    def decorate(fn: Callable[P, Any]) -> Callable[P, Any]:
        names = list(inspect.signature(fn).parameters)
        positions = frozenset(names.index(name) for name in tensors)
        keywords = frozenset(tensors)
        op = fn.__name__

        @wraps(fn)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            if kwargs:
                kwargs = _renamed(op, names, kwargs)  # type: ignore[assignment]
            if is_tracing():
                return fn(*args, **kwargs)
            values: list[Any] = list(args)
            named: dict[str, Any] = kwargs
            arrays: list[Any] = []
            key: list[Any] = [fn]
            for i, value in enumerate(values):
                value = values[i] = _array(value, op, arrays) if i in positions else _setting(value)
                key.append((value.shape, value.dtype.char) if type(value) is np.ndarray else _key(value))
            if named:
                named = {k: _array(v, op, arrays) if k in keywords else _setting(v) for k, v in named.items()}
                key.append(tuple([(name, _key(value)) for name, value in named.items()]))
            frozen = tuple(key)
            try:
                program = _programs.get(frozen)
            except TypeError:
                raise _unhashable(op, names, values, named) from None
            if program is None:
                program = _programs.put(frozen, runner.compile_function(fn, values, named))
            return program(arrays)

        return call

    return decorate


def _unhashable(op: str, names: list[str], values: list[Any], named: dict[str, Any]) -> TypeError:
    """Return the refusal of the arguments that cannot be told apart, as dicts and sets."""
    for name, value in (*zip(names, values, strict=False), *named.items()):
        try:
            hash(_key(value))
        except TypeError:
            return dtype_error(op, f"expected {name} as a number, a text or a tuple of such, got {value!r}")
    return dtype_error(op, "expected arguments that can be hashed")


_SYNONYMS = {"axis": "dim", "keepdims": "keepdim"}


def _renamed(op: str, names: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments under the function's own names, dim for numpy's axis and keepdim for its keepdims."""
    if given.get("out") is not None and "out" not in names:
        raise TypeError(f"[{op}] out= is not taken: results are new arrays, write y = {op}(...)")
    renamed = {key: value for key, value in given.items() if key != "out" or key in names}
    for numpy_name, name in _SYNONYMS.items():
        if numpy_name in renamed and numpy_name not in names and name in names:
            if name in renamed:
                raise TypeError(f"[{op}] expected {name} or {numpy_name}, got both")
            renamed[name] = renamed.pop(numpy_name)
    return renamed


def _array(value: Any, op: str, arrays: list[Any]) -> Any:
    """Return a tensor argument as an array, which joins `arrays`; numbers and None stay what they are."""
    if type(value) is not np.ndarray:
        if isinstance(value, _STATIC):
            return value
        if isinstance(value, Tensor):
            raise RuntimeError(f"[{op}] symbolic tensors can only be used inside a traced function")
        if isinstance(value, (list, tuple)) and not value:
            return value
        if isinstance(value, (list, tuple)) and any(
            not isinstance(v, (int, float, list, tuple)) for v in value
        ):
            parts = [to_input(v, op) for v in value]
            arrays.extend(parts)
            return parts
    value = to_input(value, op)
    arrays.append(value)
    return value


def _setting(value: Any) -> Any:
    """Return an argument that is no tensor: arrays as the numbers they hold."""
    if type(value) is np.ndarray:
        return value.tolist()
    if type(value) in (tuple, list) and any(type(item) is np.ndarray for item in value):
        return type(value)(_setting(item) for item in value)
    return value


def _key(value: Any) -> Any:
    """Return something hashable that tells arguments apart."""
    if type(value) is np.ndarray:
        return value.shape, value.dtype.char
    if isinstance(value, (list, tuple)):
        return tuple([_key(v) for v in value])
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    return constant_key(value)
