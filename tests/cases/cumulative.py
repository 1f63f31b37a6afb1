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


CASES = [
    *_axes("cumsum", np.cumsum, whole, exact=True),
    *_axes("cumsum", np.cumsum, draw, magnitude=100.0),
    *_axes("cumprod", np.cumprod, lambda *shape: draw(*shape, low=0.9, high=1.1), ulps=24.0),
    *[case("cumprod", ZEROS, lambda x, a=a: np.cumprod(x, a), dim=a, exact=True) for a in (0, 1)],
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
