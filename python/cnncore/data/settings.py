# SPDX-License-Identifier: Apache-2.0
"""Checks of what data sets, loaders and transforms are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._checks import flag as flag

MOST_SAMPLES = 2**31 - 1


def integer(name: str, value: Any) -> int:
    """Return an integer, or raise naming the setting."""
    return _checks.integer(f"{name} to be an integer", value)


def natural(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return an integer from `least` to `most`, or raise naming the setting."""
    return _checks.bounded(name, integer(name, value), least, most)


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Return a finite number of at least `least`, or raise naming the setting."""
    found = _checks.real(f"{name} to be a number", value, flags=False)
    return _checks.finite(f"{name} to be a finite number", value, found, least)


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return one of the words, or raise naming the setting and them."""
    return _checks.word(f"{name} {' or '.join(map(repr, choices))}", value, choices)


def several(name: str, value: Any, of: str) -> list[Any]:
    """Return the items of an iterable that is no text, or raise naming the setting."""
    return _checks.several(f"{name} to be several {of}", value)


def sample_numbers(name: str, value: Any) -> NDArray[np.intp]:
    """Return numbers of samples as an array, or raise naming what gave them."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"expected {name} to be integers, the numbers of samples, got {value!r}")
    return array.astype(np.intp)
