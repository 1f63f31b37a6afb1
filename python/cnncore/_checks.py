# SPDX-License-Identifier: Apache-2.0
"""Checks of single values, below all packages: what an argument is, and the errors that say what it is not.

`what` is the noun of a message, "an integer number of threads", `name` that of an argument.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def is_index(value: Any) -> bool:
    """Whether Python takes a value for one integer, also a flag: arrays of floats have `__index__`, too."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_flag(value: Any) -> bool:
    """Whether a value is true or false of any type, also in an array."""
    return isinstance(value, (bool, np.bool_)) or str(getattr(value, "dtype", "")).endswith("bool")


def is_integer(value: Any) -> bool:
    """Whether a value is one integer of any type, also in an array without axes; a flag is none."""
    return not is_flag(value) and getattr(value, "shape", ()) == () and is_index(value)


def is_real(value: Any) -> bool:
    """Whether a value is one real number of any type, also a flag or in an array without axes."""
    # Of numpy's types these have __float__, too: texts, complex numbers, objects and times.
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    other = isinstance(value, (str, bytes)) or kind in "SUcOMm"
    return not other and hasattr(value, "__float__") and getattr(value, "shape", ()) == ()


def to_float(value: Any) -> float:
    """Return a real number as a float: integers beyond floats are infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def integer(what: str, value: Any) -> int:
    """Return `value` as an int, or raise."""
    if not is_integer(value):
        raise TypeError(f"expected {what}, got {value!r}")
    return int(value.__index__())


def real(what: str, value: Any, flags: bool = True) -> float:
    """Return `value` as a float, also NaN and infinity, or raise."""
    if not is_real(value) or (is_flag(value) and not flags):
        raise TypeError(f"expected {what}, got {value!r}")
    return to_float(value)


def bounded(name: str, found: int, least: int, most: float = math.inf) -> int:
    """Return an integer if it is from `least` to `most`, or raise naming the argument."""
    if found < least:
        raise ValueError(f"expected {name} of at least {least}, got {found}")
    if found > most:
        raise ValueError(f"expected {name} of at most {most}, got {found}")
    return found


def finite(what: str, value: Any, found: float, least: float = -math.inf) -> float:
    """Return `found`, which `value` was read as, if it is finite and at least `least`, or raise."""
    if not (math.isfinite(found) and found >= least):
        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise ValueError(f"expected {what}{bound}, got {value}")
    return found


MOST_SECONDS = 3600.0
"""Of one measurement: what was to take longer did never end."""


def duration(name: str, value: Any, above: bool = False) -> float:
    """Return seconds of a measurement from 0 (excluded when `above`) to an hour, or raise naming them."""
    found = real(f"a number for {name}", value, flags=False)
    if not (found > 0 if above else found >= 0) or found > MOST_SECONDS:
        least = "above" if above else "of at least"
        raise ValueError(f"expected {name} {least} 0 and at most {MOST_SECONDS:g}, got {value}")
    return found


def flag(name: str, value: Any) -> bool:
    """Return `value` as True or False, or raise naming the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} True or False, got {value!r}")
    return bool(value)


def word(what: str, value: Any, words: Sequence[str]) -> str:
    """Return `value` if it is one of the words, or raise."""
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"expected {what}, got {value!r}")
    return value


def several(what: str, value: Any) -> list[Any]:
    """Return the items of any iterable but a text and a dict, or raise."""
    single = isinstance(value, (str, bytes, Mapping)) or getattr(value, "shape", None) == ()
    if single or not isinstance(value, Iterable):
        raise TypeError(f"expected {what}, got {value!r}")
    return list(value)
