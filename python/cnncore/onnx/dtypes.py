# SPDX-License-Identifier: Apache-2.0
"""Element types: ONNX's numbers and names, numpy's types, and what programs compute with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

PROGRAM = frozenset({"float32", "float16", "bfloat16", "int64", "int32", "uint8", "int8", "bool"})
"""Types that travel in programs: the short floats as float32, the others as they are."""

FLOATS = frozenset({"float32", "float64", "float16", "bfloat16"})

INTEGERS = frozenset({"int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"})


def name_of(element: int) -> str | None:
    """Return the name of an ONNX element type, such as "float32" or "string"; None for the undefined one.

    >>> name_of(1), name_of(16), name_of(8)
    ('float32', 'bfloat16', 'string')
    """
    if element == onnx.TensorProto.STRING:
        return "string"
    try:
        name: str = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element)).name
        return name
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(64)
def numpy_type(name: str) -> np.dtype[Any]:
    """Return numpy's type of an ONNX element type's name; text is kept as objects.

    Raises:
        ValueError: no such type.
    """
    if name == "string":
        return np.dtype(object)
    try:
        return np.dtype(name)
    except TypeError:
        pass
    import ml_dtypes

    extended = getattr(ml_dtypes, name, None)
    if extended is None:
        raise ValueError(f"unknown element type {name!r}")
    found: np.dtype[Any] = np.dtype(extended)
    return found


def type_of(array: NDArray[Any]) -> str:
    """Return the name of an array's element type as `name_of` gives it."""
    return "string" if array.dtype.kind in "OUS" else _name(array.dtype)


@lru_cache(64)
def _name(dtype: np.dtype[Any]) -> str:
    """Return the name that numpy puts together anew each time."""
    name: str = dtype.name
    return name


def converted(array: NDArray[Any], name: str | None) -> NDArray[Any]:
    """Return an array in the type of this name; None leaves it as it is."""
    if name is None or type_of(array) == name:
        return array
    return array.astype(numpy_type(name))
