# SPDX-License-Identifier: Apache-2.0
"""numpy's functions on symbolic tensors and on parameters: the operations of the same meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.trace import dtype_error

RENAMED = {
    "absolute": "abs",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan": "atan",
    "arctan2": "atan2",
    "amax": "max",
    "amin": "min",
    "concatenate": "cat",
    "divide": "div",
    "expand_dims": "unsqueeze",
    "invert": "bitwise_not",
    "moveaxis": "movedim",
    "multiply": "mul",
    "negative": "neg",
    "power": "pow",
    "ravel": "flatten",
    "rint": "round",
    "subtract": "sub",
}
"""Operations whose names are not numpy's."""

OPERATIONS: dict[str, Callable[..., Any]] = {}
"""The functions of `cnncore.ops`, which fills it."""

_REDUCTIONS = ("sum", "mean", "prod", "any", "all", "max", "min", "amax", "amin", "argmax", "argmin")
"""Functions that call the method of their name with `axis` and `keepdims`."""


def _transpose(a: Any, axes: Any = None) -> Any:
    return a.T if axes is None else a.permute(axes)


def _reshape(a: Any, shape: Any) -> Any:
    return a.reshape(shape)


def _along(name: str) -> Callable[..., Any]:
    def call(values: Any, axis: int = 0) -> Any:
        return _operation(name)(values, axis)

    return call


def _same(name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return _operation(name)(*args)

    return call


def _squeeze(a: Any, axis: Any = None) -> Any:
    return a.squeeze(axis)


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return a.roll(shift, axis)


def _flip(m: Any, axis: Any = None) -> Any:
    return m.flip(tuple(range(m.ndim)) if axis is None else axis)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concatenate": _along("cat"),
    "expand_dims": _same("unsqueeze"),
    "flip": _flip,
    "moveaxis": _same("movedim"),
    "ndim": lambda a: a.ndim,
    "ravel": lambda a: a.reshape(-1),
    "reshape": _reshape,
    "roll": _roll,
    "shape": lambda a: a.shape,
    "size": lambda a: int(a.size),
    "squeeze": _squeeze,
    "stack": _along("stack"),
    "swapaxes": _same("swapaxes"),
    "tile": _same("tile"),
    "transpose": _transpose,
    "where": _same("where"),
}
"""numpy's functions that are not universal ones, as far as operations have their meaning."""


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return what one of numpy's universal functions (exp, add, maximum, ...) is of tensors."""
    name = ufunc.__name__
    if "out" in options:
        raise dtype_error(
            name, "a result that has no value yet cannot be written into an array: write y = y + x for y += x"
        )
    if method != "__call__" or options:
        given = f"{name}.{method}" if method != "__call__" else ", ".join(options)
        raise dtype_error(name, f"expected a plain call, got {given}; use cnncore.ops instead")
    return _operation(name)(*inputs)


def apply_function(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return what one of numpy's other functions (sum, concatenate, where, ...) is of tensors."""
    name = function.__name__
    if name in _REDUCTIONS:
        tensor, *rest = args
        given = dict(zip(("axis", "dtype", "out", "keepdims"), rest, strict=False)) | options
        return getattr(tensor, RENAMED.get(name, name))(axis=given.pop("axis", None), **given)
    call = FUNCTIONS.get(name)
    if call is None:
        raise _unknown(name)
    try:
        return call(*args, **options)
    except TypeError as error:
        if "argument" not in str(error) or str(error).startswith("["):
            raise
        problem = str(error).split("() ", 1)[-1]
        raise dtype_error(
            name, f"numpy's {name} of a tensor {problem}; write ops.{RENAMED.get(name, name)}"
        ) from None


def _operation(numpy_name: str) -> Callable[..., Any]:
    name = RENAMED.get(numpy_name, numpy_name)
    if name not in OPERATIONS:
        raise _unknown(numpy_name)
    return OPERATIONS[name]


def _unknown(numpy_name: str) -> TypeError:
    """Return the error for a function of numpy that takes no tensors."""
    name = RENAMED.get(numpy_name, numpy_name)
    hint = f"write cnncore.ops.{name}" if name in OPERATIONS else "cnncore.ops has the functions that can"
    return dtype_error(
        numpy_name, f"numpy's {numpy_name} cannot take a symbolic tensor, which has no value yet; {hint}"
    )
