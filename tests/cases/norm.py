# SPDX-License-Identifier: Apache-2.0
"""Normalisation, and dropout, whose mask is that of the same operation on ones."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from cnncore import ops

from .case import LARGE, case, draw

SHAPES = ((8, 3), (4, 3, 5), (2, 3, 3, 4), (2, 3, 2, 2, 2), LARGE)


def _training(x: Any, w: Any, b: Any) -> Any:
    return reference.batch_norm(x, w, b)[0]


def _running(x: Any, mean: Any, var: Any, w: Any, b: Any, eps: float) -> Any:
    return reference.batch_norm(x, w, b, mean, var, eps)[0]


def _parts(shape: tuple[int, ...]) -> tuple[Any, ...]:
    channels = shape[1]
    return draw(channels, seed=2), draw(channels, seed=3)


def _torch_group_norm(groups: int) -> Any:
    def call(x: Any, w: Any, b: Any) -> Any:
        import torch

        return torch.nn.functional.group_norm(x, groups, w, b, 0.01)

    return call


FEATURES = [
    ("dropout1d", (2, 3, 4)),
    ("dropout2d", (2, 3, 2, 4)),
    ("dropout3d", (2, 3, 2, 1, 4)),
    ("alpha_dropout", (3, 4)),
    ("feature_alpha_dropout", (2, 3, 4)),
]

CASES = [
    *[
        case(
            "batch_norm",
            (draw(*shape), *_parts(shape)),
            _training,
            function=lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
            torch=False,
            ulps=64.0,
        )
        for shape in SHAPES
    ],
    *[
        case(
            "batch_norm",
            (draw(*shape), *_parts(shape)),
            lambda x, w, b, m=m, v=v: _running(x, m, v, w, b, 0.1),
            function=lambda x, w, b, m=m, v=v: ops.batch_norm(x, m, v, w, b, eps=0.1),
            torch=False,
            ulps=32.0,
        )
        for shape in SHAPES
        for m, v in ((draw(shape[1], seed=4), draw(shape[1], low=0.5, seed=5)),)
    ],
    *[
        case(
            "group_norm",
            (draw(*shape), *_parts(shape)),
            lambda x, w, b, groups=groups: reference.group_norm(x, groups, w, b, 0.01),
            function=lambda x, w, b, groups=groups: ops.group_norm(x, groups, w, b, eps=0.01),
            torch=_torch_group_norm(groups),
            ulps=64.0,
        )
        for shape, groups in (
            ((8, 6), 2),
            ((4, 3, 5), 3),
            ((2, 20, 3, 4), 4),
            ((1, 4, 2, 2, 2), 1),
            ((3, 18, 40, 41), 3),
            ((2, 64, 70, 68), 1),
        )
    ],
    case(
        "group_norm",
        draw(2, 4, 3, 3),
        lambda x: reference.group_norm(x, 2),
        num_groups=2,
        ulps=64.0,
    ),
    *[case(name, draw(*shape), np.array, training=False) for name, shape in FEATURES],
    *[case(name, draw(*shape), np.zeros_like, p=1.0, training=True, exact=True) for name, shape in FEATURES],
    case("stochastic_depth", draw(2, 3), np.zeros_like, p=1.0, mode="row", torch=False, exact=True),
    case("stochastic_depth", draw(2, 3), np.array, p=0.3, mode="batch", training=False, torch=False),
    case("dropout", draw(3, 4), np.array, training=False, torch=False),
    case("dropout", draw(3, 4), np.zeros_like, p=1.0, torch=False, exact=True),
]
