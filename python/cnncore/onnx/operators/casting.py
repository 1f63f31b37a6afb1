# SPDX-License-Identifier: Apache-2.0
"""Conversions between all element types, text among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import numpy_type

Array = Any

LARGEST_FLOAT8 = {
    "float8_e4m3fn": 448.0,
    "float8_e4m3fnuz": 240.0,
    "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
}


def cast_array(x: Array, target: str, saturate: bool = True, rounding: str = "up") -> Array:
    """Return an array in another element type, as the operator Cast has it."""
    if target == "string":
        return np.array([_text(v) for v in x.ravel()], object).reshape(x.shape)
    if x.dtype.kind in "OUS":
        return _from_text(x, target)
    if target == "float8_e8m0fnu":
        return _power_of_two(x, saturate, rounding)
    if target in LARGEST_FLOAT8:
        return _float8(x, target, saturate)
    if target == "float4_e2m1fn":
        return np.clip(x.astype(np.float32), -6.0, 6.0).astype(numpy_type(target))
    if target in ("int4", "uint4", "int2", "uint2"):
        return _narrow(x, target)
    return x.astype(numpy_type(target))


def _text(value: Any) -> str:
    if isinstance(value, np.bool_):
        return str(int(value))
    if isinstance(value, (np.integer, int)):
        return str(int(value))
    number = np.float32(value) if getattr(value, "dtype", None) != np.float64 else value
    if np.isnan(number):
        return "NaN"
    if np.isinf(number):
        return "INF" if number > 0 else "-INF"
    return str(value)


def _from_text(x: Array, target: str) -> Array:
    kind = numpy_type(target)
    flat = [v.decode() if isinstance(v, bytes) else str(v) for v in x.ravel()]
    numbers = [int(v) for v in flat] if kind.kind in "iu" else [float(v) for v in flat]
    return np.array(numbers).astype(kind).reshape(x.shape)


def _float8(x: Array, target: str, saturate: bool) -> Array:
    kind = numpy_type(target)
    if not saturate:
        return x.astype(np.float32).astype(kind)
    most = LARGEST_FLOAT8[target]
    wide = x.astype(np.float32)
    return np.where(np.isnan(wide), wide, np.clip(wide, -most, most)).astype(kind)


def _power_of_two(x: Array, saturate: bool, rounding: str) -> Array:
    """Return exponents of 8 bits; "up" and "down" say where to what lies between two powers goes."""
    size = np.abs(x.astype(np.float32)).astype(np.float64)
    with np.errstate(divide="ignore"):
        exponent = np.log2(size)
    round_to = {"up": np.ceil, "down": np.floor}.get(rounding, lambda e: np.floor(e + np.log2(4 / 3)))
    whole = round_to(exponent)
    too_large = (whole > 127) & ~np.isnan(size)
    whole = np.clip(whole, -127, 127)
    bits = (whole + 127).astype(np.uint8)
    bits = np.where(np.isnan(size) | (too_large & (not saturate)), np.uint8(255), bits).astype(np.uint8)
    return bits.view(numpy_type("float8_e8m0fnu"))


def _narrow(x: Array, target: str) -> Array:
    """Keep the low bits of integers, as wider integers do when they are cut."""
    bits = int(target[-1])
    whole = x.astype(np.int64) & ((1 << bits) - 1)
    if not target.startswith("u"):
        whole = np.where(whole >= 1 << (bits - 1), whole - (1 << bits), whole)
    return whole.astype(np.int8 if not target.startswith("u") else np.uint8).astype(numpy_type(target))
