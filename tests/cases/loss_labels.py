# SPDX-License-Identifier: Apache-2.0
"""Losses of labels, embeddings and segmentations."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from reference import loss_labels as reference
from reference.loss_elements import reduced

from .case import case, draw

REDUCTIONS = ("mean", "sum", "none")
X, LABELS = draw(6, 5), np.array([0, 4, 2, -100, 1, 3])
MAPS = np.random.default_rng(0).integers(0, 5, (2, 2, 3))
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 3.0], np.float32)
A, B, C = draw(4, 3), draw(4, 3, low=-2.6, high=1.9, seed=1), draw(4, 3, low=-1.7, high=2.4, seed=2)
SIGNS = np.array([1, -1, -1, 1])
SETS = np.array([[2, 0, -1, 1, 3], [-1, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 1, -1, -1, -1]])
P, T = draw(2, 3, 2, 2, low=0.0, high=1.0), draw(2, 3, 2, 2, low=0.0, high=1.0, seed=1)


def _torch(name: str) -> Any:
    import torch

    return getattr(torch.nn.functional, name)


def _weighted(x: Any) -> Any:
    import torch

    return None if x is None else torch.tensor(x.astype(np.float64))


CASES = [
    *[
        case(
            "nll_loss",
            (draw(*shape), labels),
            lambda x, t, w=w, r=r: reference.nll(x, t, w, -100, r),
            function=lambda x, t, w=w, r=r: ops.nll_loss(x, t, w, reduction=r),
            torch=lambda x, t, w=w, r=r: _torch("nll_loss")(x, t, _weighted(w), reduction=r),
        )
        for shape, labels in (((6, 5), LABELS), ((2, 5, 2, 3), MAPS), ((2, 5, 3), MAPS[:, 0]))
        for w in (None, WEIGHT)
        for r in REDUCTIONS
    ],
    *[
        case(
            "softmax_focal_loss",
            (draw(*shape), labels),
            lambda x, t, w=w, g=g, r=r: reference.softmax_focal(x, t, w, g, -100, r),
            function=lambda x, t, w=w, g=g, r=r: ops.softmax_focal_loss(x, t, w, g, reduction=r),
            torch=False,
            ulps=32.0,
        )
        for shape, labels in (((6, 5), LABELS), ((2, 5, 2, 3), MAPS))
        for w, g in ((None, 2.0), (WEIGHT, 1.0), (None, 0.0), (None, 1.5))
        for r in REDUCTIONS
    ],
    *[
        case(
            "multi_margin_loss",
            (X, np.abs(LABELS) % 5),
            lambda x, t, w=w, p=p, r=r: reduced(reference.multi_margin(x, t, p, 0.9, w), r),
            function=lambda x, t, w=w, p=p, r=r: ops.multi_margin_loss(x, t, p, 0.9, w, r),
            torch=lambda x, t, w=w, p=p, r=r: _torch("multi_margin_loss")(
                x, t, p, 0.9, _weighted(w), reduction=r
            ),
        )
        for p in (1, 2)
        for w in (None, WEIGHT)
        for r in REDUCTIONS
    ],
    *[
        case(
            "multilabel_margin_loss",
            (draw(4, 5), SETS),
            lambda x, t, r=r: reduced(reference.multilabel_margin(x, t), r),
            reduction=r,
            torch=False,
        )
        for r in REDUCTIONS
    ],
    *[
        case(
            "cosine_embedding_loss",
            (A, B, SIGNS),
            lambda a, b, t, r=r, m=m: reduced(reference.cosine_embedding(a, b, t, m), r),
            margin=m,
            reduction=r,
        )
        for m in (0.0, -0.3)
        for r in REDUCTIONS
    ],
    *[
        case(
            "triplet_margin_loss",
            (A, B, C),
            lambda a, b, c, r=r, p=p, swap=swap: reduced(reference.triplet(a, b, c, 1.3, p, swap), r),
            margin=1.3,
            p=p,
            swap=swap,
            reduction=r,
            ulps=16.0,
        )
        for p in (2.0, 1.0, 3.0)
        for swap in (False, True)
        for r in REDUCTIONS
    ],
    *[
        case(
            "triplet_margin_with_distance_loss",
            (A, B, C),
            lambda a, b, c, swap=swap: reduced(reference.triplet(a, b, c, 1.3, 2.0, swap), "mean"),
            function=lambda a, b, c, swap=swap: ops.triplet_margin_with_distance_loss(
                a, b, c, distance_function=ops.pairwise_distance, margin=1.3, swap=swap
            ),
            torch=False,
            ulps=16.0,
        )
        for swap in (False, True)
    ],
    *[
        case(
            "contrastive_loss",
            (A, B, np.array([1, 0, 0, 1])),
            lambda a, b, t, r=r: reduced(reference.contrastive(a, b, t, 2.5), r),
            margin=2.5,
            reduction=r,
            torch=False,
            ulps=16.0,
        )
        for r in REDUCTIONS
    ],
    *[
        case(
            "nt_xent_loss",
            (A, B),
            lambda a, b, t=t: reference.nt_xent(a, b, t),
            temperature=t,
            torch=False,
            ulps=32.0,
        )
        for t in (0.5, 1.0)
    ],
    *[
        case(
            "sigmoid_focal_loss",
            (draw(3, 4), draw(3, 4, low=0.0, high=1.0, seed=1)),
            lambda x, t, a=a, g=g, r=r: reduced(reference.sigmoid_focal(x, t, a, g), r),
            alpha=a,
            gamma=g,
            reduction=r,
            torch=False,
            ulps=32.0,
        )
        for a, g in ((0.25, 2.0), (-1.0, 1.0), (0.5, 0.0), (0.25, 1.5))
        for r in REDUCTIONS
    ],
    *[
        case(
            name,
            arrays,
            lambda p, t, a=a, r=r: reduced(reference.tversky(p, t, *a), r),
            reduction=r,
            torch=False,
            ulps=16.0,
            **s,
        )
        for name, a, s in (
            ("dice_loss", (0.5, 0.5, 0.5), {}),
            ("tversky_loss", (0.3, 0.7, 1.0), {"alpha": 0.3, "beta": 0.7}),
        )
        for arrays in ((P, T), (P[:, :, 0, 0], T[:, :, 0, 0]))
        for r in REDUCTIONS
    ],
]
