# SPDX-License-Identifier: Apache-2.0
"""Checks of layer arguments, made when the layer is built so that the error points there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import _checks
from .._checks import flag as flag
from ..graph.limits import LARGEST_SETTING


def positive(name: str, value: Any, most: float = math.inf) -> int:
    """Return `value` as an int from 1 to `most`, or raise naming the argument."""
    return at_least(name, value, 1, most)


def integer(name: str, value: Any) -> int:
    """Return `value` as an int, or raise naming the argument."""
    return _checks.integer(f"an integer {name}", value)


def at_least(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return `value` as an int from `least` to `most`, or raise naming the argument."""
    return _checks.bounded(name, integer(name, value), least, most)


MOST_LAYERS = 10_000
"""Of a kind in one network: the deepest published ones have some 1,000."""


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a number of layers or blocks as an int, or raise naming the argument."""
    return at_least(name, value, least, MOST_LAYERS)


def several(name: str, value: Any, of: str = "integers") -> tuple[Any, ...]:
    """Return the items of a list or any other iterable but a text, or raise naming the argument."""
    return tuple(_checks.several(f"{name} as a list of {of}", value))


def maker(name: str, value: Any) -> Any:
    """Return what makes a layer, a class or a function, or raise naming the argument."""
    if not callable(value):
        raise TypeError(f"expected {name} as a class or a function that makes a layer, got {value!r}")
    return value


_FORMS = {1: "(length,)", 2: "a pair (height, width)", 3: "a triple (depth, height, width)"}


def setting(name: str, value: Any, least: int) -> int:
    """Return a stride, padding, dilation or kernel extent as an int, or raise naming the argument."""
    return at_least(name, value, least, LARGEST_SETTING)


def ntuple(name: str, value: Any, least: int, rank: int) -> tuple[int, ...]:
    """Return an int or `rank` ints, one for each spatial axis, as a tuple of ints of at least `least`."""
    if _checks.is_index(value):
        return (setting(name, value, least),) * rank
    if not isinstance(value, (tuple, list)) or len(value) != rank:
        raise ValueError(f"expected {name} to be an int or {_FORMS[rank]}, got {value!r}")
    return tuple(setting(name, item, least) for item in value)


def extents(name: str, value: Any, least: int) -> int | tuple[int, ...]:
    """Return an int, or ints for as many axes as the input will have, each of at least `least`."""
    if _checks.is_index(value):
        return setting(name, value, least)
    if not isinstance(value, (tuple, list)) or not value:
        raise TypeError(f"expected {name} to be an int or a tuple of ints, got {value!r}")
    return tuple(setting(name, item, least) for item in value)


def axis(name: str, value: Any) -> int:
    """Return the number of an axis, from the end if negative, or raise naming the argument."""
    if not _checks.is_integer(value):
        raise TypeError(f"expected an axis number as {name}, got {value!r}; axes have no names")
    return int(value.__index__())


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of the words, or raise naming them."""
    return _checks.word(f"{name} {', '.join(map(repr, choices))}", value, choices)


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `least`, or raise naming the argument."""
    return _checks.finite(f"a finite {name}", value, real(name, value), least)


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
    return _checks.real(f"a number for {name}", value)
