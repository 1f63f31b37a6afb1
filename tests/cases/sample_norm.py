# SPDX-License-Identifier: Apache-2.0
"""Norms of each sample by itself, and of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from cnncore import ops

from .case import LARGE, case, draw


def _layer_norm(x: Any, w: Any, b: Any, eps: float) -> Any:
    axes = tuple(range(x.ndim - w.ndim, x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * w + b


def _rms_norm(x: Any, w: Any, eps: float) -> Any:
    axes = tuple(range(x.ndim - w.ndim, x.ndim))
    return x / np.sqrt((x * x).mean(axes, keepdims=True) + eps) * w


def _response_norm(x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
    pads = [(0, 0)] * x.ndim
    pads[1] = (size // 2, (size - 1) // 2)
    padded = np.pad(x * x, pads)
    sums = sum(padded[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha / size * sums) ** beta


def _norm(x: Any, p: float, axes: Any) -> Any:
    if p == np.inf:
        return np.abs(x).max(axes, keepdims=True)
    sums = (np.abs(x) ** p).sum(axes, keepdims=True)
    return sums ** (1 / p) if p else sums


def _in_torch(name: str, shape: tuple[int, ...], eps: float) -> Any:
    def call(x: Any, *parts: Any) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(x, shape, *parts, eps=eps)

    return call


def _rows(shape: tuple[int, ...], axes: int) -> list[Any]:
    extents = shape[len(shape) - axes :]
    parts = (draw(*extents, seed=2), draw(*extents, seed=3))
    return [
        case(
            "layer_norm",
            (draw(*shape), *parts),
            lambda x, w, b: _layer_norm(x, w, b, 0.01),
            function=lambda x, w, b: ops.layer_norm(x, extents, w, b, 0.01),
            torch=_in_torch("layer_norm", extents, 0.01),
            ulps=64.0,
        ),
        case(
            "rms_norm",
            (draw(*shape), parts[0]),
            lambda x, w: _rms_norm(x, w, 0.01),
            function=lambda x, w: ops.rms_norm(x, extents, w, 0.01),
            torch=_in_torch("rms_norm", extents, 0.01),
            ulps=64.0,
        ),
    ]


ROWS = (
    ((7,), 1),
    ((5, 3), 1),
    ((3, 70), 1),
    ((2, 3, 5), 2),
    ((2, 3, 2, 5), 3),
    ((1, 2), 1),
    ((2, 2, 1, 2), 2),
)
ROWS = (*ROWS, (LARGE, 1), ((5, 4100), 1), ((600, 40), 1), ((2, 17, 40, 41), 3))

CASES = [
    *[found for shape, axes in ROWS for found in _rows(shape, axes)],
    *[
        case(
            "layer_norm",
            (draw(3, 2, 4, 3), draw(2, 4, 3, seed=2), draw(2, 4, 3, seed=3)),
            lambda x, w, b: _layer_norm(2 * x, w, b, 0.01),
            function=lambda x, w, b, memory=memory: ops.layer_norm(memory(x), (2, 4, 3), w, b, 0.01),
            torch=False,
            ulps=64.0,
        )
        # What is computed in channels-last memory, and rows of it.
        for memory in (lambda x: x + x, lambda x: ops.conv2d(x, 2 * np.eye(2)[:, :, None, None]))
    ],
    case(
        "layer_norm",
        draw(4, 6),
        lambda x: _layer_norm(x, np.ones(6), 0, 1e-5),
        normalized_shape=(6,),
        ulps=64.0,
    ),
    *[
        case(
            "instance_norm",
            (draw(*shape), draw(shape[1], seed=2), draw(shape[1], seed=3)),
            lambda x, w, b: reference.group_norm(x, x.shape[1], w, b, 0.01),
            function=lambda x, w, b: ops.instance_norm(x, None, None, w, b, eps=0.01),
            torch=lambda x, w, b: __import__("torch").nn.functional.instance_norm(
                x, None, None, w, b, eps=0.01
            ),
            ulps=64.0,
        )
        for shape in ((4, 3, 5), (2, 3, 3, 4), (2, 3, 2, 2, 2), (1, 1, 2), LARGE)
    ],
    *[
        case(
            "local_response_norm",
            draw(*shape),
            lambda x, s=settings: _response_norm(x, **s),
            ulps=16.0,
            **settings,
        )
        for shape, settings in (
            ((2, 7, 3), {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}),
            ((2, 6, 2, 3), {"size": 4, "alpha": 1.5, "beta": 0.5, "k": 1.0}),
            ((1, 3, 2, 2, 2), {"size": 9, "alpha": 2.0, "beta": 1.0, "k": 1.0}),
            ((2, 1, 3), {"size": 1, "alpha": 1.0, "beta": 0.75, "k": 1.0}),
            (LARGE, {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}),
        )
    ],
    *[
        case(
            "normalize",
            draw(*shape),
            lambda x, p=p, d=d: x / _norm(x, p, d),
            p=p,
            dim=d,
            differentiable=bool(p),
        )
        for shape, p, d in (
            ((4, 5), 2.0, 1),
            ((2, 3, 4), 1.0, 2),
            ((2, 3, 4), 3.0, 0),
            ((2, 4, 3, 2), np.inf, 1),
            ((3, 4), 0.0, 1),
            ((2, 3, 4), 2.0, (1, 2)),
            ((2, 3), 0.5, 1),
            (LARGE, 2.0, 1),
        )
    ],
    *[
        case(
            "pairwise_distance",
            (draw(*a), draw(*b, low=-1.9, seed=1)),
            lambda x, y, p=p: _norm(x - y + 1e-3, p, -1)[..., 0],
            p=p,
            eps=1e-3,
            ulps=16.0,
            differentiable=bool(p),
        )
        for a, b, p in (
            ((4, 5), (4, 5), 2.0),
            ((4, 5), (1, 5), 1.0),
            ((5,), (5,), 3.0),
            ((2, 3, 4), (3, 4), np.inf),
            ((3, 4), (3, 4), 0.0),
        )
    ],
    case(
        "pairwise_distance",
        (draw(4, 5), draw(4, 5, seed=1)),
        lambda x, y: _norm(x - y + 1e-6, 2, -1),
        keepdim=True,
    ),
    *[
        case(
            "cosine_similarity",
            (draw(*a), draw(*b, low=-1.9, seed=1)),
            lambda x, y, d=d: (x * y).sum(d) / (_norm(x + 0 * y, 2, d) * _norm(y + 0 * x, 2, d)).squeeze(d),
            dim=d,
        )
        for a, b, d in (((4, 5), (4, 5), 1), ((4, 5), (1, 5), -1), ((2, 3, 4), (2, 3, 4), 0), ((7,), (7,), 0))
    ],
]
