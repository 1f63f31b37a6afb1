# SPDX-License-Identifier: Apache-2.0
"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from cnncore import ops

from .case import case, draw

LABELS = np.array([0, 4, 2, -100, 1, 3])
MAPS = np.random.default_rng(0).integers(0, 5, (2, 2, 3))
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 3.0], np.float32)
REDUCTIONS = ("mean", "sum", "none")


def _labels(x: Any, t: Any, **settings: Any) -> Any:
    return reference.cross_entropy(x, t, **settings)[0]


def _soft(x: Any, t: Any, weight: Any, smoothing: float, reduction: str) -> Any:
    t = (1 - smoothing) * t + smoothing / x.shape[1]
    losses = -(reference.log_softmax(x, 1) * t * (1.0 if weight is None else weight)).sum(1)
    return losses if reduction == "none" else getattr(losses, reduction)()


def _binary(x: Any, t: Any, **settings: Any) -> Any:
    return reference.binary_cross_entropy_with_logits(x, t, **settings)[0]


CASES = [
    *[
        case(
            "cross_entropy",
            (draw(*shape), labels),
            lambda x, t, w=w, s=s, r=r: _labels(x, t, class_weight=w, label_smoothing=s, reduction=r),
            function=lambda x, t, w=w, s=s, r=r: ops.cross_entropy(x, t, w, label_smoothing=s, reduction=r),
            torch=False,
        )
        for shape, labels in (((6, 5), LABELS), ((2, 5, 2, 3), MAPS))
        for w in (None, WEIGHT)
        for s in (0.0, 0.1)
        for r in REDUCTIONS
    ],
    *[
        case(
            "cross_entropy",
            (draw(3, 5), np.abs(draw(3, 5, seed=1))),
            lambda x, t, w=w, s=s, r=r: _soft(x, t, w, s, r),
            function=lambda x, t, w=w, s=s, r=r: ops.cross_entropy(x, t, w, label_smoothing=s, reduction=r),
            torch=False,
            ulps=32.0,
        )
        for w in (None, WEIGHT)
        for s in (0.0, 0.1)
        for r in REDUCTIONS
    ],
    *[
        case(
            "mse_loss",
            (draw(3, 4), draw(3, 4, seed=1)),
            lambda a, b, r=r: reference.mse_loss(a, b, r)[0],
            reduction=r,
        )
        for r in REDUCTIONS
    ],
    *[
        case(
            "binary_cross_entropy_with_logits",
            (draw(3, 5), draw(3, 5, low=0.0, high=1.0, seed=1)),
            lambda x, t, w=w, p=p, r=r: _binary(x, t, weight=w, pos_weight=p, reduction=r),
            function=lambda x, t, w=w, p=p, r=r: ops.binary_cross_entropy_with_logits(x, t, w, r, p),
            torch=False,
            ulps=32.0,
        )
        for w in (None, WEIGHT)
        for p in (None, WEIGHT[::-1].copy())
        for r in REDUCTIONS
    ],
]
