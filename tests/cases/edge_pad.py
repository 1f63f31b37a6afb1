# SPDX-License-Identifier: Apache-2.0
"""Padding with a tensor's own elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import case, whole

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
SHAPES = [
    ((2, 3, 5), (2, 1)),
    ((2, 3, 5), (0, 4)),
    ((2, 3, 4, 5), (1, 2, 3, 0)),
    ((1, 2, 2, 3), (2, 2, 1, 1)),
    ((2, 2, 3, 4, 3), (2, 1, 0, 2, 1, 1)),
    ((2, 18, 40, 41), (3, 3, 3, 3)),
]


def _padded(x: Any, pad: tuple[int, ...], mode: str) -> Any:
    pairs = [pad[i : i + 2] for i in range(0, len(pad), 2)][::-1]
    return np.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, mode=MODES[mode])


CASES = [
    case("pad", whole(*shape), lambda x, p=p, m=m: _padded(x, p, m), exact=True, pad=p, mode=m)
    for shape, p in SHAPES
    for m in MODES
]
CASES += [
    # More borders than elements, axes of extent 1, and what torch has no name for: the batch and some axes.
    case(
        "pad",
        whole(2, 3, 2),
        lambda x: _padded(x, (5, 4), "replicate"),
        exact=True,
        pad=(5, 4),
        mode="replicate",
    ),
    case(
        "pad",
        whole(2, 3, 1),
        lambda x: _padded(x, (1, 1), "circular"),
        exact=True,
        pad=(1, 1),
        mode="circular",
    ),
    case(
        "pad",
        whole(3, 4),
        lambda x: _padded(x, (2, 1, 1, 2), "reflect"),
        exact=True,
        pad=(2, 1, 1, 2),
        mode="reflect",
        torch=False,
    ),
    case(
        "pad",
        whole(1, 2, 4, 5),
        lambda x: _padded(x[..., 1:], (0, 2), "reflect"),
        exact=True,
        pad=(-1, 2),
        mode="reflect",
        torch=False,
    ),
]
