# SPDX-License-Identifier: Apache-2.0
"""Sums and products so far, differences of neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import LARGE, RANKS, case, draw, whole

ZEROS = np.array([[2.0, 3, -1], [0, 1, 2], [2, 0, 0], [-1, 3, 0]])


def _axes(name: str, reference: Callable[..., Any], make: Callable[..., Any], **rest: Any):
    """Each axis of four, the last one of every rank, and long ones."""
    four = make(2, 3, 4, 3)
    cases = [case(name, four, lambda x, a=a: reference(x, a), dim=a, **rest) for a in range(-1, 4)]
    cases += [case(name, make(*s), lambda x: reference(x, -1), dim=-1, **rest) for s in (*RANKS[1:], LARGE)]
    cases.append(case(name, make(2, 130, 3), lambda x: reference(x, 1), dim=1, **{**rest, "ulps": 40.0}))
    return cases


def _area(y: Any, x: Any, axis: int) -> Any:
    """The trapezoidal rule; x has a place for each value of the axis, or broadcasts to y."""
    places = x if x.ndim == 1 else np.moveaxis(x.reshape((1,) * (y.ndim - x.ndim) + x.shape), axis, -1)
    values = np.moveaxis(y, axis, -1)
    return (np.diff(places) * (values[..., 1:] + values[..., :-1])).sum(-1) / 2


CASES = [
    *_axes("cumsum", np.cumsum, whole, exact=True),
    *_axes("cumsum", np.cumsum, draw, magnitude=100.0),
    *_axes("cumprod", np.cumprod, lambda *shape: draw(*shape, low=0.9, high=1.1), ulps=24.0),
    *[case("cumprod", ZEROS, lambda x, a=a: np.cumprod(x, a), dim=a, exact=True) for a in (0, 1)],
    *[
        case(
            "trapezoid",
            2 * whole(*shape),
            lambda y, a=a: _area(y, 3.0 * np.arange(y.shape[a]), a),
            dx=3.0,
            dim=a,
            exact=True,
        )
        for shape, a in (((5,), -1), ((1,), 0), ((3, 4), 0), ((2, 3, 4, 5), 1), ((2, 3, 4, 5), -1))
    ],
    *[
        case(
            "trapezoid",
            (2 * whole(2, 3, 4), whole(*places, seed=1)),
            lambda y, x, a=a: _area(y, x, a),
            dim=a,
            exact=True,
        )
        for places, a in (((4,), 2), ((3,), 1), ((2,), 0), ((3, 4), 2), ((1, 3, 1), 1), ((2, 3, 4), 2))
    ],
    *[
        case("diff", whole(*shape), lambda x, n=n, a=a: np.diff(x, n, a), n=n, dim=a, exact=True)
        for shape, n, a in (
            ((5,), 1, -1),
            ((3, 4), 2, 1),
            ((2, 3, 4, 5), 1, 1),
            ((2, 4, 3), 3, 1),
            ((4, 2), 0, 0),
        )
    ],
]
