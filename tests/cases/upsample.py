# SPDX-License-Identifier: Apache-2.0
"""Images of other extents."""

from __future__ import annotations

from typing import Any

import reference

from .case import LARGE, case, different, draw


def _shuffle(x: Any, upscale_factor: int) -> Any:
    n, c, h, w = x.shape
    r = upscale_factor
    y = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // r**2, h * r, w * r)


def _unshuffle(x: Any, downscale_factor: int) -> Any:
    n, c, h, w = x.shape
    r = downscale_factor
    y = x.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return y.reshape(n, c * r**2, h // r, w // r)


def _channels(x: Any, groups: int) -> Any:
    n, c, *rest = x.shape
    return x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(x.shape)


def _scaled(scales: tuple[float, ...], recompute: bool, mode: str) -> Any:
    def expected(x: Any) -> Any:
        size = tuple(int(n * s) for n, s in zip(x.shape[2:], scales, strict=True))
        return reference.interpolate(x, size, None if recompute else scales, mode=mode)

    return expected


def _resized(shape: tuple[int, ...], size: tuple[int, ...], mode: str, **rule: bool) -> Any:
    return case(
        "interpolate",
        draw(*shape),
        lambda x: reference.interpolate(x, size, mode=mode, **rule),
        size=size,
        mode=mode,
        ulps=16.0,
        **rule,
    )


RESIZED = [
    ((2, 3, 4), (7,)),
    ((1, 1, 5), (2,)),
    ((2, 3, 4, 3), (3, 7)),
    ((1, 2, 6, 5), (4, 2)),
    ((2, 17, 1, 3), (3, 1)),
    ((1, 2, 2, 3, 2), (3, 2, 4)),
]
UNWEIGHTED = ("nearest", "nearest-exact", "area")
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
WEIGHTED = [(shape, size, LINEAR[len(size)]) for shape, size in RESIZED]
WEIGHTED += [(shape, size, "bicubic") for shape, size in RESIZED if len(size) == 2]
SCALED = [
    ((2, 3, 5), (1.7,)),
    ((1, 2, 5, 4), (1.4, 2.0)),
    ((1, 2, 6, 5), (0.7, 0.5)),
    ((1, 1, 2, 3, 2), (2.0, 1.5, 1.0)),
]

CASES = [
    *[_resized(shape, size, mode) for shape, size in RESIZED for mode in UNWEIGHTED],
    *[_resized(*sizes, align_corners=corners) for sizes in WEIGHTED for corners in (False, True)],
    *[
        _resized(shape, size, mode, antialias=True)
        for shape, size in (*RESIZED[2:5], ((1, 2, 9, 11), (2, 3)))
        for mode in ("bilinear", "bicubic")
    ],
    *[
        case(
            "interpolate",
            draw(*shape),
            _scaled(scales, recompute, mode),
            scale_factor=scales,
            mode=mode,
            recompute_scale_factor=recompute,
            ulps=16.0,
        )
        for shape, scales in SCALED
        for mode in ("nearest", LINEAR[len(scales)])
        for recompute in (False, True)
    ],
    # Several blocks of columns, rows that several threads share, pixels below and above a vector.
    *[_resized(LARGE, (61, 57), mode) for mode in ("nearest", "bilinear", "bicubic")],
    _resized((1, 3, 2, 5000), (3, 7001), "bilinear"),
    _resized((1, 70, 3, 600), (2, 401), "bicubic"),
    # One channel: vectors of neighbouring pixels, and what does not fill one.
    *[
        _resized((1, 1, 2, width), (3, size), mode)
        for width, size in ((37, 74), (70, 41), (20, 133))
        for mode in ("nearest", "bilinear", "bicubic")
    ],
    case(
        "upsample",
        draw(2, 3, 4),
        lambda x: reference.interpolate(x, (8,), mode="nearest"),
        scale_factor=2,
        torch="interpolate",
    ),
    *[
        case("pixel_shuffle", different(*shape), lambda x, r=r: _shuffle(x, r), exact=True, upscale_factor=r)
        for shape, r in (((2, 8, 3, 4), 2), ((1, 9, 1, 2), 3), ((2, 3, 2, 2), 1), ((2, 64, 20, 21), 4))
    ],
    *[
        case(
            "pixel_unshuffle",
            different(*shape),
            lambda x, r=r: _unshuffle(x, r),
            exact=True,
            downscale_factor=r,
        )
        for shape, r in (((2, 2, 4, 6), 2), ((1, 1, 3, 6), 3), ((2, 3, 2, 2), 1), ((2, 5, 40, 44), 4))
    ],
    *[
        case("channel_shuffle", different(*shape), lambda x, g=g: _channels(x, g), exact=True, groups=g)
        for shape, g in (
            ((2, 6, 3), 2),
            ((2, 6, 3, 2), 3),
            ((1, 4, 2, 2, 2), 2),
            ((2, 3, 2), 1),
            ((2, 60, 20, 4), 3),
        )
    ],
]
