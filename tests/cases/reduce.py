# SPDX-License-Identifier: Apache-2.0
"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import LARGE, RANKS, case, different, draw, whole

AXES: tuple[Any, ...] = (None, 0, 1, -1, (0, 2, 3), (1, 3), (2,))


def _axes(name: str, reference: Callable[..., Any], make: Callable[..., Any], **rest: Any):
    """Each set of axes of four, all axes of every rank, and a long reduction."""
    cases = [
        case(name, make(2, 3, 4, 3), lambda x, a=a: reference(x, axis=a), dim=a, **rest)
        for a in AXES
        if a is not None
    ]
    cases += [case(name, make(*shape), reference, **rest) for shape in (*RANKS[1:], LARGE)]
    kept = lambda x: reference(x, axis=1, keepdims=True)  # noqa: E731
    return [*cases, case(name, make(2, 3, 4), kept, dim=1, keepdim=True, **rest)]


CASES = [
    *_axes("sum", np.sum, whole, exact=True),
    *_axes("sum", np.sum, draw, magnitude=300.0),
    *_axes("mean", np.mean, draw, magnitude=1.0),  # the mean of what is added up, whose signs cancel
    *_axes("amax", np.max, different, exact=True),
    *_axes("amin", np.min, different, exact=True),
    case("argmax", different(3, 4, 5), lambda x: np.argmax(x), differentiable=False),
    *[
        case(
            "argmax", whole(3, 4, 5), lambda x, a=a: np.argmax(x, a), dim=a, torch=False, differentiable=False
        )
        for a in (0, 1, -1)
    ],
    case(
        "argmax",
        whole(3, 4),
        lambda x: np.argmax(x, 1)[:, None],
        dim=1,
        keepdim=True,
        torch=False,
        differentiable=False,
    ),
]
