# SPDX-License-Identifier: Apache-2.0
"""Pooling that follows places: unpooling, windows at random distances; distances of pairs; drawn slopes."""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

import numpy as np

from .case import LARGE, Array, case, different, draw, every_rank


def _unpooled(x: Any, places: Any, output: tuple[int, ...]) -> Any:
    y = np.zeros((*x.shape[:2], prod(output)))
    for n, c in np.ndindex(x.shape[:2]):
        y[n, c, places[n, c].ravel()] = x[n, c].ravel()
    return y.reshape(*x.shape[:2], *output)


def _drawn_places(*shape: int, among: int) -> Array:
    """Different places in each channel."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(among)[: prod(shape[2:])] for _ in range(shape[0] * shape[1])]
    return np.stack(rows).reshape(shape)


UNPOOLED: tuple[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ("max_unpool1d", (2, 3, 4), (8,), {"kernel_size": 2}),
    ("max_unpool1d", (2, 3, 4), (8,), {"kernel_size": 3, "stride": 2, "padding": 1, "output_size": (8,)}),
    ("max_unpool2d", (2, 3, 3, 4), (6, 8), {"kernel_size": 2}),
    ("max_unpool2d", (2, 3, 3, 4), (7, 9), {"kernel_size": 3, "stride": 2}),
    ("max_unpool2d", (2, 3, 3, 4), (7, 8), {"kernel_size": (2, 2), "output_size": (2, 3, 7, 8)}),
    ("max_unpool3d", (1, 2, 2, 3, 2), (4, 6, 4), {"kernel_size": 2}),
)


def _starts(u: Any, n: int, kernel: int, output: int) -> list[int]:
    """As float32 has them, since rounding decides between neighbours."""
    if output == 1:
        return [n - kernel]
    mean = np.float32(n - kernel) / np.float32(output - 1)
    return [
        *(int((np.float32(i) + np.float32(u)) * mean) - int(np.float32(u) * mean) for i in range(output - 1)),
        n - kernel,
    ]


def _fractional(x: Any, samples: Any, kernel: tuple[int, ...], output: tuple[int, ...]) -> Any:
    extents = x.shape[2:]
    values = np.empty((*x.shape[:2], *output))
    places = np.empty(values.shape, np.int64)
    numbers = np.arange(prod(extents)).reshape(extents)
    for n, c in np.ndindex(x.shape[:2]):
        drawn = samples[n, c][::-1] if len(kernel) == 2 else samples[n, c]
        starts = [
            _starts(u, size, k, m) for u, size, k, m in zip(drawn, extents, kernel, output, strict=True)
        ]
        for at in itertools.product(*map(range, output)):
            window = tuple(slice(s[i], s[i] + k) for s, i, k in zip(starts, at, kernel, strict=True))
            chosen = x[n, c][window].argmax()
            values[(n, c, *at)] = x[n, c][window].ravel()[chosen]
            places[(n, c, *at)] = numbers[window].ravel()[chosen]
    return values, places


SAMPLES = np.random.default_rng(3)
FRACTIONAL: tuple[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ("fractional_max_pool2d", (2, 3, 9, 8), (2, 2), (5, 4), {"kernel_size": 2, "output_size": (5, 4)}),
    ("fractional_max_pool2d", (1, 2, 9, 9), (3, 2), (1, 6), {"kernel_size": (3, 2), "output_size": (1, 6)}),
    ("fractional_max_pool2d", (1, 2, 7, 9), (2, 2), (4, 6), {"kernel_size": 2, "output_ratio": (0.6, 0.7)}),
    (
        "fractional_max_pool3d",
        (1, 2, 6, 5, 7),
        (2, 2, 3),
        (3, 4, 2),
        {"kernel_size": (2, 2, 3), "output_size": (3, 4, 2)},
    ),
)


def _pairs(x: Any, p: float) -> Any:
    apart = [np.abs(a - b) for a, b in itertools.combinations(x, 2)]
    return np.array([row.max() if p == np.inf else (row**p).sum() ** (1 / p) for row in apart])


CASES = [
    *[
        case(
            name,
            (draw(*shape), _drawn_places(*shape, among=prod(output))),
            lambda x, i, o=output: _unpooled(x, i, o),
            exact=True,
            **settings,
        )
        for name, shape, output, settings in UNPOOLED
    ],
    case(
        "max_unpool2d",
        (draw(*LARGE), _drawn_places(*LARGE, among=4 * 40 * 41)),
        lambda x, i: _unpooled(x, i, (80, 82)),
        exact=True,
        kernel_size=2,
    ),
    *[
        case(
            name,
            different(*shape),
            lambda x, s=samples, k=kernel, o=output: _fractional(x, s, k, o),
            exact=True,
            return_indices=True,
            _random_samples=samples,
            torch=False,
            **settings,
        )
        for name, shape, kernel, output, settings in FRACTIONAL
        for samples in [SAMPLES.random((*shape[:2], len(kernel))).astype(np.float32)]
    ],
    *[
        case("pdist", draw(5, 3), lambda x, p=p: _pairs(x, p), p=p, ulps=16.0)
        for p in (1.0, 2.0, 3.0, np.inf)
    ],
    *every_rank("rrelu", lambda x: np.where(x > 0, x, x * (0.25 + 1) / 2), lower=0.25, upper=1.0),
]
