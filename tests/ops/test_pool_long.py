# SPDX-License-Identifier: Apache-2.0
"""Pooling of long signals: windows that are computed where they are needed, not listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import ops

Array = NDArray[Any]

POOLINGS: dict[str, Callable[[Any], Any]] = {
    "max, tiled": lambda x: ops.max_pool2d(x, (1, 2)),
    "max, overlapping": lambda x: ops.max_pool2d(x, (2, 5), stride=(1, 2), padding=(1, 2)),
    "max, dilated": lambda x: ops.max_pool2d(x, (1, 3), stride=1, padding=(0, 1), dilation=(1, 7)),
    "max, many taps": lambda x: ops.max_pool2d(x, (1, 300), stride=(1, 3), padding=(0, 150)),
    "max, ceil": lambda x: ops.max_pool2d(x, (2, 3), ceil_mode=True),
    "mean": lambda x: ops.avg_pool2d(x, (1, 4), stride=(1, 2), padding=(0, 2)),
    "mean without padding": lambda x: ops.avg_pool2d(
        x, (1, 4), stride=1, padding=(0, 2), count_include_pad=False
    ),
    "mean with a divisor": lambda x: ops.avg_pool2d(x, (2, 4), stride=(2, 1), divisor_override=2),
    "adaptive mean": lambda x: ops.adaptive_avg_pool2d(x, (2, 4999)),
    "adaptive mean, growing": lambda x: ops.adaptive_avg_pool2d(x, (3, 20_011)),
    "adaptive max": lambda x: ops.adaptive_max_pool2d(x, (1, 6001)),
}


def turned(x: Any) -> Any:
    return np.ascontiguousarray(np.swapaxes(x, 2, 3))


@pytest.mark.parametrize("name", POOLINGS)
def test_a_long_row_is_pooled_as_its_pieces(name: str) -> None:
    """Pieces of 3,000 columns and a margin have listed windows."""
    pool = POOLINGS[name]
    rng = np.random.default_rng(0)
    period = 3000
    x = rng.integers(-99, 100, (2, 3, 2, 5 * period)).astype(np.float32)
    whole = pool(x)
    grad = rng.integers(-9, 10, whole.shape).astype(np.float32)
    back = cc.grad(lambda x: ops.sum(pool(x) * grad))(x)
    if "max" in name:  # each window gives all it gets to one pixel
        assert back.sum(dtype=np.float64) == grad.sum(dtype=np.float64)
    if "adaptive" in name:
        check_adaptive(name, x, whole)
        return
    steps = whole.shape[3] // 5  # windows of a piece, about
    stride = round(5 * period / whole.shape[3])
    margin = 400
    for piece in range(5):
        begin = max(0, piece * period - margin) // (6 * stride) * 6 * stride
        end = min(5 * period, (piece + 1) * period + margin)
        part = pool(np.ascontiguousarray(x[..., begin:end]))
        first, last = piece * steps, min((piece + 1) * steps, whole.shape[3] - 1)
        own = slice(first - begin // stride, last - begin // stride)
        assert np.array_equal(whole[..., first:last], part[..., own])


def check_adaptive(name: str, x: Array, whole: Array) -> None:
    height, width = whole.shape[2:]
    for o in (0, 1, width // 3, width - 1):
        begin, end = o * x.shape[3] // width, -(-(o + 1) * x.shape[3] // width)
        for line in range(height):
            top, bottom = line * x.shape[2] // height, -(-(line + 1) * x.shape[2] // height)
            window = x[:, :, top:bottom, begin:end]
            expected = window.max((2, 3)) if "max" in name else window.mean((2, 3), dtype=np.float64)
            np.testing.assert_allclose(whole[:, :, line, o], expected, rtol=2e-7, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in POOLINGS if "mean" in name])
def test_the_gradient_of_means_is_their_adjoint(name: str) -> None:
    """<pool(x), g> = <x, pool'(g)>; every factor is a sum of whole numbers over a divisor."""
    pool = POOLINGS[name]
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 10, (1, 2, 2, 12_003)).astype(np.float32)
    y = pool(x)
    grad = rng.integers(-9, 10, y.shape).astype(np.float32)
    back = cc.grad(lambda x: ops.sum(pool(x) * grad))(x)
    forward = (y.astype(np.float64) * grad).sum()
    absolute = (np.abs(y).astype(np.float64) * np.abs(grad)).sum()
    backward = (x.astype(np.float64) * back).sum()
    assert abs(forward - backward) <= 16 * np.finfo(np.float32).eps * absolute


def test_rows_of_a_tall_image_are_as_columns_of_a_wide_one() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 2, 3, 10_001)).astype(np.float32)

    def pool(x: Any, across: bool) -> Any:
        kernel, stride, padding = ((2, 5), (1, 3), (1, 2)) if across else ((5, 2), (3, 1), (2, 1))
        return ops.max_pool2d(x, kernel, stride=stride, padding=padding)

    wide, tall = pool(x, True), pool(turned(x), False)
    assert np.array_equal(turned(tall), wide)
    grad = rng.integers(-9, 10, wide.shape).astype(np.float32)
    by_wide = cc.grad(lambda x: ops.sum(pool(x, True) * grad))(x)
    turned_grad = turned(grad)
    by_tall = cc.grad(lambda x: ops.sum(pool(x, False) * turned_grad))(turned(x))
    assert np.array_equal(turned(by_tall), by_wide)


def test_windows_are_not_listed() -> None:
    """Windows of 600,000 outputs would be 10 MB."""
    predictor = cc.compile(lambda x: ops.max_pool2d(x, (1, 2)), input_shape=(1, 1, 1, 1_200_000))
    assert predictor.memory.weights < 1 << 18
