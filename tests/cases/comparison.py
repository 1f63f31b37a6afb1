# SPDX-License-Identifier: Apache-2.0
"""Comparisons, logic and choosing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore import ops

from .case import LARGE, RANKS, case, draw, whole

ODD = np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf])
CONDITION = np.array([[1, 0, 2, 0], [0, 0, -1, 1], [1, 1, 0, 0]])


def _binary(name: str, reference: Callable[..., Any], **rest: Any):
    """Whole numbers, many of them equal, of every rank and broadcast; what is not finite; a number."""
    pairs = [(whole(*shape), whole(*shape, seed=1)) for shape in (*RANKS, LARGE)]
    pairs += [
        (whole(2, 3, 4, 5), whole(3, 1, 5, seed=1)),
        (whole(3, 5), whole(2, 3, 1, seed=1)),
        (ODD[:, None], ODD),
    ]
    cases = [case(name, pair, reference, differentiable=False, **rest) for pair in pairs]
    number = lambda x: getattr(ops, name)(x, 2)  # noqa: E731
    cases.append(
        case(name, whole(3, 4), lambda x: reference(x, 2), function=number, torch=False, differentiable=False)
    )
    return cases


def _unary(name: str, reference: Callable[..., Any]):
    inputs = (*(whole(*shape) for shape in RANKS), ODD)
    return [case(name, x, reference, differentiable=False) for x in inputs]


def _close_nan(a: Any, b: Any) -> Any:
    return np.isclose(a, b, equal_nan=True)


CASES = [
    *_binary("greater", np.greater),
    *_binary("greater_equal", np.greater_equal),
    *_binary("less", np.less),
    *_binary("less_equal", np.less_equal),
    *_binary("equal", np.equal, torch="eq"),
    *_binary("not_equal", np.not_equal),
    *_binary("logical_and", np.logical_and),
    *_binary("logical_or", np.logical_or),
    *_binary("logical_xor", np.logical_xor),
    *_unary("logical_not", np.logical_not),
    *_unary("isnan", np.isnan),
    *_unary("isinf", np.isinf),
    *_unary("isfinite", np.isfinite),
    *[
        case("isclose", (ODD, ODD[::-1]), np.isclose, differentiable=False),
        case("isclose", (ODD, ODD), _close_nan, equal_nan=True, differentiable=False),
        case(
            "isclose",
            (np.array([1.0, 2.0, -3.0]), np.array([1.05, 2.5, -3.25])),
            lambda a, b: np.isclose(a, b, 0.1, 0.0),
            rtol=0.1,
            atol=0.0,
            differentiable=False,
        ),
    ],
    case(
        "where",
        (CONDITION, whole(3, 4), whole(4, seed=1)),
        lambda c, a, b: np.where(c != 0, a, b),
        exact=True,
        torch=False,
    ),
    case("where", (CONDITION > 0, whole(3, 4), whole(4, seed=1)), np.where, exact=True),
    case(
        "where",
        (draw(2, 3, 4), draw(4, seed=1)),
        lambda a, b: np.where(a > b, a * 2, b),
        function=lambda a, b: ops.where(ops.greater(a, b), a * 2, b),
        torch=False,
    ),
    case(
        "where",
        (draw(3, 4), draw(4, seed=1)),
        lambda a, b: np.where(CONDITION != 0, a, b),
        function=lambda a, b: ops.where(CONDITION, a, b),
        torch=False,
    ),
]
