# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy of a linear layer's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from cnncore import ops

from .case import case, draw

LABELS, MAPS = np.array([0, 4, -100, 1]), np.random.default_rng(0).integers(0, 5, (4, 2))
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 3.0], np.float32)


def _loss(x: Any, w: Any, t: Any, bias: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    logits = np.einsum("nf,c...f->nc...", x, w) + bias
    return reference.cross_entropy(
        logits, t, class_weight=weight, reduction=reduction, label_smoothing=smoothing
    )[0]


CASES = [
    case(
        "linear_cross_entropy",
        (draw(4, 3), draw(*shape, seed=1), labels, *((draw(*shape[:-1], seed=2),) if biased else ())),
        lambda x, w, t, b=0.0, c=c, r=r, s=s: _loss(x, w, t, b, c, r, s),
        function=lambda x, w, t, b=None, c=c, r=r, s=s: ops.linear_cross_entropy(
            x, w, t, linear_bias=b, weight=c, reduction=r, label_smoothing=s
        ),
        torch=False,
        ulps=32.0,
    )
    for shape, labels in (((5, 3), LABELS), ((5, 2, 3), MAPS))
    for biased in (False, True)
    for c, r, s in ((None, "mean", 0.0), (WEIGHT, "sum", 0.1), (None, "none", 0.0))
]
