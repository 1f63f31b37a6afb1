# SPDX-License-Identifier: Apache-2.0
"""Checks of what data sets, loaders and transforms are given."""

from __future__ import annotations

from typing import Any


def integer(name: str, value: Any) -> int:
    """Return an integer, or raise naming the setting."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"expected {name} to be an integer, got {value!r}")
    return int(value.__index__())


def natural(name: str, value: Any, least: int) -> int:
    """Return an integer of at least `least`, or raise naming the setting."""
    number = integer(name, value)
    if number < least:
        raise ValueError(f"expected {name} of at least {least}, got {number}")
    return number
