# SPDX-License-Identifier: Apache-2.0
"""Variances, norms, pairs of extremes, logarithms of sums of exponentials; constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore import ops

from .case import LARGE, case, different, draw, whole

AXES: tuple[Any, ...] = (None, 0, 1, -1, (0, 2, 3), (1, 3))


def _moments(name: str, reference: Callable[..., Any]):
    x = draw(2, 3, 4, 3)
    cases = [case(name, x, lambda x, a=a: reference(x, a, 1, False), dim=a, ulps=16.0) for a in AXES]
    cases += [
        case(
            name, draw(3, 5), lambda x: reference(x, 1, 0, True), dim=1, correction=0, keepdim=True, ulps=16.0
        ),
        case(name, draw(3, 5), lambda x: reference(x, 1, 0, False), dim=1, unbiased=False, ulps=16.0),
        case(name, draw(7), lambda x: reference(x, None, 1, False), ulps=16.0),
        case(name, draw(*LARGE), lambda x: reference(x, (0, 2, 3), 1, False), dim=(0, 2, 3), ulps=16.0),
    ]
    return cases


def _var(x: Any, axis: Any, correction: int, keepdims: bool) -> Any:
    return np.var(x, axis, ddof=correction, keepdims=keepdims)


def _std(x: Any, axis: Any, correction: int, keepdims: bool) -> Any:
    return np.std(x, axis, ddof=correction, keepdims=keepdims)


def _with_mean(reference: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, axis: Any, correction: int, keepdims: bool) -> Any:
        return reference(x, axis, correction, keepdims), np.mean(x, axis, keepdims=keepdims)

    return call


def _norm(x: Any, p: float, axis: Any) -> Any:
    size = np.abs(x)
    if p == 0:
        return (size != 0).astype(float).sum(axis)
    if np.isinf(p):
        return size.max(axis) if p > 0 else size.min(axis)
    return (size**p).sum(axis) ** (1 / p)


def _logsumexp(x: Any, axis: Any) -> Any:
    return np.log(np.exp(x).sum(axis))


STILL = ((([1.0, 1.0, 1.0],), ([0, 0, 0],)),)
NOTHING = ((([0.0, 0.0, 0.0],), ([0, 0, 0],)),)

CASES = [
    *_moments("var", _var),
    *_moments("std", _std),
    *_moments("var_mean", _with_mean(_var)),
    *_moments("std_mean", _with_mean(_std)),
    case("std", draw(3), lambda x: np.std(x, ddof=1), kinks=STILL, torch=False),
    *[
        case(
            "norm",
            draw(2, 3, 4, 3),
            lambda x, p=p, a=a: _norm(x, p, a),
            p=p,
            dim=a,
            ulps=24.0,
        )
        for p, a in ((2, None), (2, 1), (2, (0, 3)), (1, 1), (3, -1), (1.5, None), (0.5, 0))
    ],
    *[
        case("norm", different(3, 4) + 0.25, lambda x, p=p: _norm(x, p, 1), p=p, dim=1)
        for p in (np.inf, -np.inf)
    ],
    case("norm", whole(3, 4), lambda x: _norm(x, 0, 1), p=0, dim=1, differentiable=False),
    case("norm", draw(3, 4), lambda x: np.sqrt((x**2).sum(1, keepdims=True)), p=2.0, dim=1, keepdim=True),
    *[
        case("norm", draw(3), lambda x, p=p: _norm(x, p, None), p=p, kinks=NOTHING, torch=False, ulps=16.0)
        for p in (2, 3)
    ],
    *[
        case("logsumexp", draw(2, 3, 4, 3), lambda x, a=a: _logsumexp(x, a), dim=a)
        for a in (0, 1, -1, (0, 2))
    ],
    case("logsumexp", draw(3, 4) + 1000, lambda x: _logsumexp(x - 1000, 1) + 1000, dim=1),
    *[
        case(
            "aminmax",
            different(2, 3, 4),
            lambda x, a=a: (x.min(a), x.max(a)),
            function=lambda x, a=a: tuple(ops.aminmax(x, a)),
            torch=False,
            exact=True,
        )
        for a in (None, 1, -1)
    ],
    case(
        "aminmax",
        np.array([3, 2**53 + 1]),
        lambda x: (x.min(), x.max()),
        function=lambda x: tuple(ops.aminmax(x)),
        torch=False,
        differentiable=False,
    ),
    *[
        case(name, x, lambda x, v=v: np.full(x.shape, v, x.dtype), differentiable=False)
        for name, v in (("zeros_like", 0), ("ones_like", 1))
        for x in (draw(2, 3), np.array([1, 2]), np.array([True]))
    ],
    case("full_like", np.array([1, 2]), lambda x: np.full(x.shape, 7), fill_value=7, differentiable=False),
    case("detach", draw(2, 3), lambda x: x, differentiable=False, torch=lambda x: x.detach()),
    case(
        "one_hot",
        np.array([[0, 2], [1, 1]]),
        lambda x: np.eye(3, dtype=np.int64)[x],
        num_classes=3,
        differentiable=False,
    ),
]
