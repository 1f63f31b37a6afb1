# SPDX-License-Identifier: Apache-2.0
"""Checks of layer arguments, made when the layer is built so that the error points there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph.limits import LARGEST_SETTING


def positive(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise naming the argument."""
    return at_least(name, value, 1)


def flag(name: str, value: Any) -> bool:
    """Return `value` as True or False, or raise naming the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} True or False, got {value!r}")
    return bool(value)


def integer(name: str, value: Any) -> int:
    """Return `value` as an int, or raise naming the argument."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"expected an integer {name}, got {value!r}")
    return int(value.__index__())


def at_least(name: str, value: Any, least: int) -> int:
    """Return `value` as an int of at least `least`, or raise naming the argument."""
    number = integer(name, value)
    if number < least:
        raise ValueError(f"expected {name} of at least {least}, got {value}")
    return number


MOST_LAYERS = 10_000
"""Of a kind in one network: the deepest published ones have some 1,000."""


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a number of layers or blocks as an int, or raise naming the argument."""
    number = at_least(name, value, least)
    if number > MOST_LAYERS:
        raise ValueError(f"expected {name} of at most {MOST_LAYERS}, got {value}")
    return number


def several(name: str, value: Any, of: str = "integers") -> tuple[Any, ...]:
    """Return the items of a list or any other iterable but a text, or raise naming the argument."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"expected {name} as a list of {of}, got {value!r}")
    return tuple(value)


def maker(name: str, value: Any) -> Any:
    """Return what makes a layer, a class or a function, or raise naming the argument."""
    if not callable(value):
        raise TypeError(f"expected {name} as a class or a function that makes a layer, got {value!r}")
    return value


_FORMS = {1: "(length,)", 2: "a pair (height, width)", 3: "a triple (depth, height, width)"}


def setting(name: str, value: Any, least: int) -> int:
    """Return a stride, padding, dilation or kernel extent as an int, or raise naming the argument."""
    number = at_least(name, value, least)
    if number > LARGEST_SETTING:
        raise ValueError(f"expected {name} of at most {LARGEST_SETTING}, got {value}")
    return number


def ntuple(name: str, value: Any, least: int, rank: int) -> tuple[int, ...]:
    """Return an int or `rank` ints, one for each spatial axis, as a tuple of ints of at least `least`."""
    if hasattr(value, "__index__"):
        return (setting(name, value, least),) * rank
    if not isinstance(value, (tuple, list)) or len(value) != rank:
        raise ValueError(f"expected {name} to be an int or {_FORMS[rank]}, got {value!r}")
    return tuple(setting(name, item, least) for item in value)


def extents(name: str, value: Any, least: int) -> int | tuple[int, ...]:
    """Return an int, or ints for as many axes as the input will have, each of at least `least`."""
    if hasattr(value, "__index__"):
        return setting(name, value, least)
    if not isinstance(value, (tuple, list)) or not value:
        raise TypeError(f"expected {name} to be an int or a tuple of ints, got {value!r}")
    return tuple(setting(name, item, least) for item in value)


def axis(name: str, value: Any) -> int:
    """Return the number of an axis, from the end if negative, or raise naming the argument."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"expected an axis number as {name}, got {value!r}; axes have no names")
    return int(value.__index__())


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of the words, or raise naming them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"expected {name} {', '.join(map(repr, choices))}, got {value!r}")
    return value


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `least`, or raise naming the argument."""
    number = real(name, value)
    if not (math.isfinite(number) and number >= least):
        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise ValueError(f"expected a finite {name}{bound}, got {value}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1], or raise naming the argument."""
    number = real(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"expected {name} from 0 to 1, got {value}")
    return number


def norm_order(name: str, value: Any) -> float:
    """Return the p of a p-norm, a number or infinity, or raise naming the argument."""
    number = real(name, value)
    if math.isnan(number):
        raise ValueError(f"expected a number or infinity for {name}, got {value}")
    return number


def real(name: str, value: Any) -> float:
    """Return `value` as a float, also NaN and infinity, or raise naming the argument."""
    if isinstance(value, str) or not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"expected a number for {name}, got {value!r}")
    return float(value)
