# SPDX-License-Identifier: Apache-2.0
"""Convolution, transposed convolution, linear layers and matrix products of whole numbers: exact."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference

from .case import LARGE, case, whole


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


def _conv(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    rank = w.ndim - 2
    stride, dilation = _each(stride, rank), _each(dilation, rank)
    if isinstance(padding, str):
        reach = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, w.shape[2:], strict=True)]
        begin, end = [r // 2 for r in reach], [r - r // 2 for r in reach]
    elif isinstance(padding, tuple) and isinstance(padding[0], tuple):
        begin, end = [side[0] for side in padding], [side[1] for side in padding]
    else:
        begin = end = list(_each(padding, rank))
    return reference.conv(x, w, b, stride=stride, begin=begin, end=end, dilation=dilation, groups=groups)


def _transposed(
    x: Any,
    w: Any,
    b: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    rank = w.ndim - 2
    s, p, o, d = (_each(value, rank) for value in (stride, padding, output_padding, dilation))
    full = [
        (n - 1) * si + di * (k - 1) + 1 + oi
        for n, k, si, di, oi in zip(x.shape[2:], w.shape[2:], s, d, o, strict=True)
    ]
    zeros = (0,) * rank
    y = reference.conv_backward_data(x, w, full, stride=s, begin=zeros, end=zeros, dilation=d, groups=groups)
    y = y[(slice(None), slice(None), *(slice(q, n - q) for q, n in zip(p, full, strict=True)))]
    return y if b is None else y + np.asarray(b).reshape(1, -1, *(1,) * rank)


CONV = (
    {},
    {"padding": 1},
    {"stride": 2, "padding": (1, 0)},
    {"dilation": (2, 1), "padding": "same"},
    {"stride": (1, 3), "padding": "valid"},
    {"groups": 2, "padding": 1},
)
TRANSPOSED = (
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (2, 1), "dilation": (1, 2), "groups": 2},
    {"padding": 2, "stride": 3, "output_padding": (2, 0)},
)

OTHER_CONV: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, {}),
    (1, {"stride": 2, "padding": 1}),
    (1, {"padding": "same", "dilation": 2, "groups": 2}),
    (1, {"padding": ((2, 1),), "stride": (3,)}),
    (1, {"padding": "valid"}),
    (3, {}),
    (3, {"stride": (1, 2, 1), "padding": (1, 0, 2)}),
    (3, {"padding": "same", "dilation": (1, 2, 1), "groups": 2}),
    (3, {"padding": ((1, 0), (0, 2), (1, 1))}),
)
OTHER_TRANSPOSED: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, {}),
    (1, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    (1, {"stride": (3,), "padding": 2, "output_padding": 2}),
    (3, {"dilation": (1, 2, 1)}),
    (3, {"stride": (2, 1, 2), "padding": 1, "output_padding": (1, 0, 0), "groups": 2}),
)
SIZE = {1: (9,), 3: (3, 4, 5)}
KERNEL = {1: (3,), 3: (2, 2, 3)}


def _sides(padding: Any) -> bool:
    return isinstance(padding, tuple) and isinstance(padding[0], tuple)


CASES = [
    *[
        case(
            f"conv{rank}d",
            (
                whole(2, 4, *SIZE[rank]),
                whole(6, 4 // s.get("groups", 1), *KERNEL[rank], seed=1),
                whole(6, seed=2),
            ),
            lambda x, w, b=None, s=s: _conv(x, w, b, **s),
            exact=True,
            # torch warns that padding="same" may copy where a kernel has an even extent.
            torch=not _sides(s.get("padding")) and (rank, s.get("padding")) != (3, "same"),
            **s,
        )
        for rank, s in OTHER_CONV
    ],
    *[
        case(
            f"conv{rank}d",
            (whole(2, 5, *SIZE[rank]), whole(5, 1, *KERNEL[rank], seed=1)),
            lambda x, w: _conv(x, w, groups=5),
            exact=True,
            groups=5,
        )
        for rank in SIZE
    ],
    *[
        case(
            f"conv_transpose{rank}d",
            (
                whole(1, 4, *SIZE[rank]),
                whole(4, 6 // s.get("groups", 1), *KERNEL[rank], seed=1),
                whole(6, seed=2),
            ),
            lambda x, w, b, s=s: _transposed(x, w, b, **s),
            exact=True,
            **s,
        )
        for rank, s in OTHER_TRANSPOSED
    ],
    *[
        case(
            "conv2d",
            (whole(2, 4, 6, 5), whole(6, 4 // s.get("groups", 1), 3, 3, seed=1), *bias),
            lambda x, w, b=None, s=s: _conv(x, w, b, **s),
            exact=True,
            **s,
        )
        for s in CONV
        for bias in ((), (whole(6, seed=2),))
    ],
    case(
        "conv2d",
        (whole(2, 5, 6, 5), whole(10, 1, 3, 3, seed=1), whole(10, seed=2)),
        lambda x, w, b: _conv(x, w, b, groups=5),
        exact=True,
        groups=5,
    ),
    case("conv2d", (whole(*LARGE), whole(9, 17, 1, 1, seed=1)), _conv, exact=True),
    *[
        case(
            "conv_transpose2d",
            (whole(2, 4, 3, 4), whole(4, 6 // s.get("groups", 1), 3, 3, seed=1), *bias),
            lambda x, w, b=None, s=s: _transposed(x, w, b, **s),
            exact=True,
            **s,
        )
        for s in TRANSPOSED
        for bias in ((), (whole(6, seed=2),))
    ],
    *[
        case(
            "linear",
            (whole(*shape), whole(3, 5, seed=1), *bias),
            lambda x, w, b=0: x @ w.T + b,
            exact=True,
        )
        for shape in ((5,), (4, 5), (2, 3, 5), (2, 1, 3, 5), (300, 5))
        for bias in ((), (whole(3, seed=2),))
    ],
    *[
        case("matmul", (whole(*a), whole(*b, seed=1)), np.matmul, exact=True)
        for a, b in (
            ((3, 4), (4, 5)),
            ((4,), (4,)),
            ((4,), (4, 3)),
            ((3, 4), (4,)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((2, 5, 3, 4), (4,)),
            ((2, 3, 4), (4, 5)),
            ((3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((1, 1), (1, 1)),
            ((70, 80), (80, 90)),
        )
    ],
]
