# SPDX-License-Identifier: Apache-2.0
"""Element types of values: the mirror of kDTypes in cpp/core/tensor.h, and what they become together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np


class DType(NamedTuple):
    """Name as numpy's, bytes of an element, kind as `numpy.dtype.kind`."""

    name: str
    bytes: int
    kind: str


DTYPES = {
    dtype.name: dtype
    for dtype in (
        DType("float32", 4, "f"),
        DType("int32", 4, "i"),
        DType("int64", 8, "i"),
        DType("uint8", 1, "u"),
        DType("float64", 8, "f"),
        DType("int8", 1, "i"),
        DType("bool", 1, "b"),
        DType("bfloat16", 2, "f"),
        DType("float16", 2, "f"),
    )
}

ITEM_SIZE = {dtype.name: dtype.bytes for dtype in DTYPES.values()}

_WIDTH = {"bool": 0, "int8": 1, "uint8": 1, "int32": 2, "int64": 3}


def is_float(dtype: str) -> bool:
    """Whether the type has fractions, and values of it gradients."""
    return DTYPES[dtype].kind == "f"


def promote(dtypes: Iterable[str]) -> str:
    """Return the type of what is computed from tensors of these types, as torch has it.

    Floating-point types win over integers and these over booleans; the wider of two integers wins, and int8
    with uint8 gives int32 (torch: int16, which does not travel in programs).

    >>> promote(["int64", "float32"]), promote(["uint8", "int64"]), promote(["bool", "uint8"])
    ('float32', 'int64', 'uint8')
    """
    known = set(dtypes)
    if any(is_float(dtype) for dtype in known):
        return "float32"
    if {"int8", "uint8"} <= known and not known & {"int32", "int64"}:
        return "int32"
    return max(known, key=_WIDTH.__getitem__)


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return numpy's name of a type, which it would put together at each call."""
    name: str = dtype.name
    return name


@cache
def value_dtype(dtype: np.dtype[Any]) -> str:
    """Return the dtype a numpy array has inside a graph.

    Floats are float32, in which everything is computed; integers and booleans stay what they are, but for
    those of 16 bits and unsigned ones above 8, which become int64.

    Raises:
        TypeError: complex numbers, objects, text, dates.
    """
    if dtype.kind == "f":
        return "float32"
    if dtype.kind in "iub":
        return dtype.name if dtype.name in ITEM_SIZE else "int64"
    raise TypeError(f"expected an array of real numbers, got dtype {dtype}")
