# SPDX-License-Identifier: Apache-2.0
"""Losses of single elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from reference import loss_elements as reference
from reference.loss_elements import reduced

from .case import LARGE, case, draw

REDUCTIONS = ("mean", "sum", "none")
SHAPES = ((3, 4), (2, 3, 2, 2), ())


def _targets(*shape: int) -> Any:
    """Values of other levels than `draw(*shape)` has, so that no difference is 0 or at a loss's kink."""
    return draw(*shape, low=-1.9, high=2.2, seed=1)


X, T = draw(3, 4), _targets(3, 4)
SIGNS = np.where(draw(3, 4, seed=2) > 0, 1.0, -1.0).astype(np.float32)
WEIGHT = np.array([0.5, 1.0, 2.0, 3.0], np.float32)
UNIT, OTHER = (draw(3, 4, low=0.05, high=0.95, seed=i) for i in range(2))


def _each(name: str, arrays: Any, losses: Any, **rest: Any) -> list[Any]:
    """A case for each reduction."""
    return [
        case(name, arrays, lambda *a, r=r: reduced(losses(*a), r), reduction=r, **rest) for r in REDUCTIONS
    ]


def _pairs(name: str, losses: Any, **rest: Any) -> list[Any]:
    """Cases for shapes of several ranks and a large one."""
    found = [
        case(name, (draw(*s), _targets(*s)), lambda *a: reduced(losses(*a), "mean"), **rest)
        for s in (*SHAPES, LARGE)
    ]
    return found + _each(name, (X, T), losses, **rest)


def _weighted(name: str, losses: Any, weighted_mean: bool, **rest: Any) -> list[Any]:
    return [
        case(
            name,
            (X, T, np.abs(draw(3, 4, seed=3))),
            lambda x, t, w, r=r: reduced(w * losses(x, t), r, w if weighted_mean else None),
            function=lambda x, t, w, r=r: getattr(ops, name)(x, t, weight=w, reduction=r),
            torch=lambda x, t, w, r=r: _torch(name)(x, t, weight=w, reduction=r),
            **rest,
        )
        for r in REDUCTIONS
    ]


def _torch(name: str) -> Any:
    import torch

    return getattr(torch.nn.functional, name)


CASES = [
    *_pairs("mse_loss", lambda x, t: (x - t) ** 2),
    *_weighted("mse_loss", lambda x, t: (x - t) ** 2, True),
    *_pairs("l1_loss", lambda x, t: np.abs(x - t)),
    case(
        "l1_loss",
        (X, T),
        lambda x, t: np.mean(np.abs(x - t)),
        kinks=((([1.0, 2.0], [1.0, 3.0]), ([0, -0.5], [0, 0.5])),),
    ),
    *_weighted("l1_loss", lambda x, t: np.abs(x - t), True),
    *_pairs("smooth_l1_loss", lambda x, t: reference.huber(x, t, 1.0)),
    *[
        case(
            "smooth_l1_loss",
            (X, T),
            lambda x, t, b=b: np.mean(reference.huber(x, t, b) / b if b else np.abs(x - t)),
            beta=b,
        )
        for b in (0.0, 0.5, 3.0)
    ],
    *_pairs("huber_loss", lambda x, t: reference.huber(x, t, 0.7), delta=0.7),
    *_weighted("huber_loss", lambda x, t: reference.huber(x, t, 1.0), False),
    *[
        case(
            "kl_div",
            (X, T if log else np.abs(T)),
            lambda x, t, r=r, log=log: (
                np.sum(reference.divergence(x, t, log)) / 3
                if r == "batchmean"
                else reduced(reference.divergence(x, t, log), r)
            ),
            reduction=r,
            log_target=log,
            torch=r != "mean",  # torch warns that it is not the divergence
        )
        for r in (*REDUCTIONS, "batchmean")
        for log in (False, True)
    ],
    *[
        made
        for log in (False, True)
        for full in (False, True)
        for made in _each(
            "poisson_nll_loss",
            (X if log else np.abs(X), 2 * np.abs(T)),
            lambda x, t, log=log, full=full: reference.poisson(x, t, log, full),
            log_input=log,
            full=full,
        )
    ],
    *[
        made
        for full, v in (
            (False, np.abs(draw(3, 4, seed=4))),
            (True, np.abs(draw(3, 4, seed=4))),
            (False, np.abs(draw(3, 1, seed=4))),
            (True, np.abs(draw(3, seed=4))),
        )
        for made in _each(
            "gaussian_nll_loss",
            (X, T, v),
            lambda x, t, v, full=full: reference.gaussian(x, t, v, full),
            full=full,
            ulps=16.0,
        )
    ],
    *_each("binary_cross_entropy", (UNIT, OTHER), reference.binary, ulps=16.0),
    *[
        case(
            "binary_cross_entropy",
            (UNIT, OTHER),
            lambda x, t, r=r: reduced(reference.binary(x, t, WEIGHT), r),
            function=lambda x, t, r=r: ops.binary_cross_entropy(x, t, WEIGHT, r),
            torch=False,
            ulps=16.0,
        )
        for r in REDUCTIONS
    ],
    *_each("soft_margin_loss", (X, SIGNS.astype(np.int64)), lambda x, t: np.logaddexp(0, -t * x)),
    *_each(
        "hinge_embedding_loss",
        (X, SIGNS.astype(np.int64)),
        lambda x, t: reference.hinge_embedding(x, t, 0.6),
        margin=0.6,
    ),
    *_each(
        "margin_ranking_loss",
        (X, T, SIGNS.astype(np.int64)),
        lambda a, b, t: np.maximum(0, -t * (a - b) + 0.31),
        margin=0.31,
    ),
    *[
        case(
            "multilabel_soft_margin_loss",
            (x, (draw(*x.shape, seed=1) > 0).astype(np.int64)),
            lambda x, t, r=r, w=w: reduced(
                np.mean((np.logaddexp(0, x) - t * x) * (1 if w is None else w), -1), r
            ),
            function=lambda x, t, r=r, w=w: ops.multilabel_soft_margin_loss(x, t, w, r),
            torch=False,
        )
        for x in (X, draw(4))
        for w in (None, WEIGHT)
        for r in REDUCTIONS
    ],
]
