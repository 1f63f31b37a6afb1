# SPDX-License-Identifier: Apache-2.0
"""Joining, cutting, repeating and turning: nothing is ever rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops

from .case import LARGE, case, whole

X, FIVE = whole(2, 3, 4, 5), whole(2, 3, 2, 1, 3)
PARTS = tuple(whole(2, 3, 4, seed=i) for i in range(3))


def _exact(name: str, arrays: Any, reference: Any, **rest: Any):
    return case(name, arrays, reference, exact=True, **rest)


def _list(name: str, parts: Any, reference: Any, dim: int):
    return _exact(
        name, parts, lambda *a: reference(a, dim), function=lambda *a: getattr(ops, name)(a, dim), torch=False
    )


def _cut(x: Any, places: Any, axis: int) -> Any:
    return tuple(np.split(x, places, axis))


CASES = [
    *[_list("cat", PARTS, np.concatenate, dim) for dim in (0, 1, 2, -1)],
    *[_list("stack", PARTS, np.stack, dim) for dim in (0, 1, 3, -1)],
    *[_list("stack", (whole(5), whole(5, seed=1)), np.stack, dim) for dim in (0, 1)],
    *[
        _exact("split", X, lambda x, p=p, a=a: _cut(x, p, a), split_size_or_sections=s, dim=a)
        for s, p, a in ((1, [1], 0), (2, [2], 1), (3, [3], 2), ([1, 4], [1], 3), (9, [], 1))
    ],
    *[
        _exact("chunk", X, lambda x, p=p, a=a: _cut(x, p, a), chunks=n, dim=a)
        for n, p, a in ((2, [1], 0), (2, [2], 1), (3, [2], 2), (3, [2, 4], -1))
    ],
    *[
        _exact("unbind", x, lambda x, a=a: tuple(np.moveaxis(x, a, 0)), dim=a)
        for x in (X, FIVE)
        for a in (0, 1, -1)
    ],
    _exact("squeeze", whole(2, 1, 3, 1), np.squeeze),
    _exact("squeeze", whole(2, 1, 3, 1), lambda x: x[:, 0], dim=1),
    _exact("squeeze", whole(2, 1, 3, 1), lambda x: x, dim=0),
    _exact("squeeze", FIVE, np.squeeze),
    *[
        _exact("unsqueeze", whole(2, 3, 4), lambda x, a=a: np.expand_dims(x, a), dim=a)
        for a in (0, 1, 3, -1, -4)
    ],
    *[
        _exact("movedim", X, lambda x, s=s, d=d: np.moveaxis(x, s, d), source=s, destination=d)
        for s, d in ((0, -1), (1, 3), ((0, 1), (2, 0)), ((3, 0), (0, 1)))
    ],
    *[_exact("swapaxes", X, lambda x, b=b: np.swapaxes(x, 1, b), axis0=1, axis1=b) for b in (0, 1, -1)],
    *[
        _exact("expand", x, lambda x, s=s: np.broadcast_to(x, s), size=given, torch=False)
        for x, given, s in (
            (whole(3, 1), (3, 4), (3, 4)),
            (whole(3, 1), (2, -1, 5), (2, 3, 5)),
            (whole(2, 1, 3, 1), (-1, 4, -1, 2), (2, 4, 3, 2)),
        )
    ],
    *[
        _exact(name, x, lambda x, r=r: np.tile(x, r), **{key: r}, torch=name == "tile")
        for name, key, r, x in (
            ("repeat", "repeats", (2, 3), whole(2, 3)),
            ("repeat", "repeats", (2, 1, 3, 2), whole(2, 3, 2)),
            ("tile", "dims", (2, 3), whole(2, 3)),
            ("tile", "dims", (3,), whole(2, 3, 2)),
            ("tile", "dims", (2, 1, 3, 2), whole(2, 3, 2)),
        )
    ],
    *[
        _exact("flip", x, lambda x, d=d: np.flip(x, d), dims=d)
        for x, d in ((X, (0,)), (X, (1, 3)), (whole(5), (0,)), (FIVE, (2, -1)), (whole(*LARGE), (1, 2)))
    ],
    *[
        _exact("roll", X, lambda x, s=s, d=d: np.roll(x, s, d), shifts=s, dims=d)
        for s, d in ((1, 0), (-2, 3), ((1, 2), (1, 2)), (7, 1), (0, 2), (13, None))
    ],
]
