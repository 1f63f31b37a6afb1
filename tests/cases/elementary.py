# SPDX-License-Identifier: Apache-2.0
"""Elementary functions, rounding, limits, and blends of three tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import case, draw, every_rank

BOUNDS = np.array([0.5, -1.25, 1.0, 0.25])
ODD = np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf])


def _plain(name: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0, **rest: Any):
    return every_rank(name, reference, low, high, **rest)


def _pairs(name: str, reference: Callable[..., Any], **rest: Any):
    shapes = (((5,), (5,)), ((2, 3, 4, 3), (3, 1, 1)), ((3, 1), (2, 3, 5)))
    return [case(name, (draw(*a), draw(*b, seed=1)), reference, **rest) for a, b in shapes]


def _steps(name: str, reference: Callable[..., Any]):
    """Functions of no slope, at whole numbers, halves and beyond 2^24."""
    x = np.concatenate([np.arange(-9, 10) / 4, [0.4999, 2.0**23 + 1, -(2.0**30)]])
    return [case(name, x, reference, exact=True, differentiable=False), *_flat(name, reference)]


def _flat(name: str, reference: Callable[..., Any]):
    return every_rank(name, reference, exact=True, differentiable=False)


def _nan_to_num(x: Any) -> Any:
    return np.where(np.isnan(x), 0.5, np.where(x == np.inf, 9.0, np.where(x == -np.inf, -8.0, x)))


def _clamped(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


def _ties(name: str):
    """At a limit the input has the whole gradient."""
    x, bounds = draw(3), np.array([0.5, 0.25, -0.75])
    limited = lambda x, low: np.maximum(x, low)  # noqa: E731
    tie = (([0.5, 1.0, -2.0], [0.5, 0.5, 0.5]), ([1, 1, 0], [0, 0, 1]))
    return [case(name, (x, bounds), limited, kinks=(tie,))]


CASES = [
    *_plain("erf", np.vectorize(math.erf, otypes=[float])),
    *_plain("erfc", np.vectorize(math.erfc, otypes=[float])),
    *_plain("exp2", np.exp2),
    *_plain("expm1", np.expm1),
    *_plain("log1p", np.log1p, 0.1),
    *_plain("log2", np.log2, 0.2),
    *_plain("log10", np.log10, 0.2),
    *_plain("rsqrt", lambda x: 1 / np.sqrt(x), 0.3),
    *_plain("reciprocal", lambda x: 1 / x, 0.3),
    *_plain("sin", np.sin),
    *_plain("cos", np.cos),
    *_plain("tan", np.tan, -1.0, 1.0),
    *_plain("asin", np.arcsin, -0.9, 0.9),
    *_plain("acos", np.arccos, -0.9, 0.9),
    *_plain("atan", np.arctan),
    *_plain("sinh", np.sinh),
    *_plain("cosh", np.cosh),
    *_pairs("atan2", np.arctan2),
    *_pairs("hypot", np.hypot),
    case("hypot", (np.array([3e30]), np.array([4e30])), np.hypot, differentiable=False),
    *_steps("floor", np.floor),
    *_steps("ceil", np.ceil),
    *_steps("trunc", np.trunc),
    *_steps("round", np.rint),
    *_flat("sign", np.sign),
    case("sign", np.array([-3, 0, 2]), np.sign, differentiable=False),
    case("floor", np.array([-3, 2**53 + 1]), lambda x: x, differentiable=False),
    *[
        case("round", draw(3, 4, high=9.0), lambda x, d=d: np.round(x, d), decimals=d, differentiable=False)
        for d in (1, 2, -1)
    ],
    *_plain("frac", lambda x: x - np.trunc(x)),
    *[
        made
        for name in ("clamp", "clip")
        for made in (
            *_plain(name, lambda x: np.clip(x, -1.1, 1.3), min=-1.1, max=1.3),
            *_ties(name),
            case(name, draw(3, 4), lambda x: np.maximum(x, 0.3), min=0.3),
            case(name, draw(3, 4), lambda x: np.minimum(x, 0.3), max=0.3),
            case(name, (draw(3, 4), BOUNDS), np.maximum, differentiable=True),
            case(name, (draw(3, 4), BOUNDS - 1.0, BOUNDS), _clamped),
            case(name, np.array([-3, 2**53 + 1, 5]), lambda x: np.clip(x, 0, 2**53), min=0, max=2**53),
            case(
                name,
                np.arange(-3, 4),
                lambda x: np.clip(x, -0.5, 1.5),
                min=-0.5,
                max=1.5,
                differentiable=False,
            ),
        )
    ],
    case("nan_to_num", ODD, _nan_to_num, nan=0.5, posinf=9.0, neginf=-8.0, differentiable=False),
    case("nan_to_num", draw(3, 4), lambda x: x),
    case("nan_to_num", np.array([1, 2]), lambda x: x, differentiable=False),
    *[
        case("lerp", (draw(3, 4), draw(4, seed=1)), lambda a, b, w=w: a + w * (b - a), weight=w)
        for w in (0.2, 0.8)
    ],
    case("lerp", (draw(3, 4), draw(4, seed=1), draw(3, 1, seed=2)), lambda a, b, w: a + w * (b - a)),
    *[
        case(
            "addcmul",
            (draw(3, 4), draw(4, seed=1), draw(3, 1, seed=2)),
            lambda a, b, c, v=v: a + v * b * c,
            value=v,
        )
        for v in (1, 0.5)
    ],
    case(
        "addcmul",
        (np.array([2**53]), np.array([3]), np.array([5])),
        lambda a, b, c: a + 2 * b * c,
        value=2,
        differentiable=False,
    ),
    *[
        case(
            "addcdiv",
            (draw(3, 4), draw(4, seed=1), draw(3, 1, low=0.5, seed=2)),
            lambda a, b, c, v=v: a + v * b / c,
            value=v,
        )
        for v in (1, 0.5)
    ],
]
