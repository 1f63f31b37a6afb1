# SPDX-License-Identifier: Apache-2.0
"""Deformable convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from reference.regions import deform_conv2d

from .case import Array, case, draw


def moves_of(*shape: int) -> Array:
    """Offsets up to three pixels, in eighths of one, that end between pixels."""
    random = np.random.default_rng(sum(shape))
    parts = random.choice([0.125, 0.375, 0.625, 0.875], shape)
    return (random.integers(-3, 3, shape) + parts).astype(np.float32)


def _case(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    offset_groups: int,
    masked: bool,
    bias: bool,
    **window: int,
) -> Any:
    stride, padding, dilation = (
        window.get(name, d) for name, d in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    size = [
        (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(shape[2:], weight[2:], strict=True)
    ]
    taps = weight[2] * weight[3] * offset_groups
    arrays = [draw(*shape), moves_of(shape[0], 2 * taps, *size), draw(*weight, seed=1)]
    arrays += [draw(weight[0], seed=2)] if bias else []
    arrays += [draw(shape[0], taps, *size, seed=3)] if masked else []

    def split(rest: Any) -> dict[str, Any]:
        names = ["bias"] * bias + ["mask"] * masked
        return dict(zip(names, rest, strict=True))

    def call(x: Any, offset: Any, w: Any, *rest: Any) -> Any:
        return ops.deform_conv2d(x, offset, w, **split(rest), **window)

    return case(
        "deform_conv2d",
        tuple(arrays),
        lambda x, o, w, *rest: deform_conv2d(x, o, w, **split(rest), **window),
        function=call,
        torch=False,
        twice=False,
        magnitude=8.0 * max(shape[2:]) * weight[1] * weight[2] * weight[3],
    )


def _by_input(mask: Array | None) -> Any:
    """By the input alone the function is linear: second derivatives exist."""
    moves, weight = moves_of(1, 8, 3, 3), draw(2, 3, 2, 2, seed=1)
    return case(
        "deform_conv2d",
        draw(1, 3, 4, 4),
        lambda x: deform_conv2d(x, moves, weight, None, mask),
        function=lambda x: ops.deform_conv2d(x, moves, weight, mask=mask),
        torch=False,
        magnitude=8.0 * 4 * 12,
    )


CASES = [
    _case((2, 3, 4, 5), (2, 3, 2, 3), 1, True, True),
    _case((1, 4, 5, 4), (3, 4, 3, 3), 2, False, False, padding=1, stride=2),
    _case((1, 6, 4, 3), (4, 3, 2, 2), 3, True, False, dilation=2, padding=1),
    _case((2, 18, 3, 3), (1, 18, 1, 2), 1, False, True),
    _case((1, 1, 1, 1), (1, 1, 1, 1), 1, True, True),
    # Several chunks of pixels, bands and blocks of channels.
    _case((1, 130, 13, 17), (3, 130, 3, 3), 1, True, True, padding=1),
    _case((2, 6, 20, 19), (6, 3, 3, 3), 3, True, False, padding=2, dilation=2),
    _by_input(None),
    _by_input(draw(1, 4, 3, 3, seed=3)),
]
