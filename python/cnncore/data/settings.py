# SPDX-License-Identifier: Apache-2.0
"""Checks of what data sets, loaders and transforms are given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_SAMPLES = 2**31 - 1


def integer(name: str, value: Any) -> int:
    """Return an integer, or raise naming the setting."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"expected {name} to be an integer, got {value!r}")
    return int(value.__index__())


def natural(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return an integer from `least` to `most`, or raise naming the setting."""
    number = integer(name, value)
    if number < least:
        raise ValueError(f"expected {name} of at least {least}, got {number}")
    if number > most:
        raise ValueError(f"expected {name} of at most {most}, got {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """Return True or False, or raise naming the setting."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} True or False, got {value!r}")
    return bool(value)


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Return a finite number of at least `least`, or raise naming the setting."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"expected {name} to be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or number < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ValueError(f"expected {name} to be a finite number{bound}, got {value}")
    return number


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return one of the words, or raise naming the setting and them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"expected {name} {' or '.join(map(repr, choices))}, got {value!r}")
    return value


def several(name: str, value: Any, of: str) -> list[Any]:
    """Return the items of an iterable that is no text, or raise naming the setting."""
    single = isinstance(value, (str, bytes, Mapping)) or getattr(value, "shape", None) == ()
    if single or not isinstance(value, Iterable):
        raise TypeError(f"expected {name} to be several {of}, got {value!r}")
    return list(value)


def sample_numbers(name: str, value: Any) -> NDArray[np.intp]:
    """Return numbers of samples as an array, or raise naming what gave them."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"expected {name} to be integers, the numbers of samples, got {value!r}")
    return array.astype(np.intp)
