# SPDX-License-Identifier: Apache-2.0
"""Checks of layer arguments, made when the layer is built so that the error points there."""

from __future__ import annotations

from typing import Any


def positive(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise naming the argument."""
    return at_least(name, value, 1)


def at_least(name: str, value: Any, least: int) -> int:
    """Return `value` as an int of at least `least`, or raise naming the argument."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"expected an integer {name}, got {value!r}")
    if value < least:
        raise ValueError(f"expected {name} of at least {least}, got {value}")
    return int(value.__index__())


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """Return an int or a pair as a pair (height, width) of ints of at least `least`."""
    if hasattr(value, "__index__"):
        number = at_least(name, value, least)
        return number, number
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"expected {name} to be an int or a pair (height, width), got {value!r}")
    return at_least(name, value[0], least), at_least(name, value[1], least)


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1], or raise naming the argument."""
    if not hasattr(value, "__float__"):
        raise TypeError(f"expected a number for {name}, got {value!r}")
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"expected {name} from 0 to 1, got {value}")
    return number
