# SPDX-License-Identifier: Apache-2.0
"""Arrays from outside, and arrays that programs read and write."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .limits import ADDRESSABLE, require_memory
from .trace import is_stored, where

ALIGNMENT = 64
"""Bytes: a cache line and the widest vector register."""


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return an uninitialised C-order array whose memory starts on a cache line."""
    kind = np.dtype(dtype)
    nbytes = prod(shape) * kind.itemsize
    require_memory(nbytes, f"an array of shape {shape}")
    memory = np.empty(nbytes + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(kind).reshape(shape)


def aligned_copy(source: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return a C-order copy whose memory starts on a cache line."""
    copy = aligned_empty(source.shape, source.dtype if dtype is None else dtype)
    copy[...] = source
    return copy


def to_array(value: Any, op: str = "") -> NDArray[Any]:
    """Return `value` as a numpy array.

    Accepts parameters and buffers, whatever has the buffer protocol, ``__array_interface__``, ``__array__``
    or ``__dlpack__``, and nested lists of numbers.

    Raises:
        TypeError: complex, object or text arrays, ragged lists, masked values.
    """
    array = value if type(value) is np.ndarray else _as_array(value, op)
    if array.dtype.kind not in "fiub":
        if hasattr(value, "dtype") or array.ndim:
            found = f"dtype {array.dtype}"
        else:
            found = (
                repr(value) if value is None or isinstance(value, (str, complex)) else type(value).__name__
            )
        raise TypeError(f"{_place(op)}expected an array of real numbers, got {found}")
    return array


def to_input(value: Any, op: str = "input") -> NDArray[Any]:
    """Return `value` as an array that programs take: as `to_array`, with a ValueError for one that is empty,
    except a batch of no rows."""
    array = to_array(value, op)
    if array.size == 0 and 0 in array.shape[1:]:
        raise ValueError(f"{_place(op)}expected a non-empty array, got shape {array.shape}")
    return array


def _as_array(value: Any, op: str) -> NDArray[Any]:
    if is_stored(value):
        array: NDArray[Any] = value.storage.read()
        return array
    if np.ma.is_masked(value):
        raise TypeError(
            f"{_place(op)}expected an array without masked values, got some; .filled(value) replaces them"
        )
    if hasattr(value, "detach"):
        value = value.detach()
    only_dlpack = hasattr(value, "__dlpack__") and not (
        hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    )
    try:
        return np.from_dlpack(value) if only_dlpack else np.asarray(value)
    except ValueError:
        raise TypeError(f"{_place(op)}expected an array, got {type(value).__name__}") from None


def _place(op: str) -> str:
    """Return where an argument was given, to begin an error's message with."""
    place = where(op)
    return f"[{place}] " if place else ""


def input_dtypes(dtype: Any, count: int) -> list[np.dtype[Any]]:
    """Return the dtype of each of `count` inputs from `input_dtype`: one for all, or a list of one for each.

    Raises:
        TypeError: no dtype of real numbers or booleans.
        ValueError: another number of dtypes than of inputs.
    """
    given = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype] * count
    if len(given) != count:
        raise ValueError(f"expected an input_dtype, or one for each of {count} inputs, got {dtype!r}")
    return [_input_dtype(one) for one in given]


def _input_dtype(given: Any) -> np.dtype[Any]:
    name = str(given)
    try:
        dtype = np.dtype(name.removeprefix("torch.") if name.startswith("torch.") else given)
    except TypeError:
        dtype = None
    if given is None or dtype is None or dtype.kind not in "fiub":
        raise TypeError(f"expected input_dtype as a dtype of real numbers, such as 'int64', got {given!r}")
    return dtype


def input_examples(shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]) -> list[NDArray[Any]]:
    """Return arrays of these shapes and dtypes to trace with: single numbers seen as whole arrays."""
    for one, shape in zip(dtypes, shapes, strict=True):
        nbytes = prod(shape) * np.dtype(one).itemsize
        if nbytes > ADDRESSABLE:  # beyond, numpy has no array to see
            require_memory(nbytes, f"an input of shape {shape}")
    return [np.broadcast_to(np.zeros((), one), shape) for one, shape in zip(dtypes, shapes, strict=True)]
