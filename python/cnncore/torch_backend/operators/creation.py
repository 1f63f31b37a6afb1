# SPDX-License-Identifier: Apache-2.0
"""Tensors of numbers that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ...ops.conversions import converted
from ..table import is_number, known_dtype, operator, tensor


def _filled(shape: Sequence[int], value: Any, dtype: Any) -> Any:
    return tensor(np.full(tuple(shape), value, known_dtype(dtype)))


def _type_of(value: Any) -> str:
    """Return the type that torch gives a tensor filled with a number."""
    if isinstance(value, bool):
        return "bool"
    return "int64" if isinstance(value, int) else "float32"


@operator("full")
def full(size: Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    return _filled(size, fill_value, dtype or _type_of(fill_value))


@operator("scalar_tensor")
def scalar_tensor(value: Any, dtype: Any = None) -> Any:
    return _filled((), value, dtype or "float32")


@operator("zeros")
def zeros(size: Sequence[int], dtype: Any = None) -> Any:
    return _filled(size, 0, dtype or "float32")


@operator("ones")
def ones(size: Sequence[int], dtype: Any = None) -> Any:
    return _filled(size, 1, dtype or "float32")


@operator("full_like")
def full_like(input: Any, fill_value: Any, dtype: Any = None) -> Any:
    return _filled(tensor(input).shape, fill_value, dtype or tensor(input).dtype)


@operator("zeros_like")
def zeros_like(input: Any, dtype: Any = None) -> Any:
    return full_like(input, 0, dtype)


@operator("ones_like")
def ones_like(input: Any, dtype: Any = None) -> Any:
    return full_like(input, 1, dtype)


@operator("new_full")
def new_full(input: Any, size: Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    return _filled(size, fill_value, dtype or tensor(input).dtype)


@operator("new_zeros")
def new_zeros(input: Any, size: Sequence[int], dtype: Any = None) -> Any:
    return new_full(input, size, 0, dtype)


@operator("new_ones")
def new_ones(input: Any, size: Sequence[int], dtype: Any = None) -> Any:
    return new_full(input, size, 1, dtype)


@operator("fill")
def fill(input: Any, value: Any) -> Any:
    if is_number(value):
        return full_like(input, value)
    x = tensor(input)
    return ops.expand(converted(tensor(value), x.dtype), x.shape)


@operator("arange")
def arange(end: Any, dtype: Any = None) -> Any:
    return arange_from(0, end, 1, dtype)


@operator("arange.start", "arange.start_step")
def arange_from(start: Any, end: Any, step: Any = 1, dtype: Any = None) -> Any:
    whole = all(isinstance(value, int) for value in (start, end, step))
    return tensor(np.arange(start, end, step).astype(known_dtype(dtype or ("int64" if whole else "float32"))))


@operator("linspace")
def linspace(start: Any, end: Any, steps: int, dtype: Any = None) -> Any:
    return tensor(np.linspace(start, end, steps, dtype=np.float32).astype(known_dtype(dtype or "float32")))


@operator("eye")
def eye(n: int, dtype: Any = None) -> Any:
    return tensor(np.eye(n, dtype=known_dtype(dtype or "float32")))
