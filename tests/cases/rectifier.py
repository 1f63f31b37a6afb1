# SPDX-License-Identifier: Apache-2.0
"""Rectifiers, shrinkage and gates."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference

from .case import LARGE, case, draw, every_rank


def _prelu(x: Any, w: Any) -> Any:
    shape = (1, -1, *(1,) * (x.ndim - 2)) if w.size > 1 else (1,) * x.ndim
    return np.where(x > 0, x, x * w.reshape(shape))


def _glu(x: Any, dim: int) -> Any:
    a, b = np.split(x, 2, dim)
    return a / (1 + np.exp(-b))


CASES = [
    *every_rank(
        "hardtanh",
        lambda x: np.clip(x, -0.7, 1.1),
        min_val=-0.7,
        max_val=1.1,
    ),
    *every_rank("hardtanh", lambda x: np.clip(x, 0, 6), min_val=0.0, max_val=6.0),
    case(
        "hardtanh",
        draw(3, 4),
        lambda x: np.clip(x, -1, 1),
        kinks=((([-1.0, 1.0, 0.5],), ([0.0, 0.0, 1.0],)),),
    ),
    *every_rank("celu", lambda x: np.where(x > 0, x, 0.6 * np.expm1(x / 0.6)), alpha=0.6),
    *every_rank("celu", lambda x: np.where(x > 0, x, np.expm1(x)), kinks=((([0.0],), ([1.0],)),)),
    *every_rank("threshold", lambda x: np.where(x <= 0.31, 20.0, x), threshold=0.31, value=20.0),
    *every_rank(
        "hardshrink",
        lambda x: np.where(np.abs(x) > 0.5, x, 0),
        kinks=((([0.5, -0.5, 1.0],), ([0.0, 0.0, 1.0],)),),
    ),
    *every_rank(
        "softshrink",
        lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
        kinks=((([0.5, -0.5, -1.0],), ([0.0, 0.0, 1.0],)),),
    ),
    *[
        case("prelu", (draw(*shape), draw(n, seed=1)), _prelu)
        for shape, n in (
            ((5,), 1),
            ((2, 3), 3),
            ((2, 3, 4), 1),
            ((2, 3, 2, 4), 3),
            ((2, 3, 2, 1, 3), 3),
            (LARGE, 17),
        )
    ],
    case(
        "prelu", (draw(2, 3), draw(1, seed=1)), _prelu, kinks=((([0.0, 2.0], [0.25]), ([0.25, 1.0], [0.0])),)
    ),
    *[
        case("glu", draw(*shape), lambda x, d=d: _glu(x, d), dim=d)
        for shape, d in (((4,), 0), ((2, 6), -1), ((2, 4, 3), 1), ((2, 4, 3, 2), 3), ((2, 16, 40, 41), 1))
    ],
    *[
        case("softmin", draw(*shape), lambda x, d=d: reference.softmax(-x, d), dim=d)
        for shape, d in (((5,), 0), ((2, 6), 1), ((2, 4, 3), 1), ((2, 4, 3, 2), 3))
    ],
]
