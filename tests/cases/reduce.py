# SPDX-License-Identifier: Apache-2.0
"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import LARGE, RANKS, Array, case, different, draw, whole

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


ZEROS = np.array([[[2.0, 3], [0, 1], [-1, 2]], [[0, 2], [0, 1], [3, -2]]])
"""No zero, one and two among the elements that are multiplied."""


def sparse(*shape: int) -> Array:
    """Zeros and a few other numbers."""
    return np.maximum(np.abs(whole(*shape)) - 3, 0)


def mostly(*shape: int) -> Array:
    """Numbers, of which a few are zero."""
    return 1 - sparse(*shape)


CASES = [
    *_axes("sum", np.sum, whole, exact=True),
    *_axes("sum", np.sum, draw, magnitude=300.0),
    *_axes("mean", np.mean, draw, magnitude=1.0),  # the mean of what is added up, whose signs cancel
    *[
        case("prod", x, lambda x, a=a: np.prod(x, a), dim=a, torch=isinstance(a, int), ulps=24.0)
        for x, a in ((draw(2, 3, 4, 3, low=0.9, high=1.1), a) for a in AXES if a is not None)
    ],
    *[case("prod", draw(*shape), np.prod) for shape in RANKS[1:]],
    case("prod", np.sign(draw(*LARGE)), np.prod, exact=True),
    case("prod", draw(2, 3, 4), lambda x: np.prod(x, 1, keepdims=True), dim=1, keepdim=True),
    case("prod", (ZEROS,), lambda x: np.prod(x, 1), dim=1, exact=True),
    case("prod", (ZEROS,), lambda x: np.prod(x, (0, 2)), dim=(0, 2), exact=True, torch=False),
    *_axes("any", np.any, sparse, differentiable=False),
    *_axes("all", np.all, mostly, differentiable=False),
    *[
        case("count_nonzero", x, lambda x, a=a: np.count_nonzero(x, a), dim=a, differentiable=False)
        for x, a in ((sparse(2, 3, 4), a) for a in (None, 0, (1, 2)))
    ],
    *_axes("amax", np.max, different, exact=True),
    *_axes("amin", np.min, different, exact=True),
    case("argmax", different(3, 4, 5), lambda x: np.argmax(x), differentiable=False),
    case(
        "argmax",
        different(3, 4),
        lambda x: np.argmax(x)[None, None],
        keepdim=True,
        torch=False,
        differentiable=False,
    ),
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
