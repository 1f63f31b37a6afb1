# SPDX-License-Identifier: Apache-2.0
"""Pooling."""

from __future__ import annotations

from typing import Any

import reference

from .case import LARGE, case, different, draw

SETTINGS: tuple[dict[str, Any], ...] = (
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
)


OTHER_SETTINGS: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, {"kernel_size": 2}),
    (1, {"kernel_size": 3, "stride": 2, "padding": 1}),
    (1, {"kernel_size": (3,), "stride": (2,), "ceil_mode": True}),
    (3, {"kernel_size": 2}),
    (3, {"kernel_size": (2, 3, 2), "stride": (2, 1, 2), "padding": (1, 0, 1)}),
    (3, {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
)
SIZE = {1: (10,), 3: (3, 4, 5)}
OTHER_EXTENTS: tuple[tuple[int, Any, tuple[int, ...]], ...] = (
    (1, 3, (3,)),
    (1, 13, (13,)),
    (3, 1, (1, 1, 1)),
    (3, (2, None, 4), (2, 4, 4)),
)


def _window(s: dict[str, Any], rank: int = 2) -> tuple[tuple[int, ...], ...]:
    values = (
        s["kernel_size"],
        s.get("stride") or s["kernel_size"],
        s.get("padding", 0),
        s.get("dilation", 1),
    )
    return tuple(v if isinstance(v, tuple) else (v,) * rank for v in values)


def _max(x: Any, s: dict[str, Any]) -> Any:
    kernel, stride, padding, dilation = _window(s, x.ndim - 2)
    return reference.max_pool(x, kernel, stride, padding, padding, dilation, s.get("ceil_mode", False))[0]


def _avg(x: Any, s: dict[str, Any]) -> Any:
    kernel, stride, padding, _ = _window(s, x.ndim - 2)
    return reference.avg_pool(
        x,
        kernel,
        stride,
        padding,
        padding,
        s.get("ceil_mode", False),
        s.get("count_include_pad", True),
        s.get("divisor_override", 0),
    )


CASES = [
    *[
        case(
            f"max_pool{rank}d",
            different(2, 3, *SIZE[rank]),
            lambda x, s=s: _max(x, s),
            exact=True,
            **s,
        )
        for rank, s in (*OTHER_SETTINGS, (1, {"kernel_size": 3, "dilation": 2}))
    ],
    *[
        case(f"avg_pool{rank}d", draw(2, 3, *SIZE[rank]), lambda x, s={**s, **more}: _avg(x, s), **s, **more)
        for rank, s in OTHER_SETTINGS
        for more in ({}, {"count_include_pad": False}, {"divisor_override": 5})
        if rank == 3 or "divisor_override" not in more
    ],
    *[
        case(
            f"adaptive_avg_pool{rank}d",
            draw(2, 3, *SIZE[rank]),
            lambda x, e=e: reference.adaptive_avg_pool(x, e),
            output_size=size,
            ulps=16.0,
        )
        for rank, size, e in OTHER_EXTENTS
    ],
    *[
        case(
            f"adaptive_max_pool{rank}d",
            different(2, 3, *SIZE[rank]),
            lambda x, e=e: reference.adaptive_max_pool(x, e)[0],
            output_size=size,
            exact=True,
        )
        for rank, size, e in OTHER_EXTENTS
    ],
    *[
        case("max_pool2d", different(2, 3, 5, 6), lambda x, s=s: _max(x, s), exact=True, **s)
        for s in (*SETTINGS, {"kernel_size": 2, "stride": 2, "padding": 1, "dilation": 2})
    ],
    case(
        "max_pool2d",
        different(*LARGE),
        lambda x: _max(x, SETTINGS[1]),
        exact=True,
        **SETTINGS[1],
    ),
    *[
        case("avg_pool2d", draw(2, 3, 5, 6), lambda x, s={**s, **more}: _avg(x, s), **s, **more)
        for s in SETTINGS
        for more in ({}, {"count_include_pad": False}, {"divisor_override": 5})
    ],
    case("avg_pool2d", draw(*LARGE), lambda x: _avg(x, SETTINGS[1]), **SETTINGS[1]),
    *[
        case(
            "adaptive_avg_pool2d",
            draw(2, 3, 5, 6),
            lambda x, e=e: reference.adaptive_avg_pool(x, e),
            output_size=size,
            ulps=16.0,
        )
        for size, e in ((1, (1, 1)), ((2, 4), (2, 4)), ((None, 4), (5, 4)), (7, (7, 7)))
    ],
    # Few channels, whose windows are summed axis by axis where they are small.
    *[
        case(
            "adaptive_avg_pool2d",
            draw(1, channels, *extents),
            lambda x, e=size: reference.adaptive_avg_pool(x, e),
            output_size=size,
            ulps=16.0,
        )
        for channels, extents, size in ((1, (9, 70), (4, 41)), (1, (3, 20), (8, 43)), (4, (17, 6), (2, 9)))
    ],
    *[
        case(
            "adaptive_max_pool2d",
            different(2, 3, 5, 6),
            lambda x, e=e: reference.adaptive_max_pool(x, e)[0],
            output_size=size,
            exact=True,
        )
        for size, e in ((1, (1, 1)), ((2, 4), (2, 4)), ((None, 4), (5, 4)), (7, (7, 7)))
    ],
]
