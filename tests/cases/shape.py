# SPDX-License-Identifier: Apache-2.0
"""The same elements under another shape, in another order, cut and joined: nothing is ever rounded."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from cnncore import ops

from .case import LARGE, case, whole


def _exact(name: str, arrays: Any, reference: Any, **rest: Any):
    return case(name, arrays, reference, exact=True, **rest)


SHAPES = ((24, 5), (2, 60), (2, 3, 20), (5, 4, 3, 2), (8, 15), (120,), (3, -1), (1, 2, 60, 1))
INDICES = (
    (slice(1, None), 0, ..., slice(None, None, 2)),
    (0,),
    (None, ..., 1),
    (slice(None), slice(0, 3, 2)),
)
PADS = ((1, 2), (1, 0, 2, 3), (0, 1, 0, 0, 2, 1), (-1, 1), (-1, -1, 2, -2))


def _pad(x: Any, amounts: tuple[int, ...], value: float) -> Any:
    pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)][::-1]
    pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    x = x[tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, pairs, strict=True))]
    return np.pad(x, [(max(b, 0), max(a, 0)) for b, a in pairs], constant_values=value)


CASES = [
    *[_exact("reshape", whole(2, 3, 4, 5), lambda x, s=s: x.reshape(s), shape=s) for s in SHAPES],
    *[
        _exact("flatten", whole(2, 3, 4), lambda x, s=s: x.reshape(s), start_dim=d)
        for s, d in (((24,), 0), ((2, 12), 1))
    ],
    *[
        _exact("unflatten", whole(2, 12, 5), lambda x, s=s: x.reshape(s), dim=d, sizes=n)
        for d, n, s in (
            (1, (3, 4), (2, 3, 4, 5)),
            (-2, (2, -1, 2), (2, 2, 3, 2, 5)),
            (0, (1, 2), (1, 2, 12, 5)),
            (2, (-1,), (2, 12, 5)),
        )
    ],
    _exact("flatten", whole(2, 3, 4, 5), lambda x: x.reshape(2, 12, 5), start_dim=1, end_dim=2),
    *[
        _exact("permute", whole(2, 3, 4), lambda x, d=d: x.transpose(d), dims=d)
        for d in itertools.permutations(range(3))
    ],
    *[
        _exact("permute", whole(*shape), lambda x, d=d: x.transpose(d), dims=d)
        for shape, d in (((2, 3, 4, 5), (0, 2, 3, 1)), ((2, 3, 4, 5), (3, 0, 1, 2)), (LARGE, (1, 3, 0, 2)))
    ],
    *[
        _exact("transpose", whole(2, 3, 4, 5), lambda x, a=a, b=b: x.swapaxes(a, b), dim0=a, dim1=b)
        for a, b in ((0, 1), (1, -1), (2, 3), (2, 2))
    ],
    *[
        _exact(
            "slice", whole(4, 3, 5), lambda x, i=i: x[i], function=lambda x, i=i: ops.slice(x, i), torch=False
        )
        for i in INDICES
    ],
    *[
        _exact(
            "concat",
            tuple(
                whole(*(i + 1 if axis == dim else n for axis, n in enumerate((2, 3, 4, 5))), seed=i)
                for i in range(3)
            ),
            lambda *parts, dim=dim: np.concatenate(parts, dim),
            function=lambda *parts, dim=dim: ops.concat(parts, dim),
            torch=False,
        )
        for dim in range(4)
    ],
    *[_exact("pad", whole(3, 4, 5), lambda x, p=p: _pad(x, p, 3.0), pad=p, value=3.0) for p in PADS],
]
