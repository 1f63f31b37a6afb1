# SPDX-License-Identifier: Apache-2.0
"""Checks of what transforms are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._checks import is_integer
from .. import settings
from ..settings import natural


def finite(value: Any, name: str, least: float = -np.inf) -> float:
    """A finite number of at least `least`."""
    return settings.finite(name, value, least)


def interval(value: Any, name: str, least: float = -np.inf) -> tuple[float, float]:
    """Two numbers, the first not above the second."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"expected {name} as (low, high), got {value!r}")
    low, high = finite(value[0], name, least), finite(value[1], name, least)
    if low > high:
        raise ValueError(f"expected {name} as (low, high), got {value}")
    return low, high


def around(value: Any, name: str, centre: float, least: float = -np.inf) -> tuple[float, float]:
    """A number as the interval around a centre, cut at `least`; a pair as it is."""
    if isinstance(value, (tuple, list)):
        return interval(value, name, least)
    reach = finite(value, name, 0)
    return max(centre - reach, least), centre + reach


def extents(size: Any, axes: int, name: str = "size") -> tuple[int, ...]:
    """An integer for every axis, or an integer for each."""
    values = tuple(size) if isinstance(size, (tuple, list)) else (size,) * axes
    if len(values) == 1 and axes > 1 and isinstance(size, (tuple, list)):
        values *= axes
    if len(values) != axes or not all(map(is_integer, values)):
        raise TypeError(f"expected {name} as an integer or {axes} of them, got {size!r}")
    if min(values) < 1:
        raise ValueError(f"expected {name} of at least 1, got {size}")
    return tuple(int(v) for v in values)


def some_extents(size: Any, name: str = "size") -> Any:
    """An integer of at least 1 or a sequence of such, for axes that are not known yet, as it is."""
    extents(size, len(size) if isinstance(size, (tuple, list)) and size else 1, name)
    return size


def integers(value: Any, name: str, least: int) -> Any:
    """An integer of at least `least` or a sequence of such, as it is."""
    for each in value if isinstance(value, (tuple, list)) and value else [value]:
        natural(name, each, least)
    return value


def fill_of(fill: Any) -> Any:
    """A number or one a channel, in the images' own unit; None is 0, as in torchvision."""
    for each in np.asarray(0 if fill is None else fill, object).reshape(-1):
        finite(each, "fill")
    return 0 if fill is None else fill


def one_of(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """One of several words."""
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {', '.join(allowed)}, got {value!r}")
    return str(value)


def fill_colours(fill: Any, channels: int, white: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A number or one a channel, in the images' own unit, as an array (channels,)."""
    colours = np.asarray(fill, np.float32).reshape(-1)
    if colours.size not in (1, channels) or not np.isfinite(colours).all():
        raise ValueError(f"expected fill as a number or {channels} of them from 0 to {white:g}, got {fill!r}")
    return np.ascontiguousarray(np.broadcast_to(colours, (channels,)))
