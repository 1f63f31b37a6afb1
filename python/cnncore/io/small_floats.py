# SPDX-License-Identifier: Apache-2.0
"""Floating-point formats of 8 and 16 bits that numpy lacks, widened to float32 without loss."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Format(NamedTuple):
    """Bits of the mantissa, the exponent's bias, and the bytes that are no plain numbers."""

    mantissa: int
    bias: int
    special: dict[int, float]
    signed: bool = True


_NAN, _INFINITY = float("nan"), float("inf")
_E5M2 = {0x7C: _INFINITY, 0xFC: -_INFINITY}
_E5M2 |= dict.fromkeys((*range(0x7D, 0x80), *range(0xFD, 0x100)), _NAN)
_FORMATS = {
    "float8_e4m3fn": _Format(3, 7, {0x7F: _NAN, 0xFF: _NAN}),
    "float8_e5m2": _Format(2, 15, _E5M2),
    "float8_e4m3fnuz": _Format(3, 8, {0x80: _NAN}),
    "float8_e5m2fnuz": _Format(2, 16, {0x80: _NAN}),
    "float8_e8m0fnu": _Format(0, 127, {0xFF: _NAN}, signed=False),
}

STORED: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype("<u2"),
    **dict.fromkeys(_FORMATS, np.dtype("u1")),
}
"""The formats, and the integers that hold their bits."""


def widen(bits: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """Return the values of a format's bits as float32, of the same shape.

    >>> widen(np.array([0x38, 0xC0, 0x7F], np.uint8), "float8_e4m3fn").tolist()
    [1.0, -2.0, nan]
    """
    if kind == "bfloat16":
        values: NDArray[np.float32] = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        values = _table(kind)[bits]
    return values


@cache
def _table(kind: str) -> NDArray[np.float32]:
    """Return the value of each of the 256 bytes."""
    mantissa, bias, special, signed = _FORMATS[kind]
    values = np.empty(256, np.float32)
    for byte in range(256):
        magnitude = byte & 0x7F if signed else byte
        exponent, fraction = magnitude >> mantissa, magnitude & ((1 << mantissa) - 1)
        if signed and exponent == 0:
            value = math.ldexp(fraction, 1 - bias - mantissa)
        else:
            value = math.ldexp((1 << mantissa) + fraction, exponent - bias - mantissa)
        values[byte] = special.get(byte, -value if signed and byte & 0x80 else value)
    return values
