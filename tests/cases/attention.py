# SPDX-License-Identifier: Apache-2.0
"""Attention and tables of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops

from .case import case, draw, whole

NUMBERS = np.array([[1, 0, 4], [4, 2, 2]])
TABLE = whole(5, 3)
Q, K, V = draw(2, 3, 4), draw(2, 5, 4, seed=1), draw(2, 5, 6, seed=2)
SOME = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]], bool)
FLOATS = draw(3, 5, seed=3)
LOW = np.where(SOME, FLOATS, -np.inf).astype(np.float32)


def _attention(q: Any, k: Any, v: Any, mask: Any = None, scale: float | None = None) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    highest = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
    total = powers.sum(-1, keepdims=True)
    return (powers / np.where(total == 0, 1, total)) @ v


def _heads(q: Any, k: Any, v: Any) -> Any:
    return _attention(q, np.repeat(k, 2, -3), np.repeat(v, 2, -3))


CASES = [
    case("embedding", (NUMBERS, TABLE), lambda i, w: w[i], exact=True),
    case("embedding", (np.array(3), TABLE), lambda i, w: w[i], exact=True),
    case("embedding", (np.zeros((0, 2), np.int64), TABLE), lambda i, w: w[i], exact=True),
    case("scaled_dot_product_attention", (Q, K, V), _attention, ulps=64.0),
    case(
        "scaled_dot_product_attention",
        (Q, K, V),
        lambda q, k, v: _attention(q, k, v, scale=0.3),
        scale=0.3,
        ulps=64.0,
    ),
    *[
        case(
            "scaled_dot_product_attention",
            (Q, K, V),
            lambda q, k, v, m=mask: _attention(q, k, v, m),
            function=lambda q, k, v, m=mask: ops.scaled_dot_product_attention(q, k, v, m),
            torch=False,
            ulps=64.0,
        )
        for mask in (SOME, SOME[0], FLOATS, LOW)
    ],
    case(
        "scaled_dot_product_attention",
        (Q, K, V),
        lambda q, k, v: _attention(q, k, v, np.tri(3, 5, dtype=bool)),
        is_causal=True,
        ulps=64.0,
    ),
    case(
        "scaled_dot_product_attention",
        (draw(3, 4, 3, 4), draw(3, 2, 5, 4, seed=1), draw(3, 2, 5, 6, seed=2)),
        _heads,
        enable_gqa=True,
        ulps=64.0,
    ),
]
