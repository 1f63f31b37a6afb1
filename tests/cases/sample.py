# SPDX-License-Identifier: Apache-2.0
"""Images at given places."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.sample import affine_grid, grid_sample

from .case import Array, case, draw

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def grid_of(x: Array, out: tuple[int, ...], align_corners: bool, seed: int = 0) -> Array:
    """Places up to an image's width outside of it, in eighths of a pixel, none where pieces meet.

    In float32 and float64 alike they lie between pixels, which rounding could not move to another one.
    """
    axes = x.ndim - 2
    random = np.random.default_rng(seed + x.size)
    found = []
    for n in reversed(x.shape[2:]):
        places = random.integers(-n, 2 * n, (len(x), *out)) + random.choice(
            [0.125, 0.375, 0.625, 0.875], (len(x), *out)
        )
        grid = 2 * places / max(n - 1, 1) - 1 if align_corners else (2 * places + 1) / n - 1
        found.append(grid)
    assert len(found) == axes
    return np.stack(found, -1).astype(np.float32)


def _sampled(
    shape: tuple[int, ...], out: tuple[int, ...], mode: str, padding: str, corners: bool, **rest: Any
) -> Any:
    x = draw(*shape)
    grid = grid_of(x, out, corners)
    return case(
        "grid_sample",
        (x, grid),
        lambda x, g: grid_sample(x, g, mode, padding, corners),
        mode=mode,
        padding_mode=padding,
        align_corners=corners,
        # A place is rounded as a number of the image's extent, and differences of pixels are up to 4.
        magnitude=8.0 * max(shape[2:]),
        twice=mode == "nearest",
        **rest,
    )


PLANES = [((2, 3, 4, 5), (3, 2)), ((1, 1, 1, 3), (2, 2)), ((1, 18, 3, 2), (1, 3)), ((1, 5, 1, 1), (1, 1))]
VOLUMES = [((1, 2, 3, 2, 4), (2, 1, 3)), ((2, 17, 2, 3, 2), (1, 2, 1)), ((1, 1, 1, 4, 1), (2, 2, 2))]

CASES = [
    *[
        _sampled(*sizes, mode, padding, corners)
        for sizes in PLANES
        for mode in MODES
        for padding in PADDINGS
        for corners in (False, True)
    ],
    *[
        _sampled(*sizes, mode, padding, corners)
        for sizes in VOLUMES
        for mode in MODES[:2]
        for padding in PADDINGS
        for corners in (False, True)
    ],
    # Several chunks of places, bands of rows and blocks of channels, that several threads share.
    _sampled((1, 3, 60, 50), (70, 60), "bilinear", "zeros", False),
    _sampled((1, 3, 60, 50), (70, 60), "bicubic", "border", False),
    _sampled((2, 150, 9, 11), (20, 15), "bicubic", "reflection", True),
    _sampled((1, 70, 5, 9, 8), (7, 12, 10), "bilinear", "zeros", False),
    _sampled((1, 2, 30, 20, 10), (7, 30, 25), "nearest", "reflection", False),
    *[
        case(
            "affine_grid",
            draw(size[0], len(size) - 2, len(size) - 1),
            lambda t, s=size, c=corners: affine_grid(t, s, c),
            size=size,
            align_corners=corners,
            # torch warns of single pixels with align_corners.
            torch=not (corners and 1 in size[2:]),
        )
        for size in ((2, 3, 4, 5), (1, 1, 1, 3), (2, 2, 3, 1, 2))
        for corners in (False, True)
    ],
]
