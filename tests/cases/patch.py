# SPDX-License-Identifier: Apache-2.0
"""Patches, pooling by a norm, and bilinear forms."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from .case import case, draw, whole


def _offsets(kernel: Any, dilation: Any) -> list[tuple[int, int]]:
    return [(i * dilation[0], j * dilation[1]) for i, j in product(range(kernel[0]), range(kernel[1]))]


def _places(size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> list[int]:
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel_size, dilation, padding, stride, strict=True)
    ]


def _unfold(x: Any, **window: Any) -> Any:
    counts, (p, q), (s, t) = _places(x.shape[2:], **window), window["padding"], window["stride"]
    wide = np.pad(x, [(0, 0), (0, 0), (p, p), (q, q)])
    cut = [
        wide[:, :, i : i + s * (counts[0] - 1) + 1 : s, j : j + t * (counts[1] - 1) + 1 : t]
        for i, j in _offsets(window["kernel_size"], window["dilation"])
    ]
    return np.stack(cut, 2).reshape(x.shape[0], -1, counts[0] * counts[1])


def _fold(x: Any, output_size: Any, **window: Any) -> Any:
    counts, (p, q), (s, t) = _places(output_size, **window), window["padding"], window["stride"]
    offsets = _offsets(window["kernel_size"], window["dilation"])
    pieces = x.reshape(x.shape[0], -1, len(offsets), *counts)
    wide = np.zeros((x.shape[0], pieces.shape[1], output_size[0] + 2 * p, output_size[1] + 2 * q))
    for tap, (i, j) in enumerate(offsets):
        wide[:, :, i : i + s * (counts[0] - 1) + 1 : s, j : j + t * (counts[1] - 1) + 1 : t] += pieces[
            :, :, tap
        ]
    return wide[:, :, p : p + output_size[0], q : q + output_size[1]]


WINDOWS = [
    {"kernel_size": (1, 2), "dilation": (1, 1), "padding": (0, 0), "stride": (1, 1)},
    {"kernel_size": (2, 3), "dilation": (1, 1), "padding": (1, 2), "stride": (2, 1)},
    {"kernel_size": (2, 2), "dilation": (2, 1), "padding": (0, 1), "stride": (1, 3)},
]


def _pooled(x: Any, p: float, kernel: Any, stride: Any) -> Any:
    counts = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    total: Any = 0
    for at in product(*(range(k) for k in kernel)):
        cut = tuple(slice(i, i + s * (c - 1) + 1, s) for i, s, c in zip(at, stride, counts, strict=True))
        total = total + x[(slice(None), slice(None), *cut)] ** p
    return total ** (1 / p)


def _form(a: Any, b: Any, w: Any, shift: Any = 0.0) -> Any:
    return np.einsum("...i,kij,...j->...k", a, w, b) + shift


FORMS = [((3,), (2,), (4, 3, 2)), ((4, 3), (4, 2), (5, 3, 2)), ((2, 3, 1), (2, 3, 4), (2, 1, 4))]

CASES = [
    *[case("unfold", whole(2, 3, 5, 6), lambda x, w=w: _unfold(x, **w), exact=True, **w) for w in WINDOWS],
    *[
        case(
            "fold",
            whole(*_unfold(np.zeros((2, 3, 5, 6)), **w).shape),
            lambda x, w=w: _fold(x, (5, 6), **w),
            exact=True,
            output_size=(5, 6),
            **w,
        )
        for w in WINDOWS
    ],
    *[
        case(
            f"lp_pool{len(kernel)}d",
            draw(*shape, low=0.1),
            lambda x, p=p, k=kernel, s=stride: _pooled(x, p, k, s),
            norm_type=p,
            kernel_size=kernel if len(kernel) > 1 else kernel[0],
            stride=stride if len(stride) > 1 else stride[0],
            ulps=16.0,
        )
        for shape, p, kernel, stride in (
            ((2, 3, 7), 2.0, (3,), (2,)),
            ((2, 3, 7), 1.0, (2,), (2,)),
            ((2, 3, 5, 4), 2.0, (2, 3), (1, 2)),
            ((1, 2, 4, 4), 3.0, (2, 2), (2, 2)),
            ((1, 2, 3, 4, 3), 4.0, (2, 2, 2), (1, 2, 1)),
        )
    ],
    case(
        "lp_pool2d", draw(1, 2, 4, 4), lambda x: _pooled(x, 2, (2, 2), (2, 2)), norm_type=2.0, kernel_size=2
    ),
    *[
        case("bilinear", (draw(*a), draw(*b, seed=1), draw(*w, seed=2), draw(w[0], seed=3)), _form, ulps=32.0)
        for a, b, w in (
            ((3,), (2,), (4, 3, 2)),
            ((4, 3), (4, 2), (5, 3, 2)),
            ((2, 3, 1), (2, 3, 4), (2, 1, 4)),
        )
    ],
    case("bilinear", (draw(4, 3), draw(4, 2, seed=1), draw(5, 3, 2, seed=2)), _form, ulps=32.0),
]
