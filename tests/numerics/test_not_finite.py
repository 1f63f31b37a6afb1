# SPDX-License-Identifier: Apache-2.0
"""How far an infinity or NaN in one pixel of an image reaches through a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops


def reached(value: float, accuracy: str) -> Any:
    """Return which pixels of a 3x3 convolution are not finite when one of the input is not."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32, 32, 32)).astype(np.float32)
    w = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    x[1, 5, 13, 18] = value
    before = cc.get_accuracy()
    cc.set_accuracy(accuracy)
    try:
        y = ops.conv2d(x, w, padding=1)
    finally:
        cc.set_accuracy(before)
    return ~np.isfinite(y)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_exact_keeps_it_under_its_taps(value: float) -> None:
    expected = np.zeros((2, 32, 32, 32), bool)
    expected[1, :, 12:15, 17:20] = True
    assert np.array_equal(reached(value, "exact"), expected)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_fast_keeps_it_in_the_tiles_that_read_it(value: float) -> None:
    """Tiles of 4x4 or 2x2 outputs: at most three outputs beyond the taps, in the same image."""
    found = reached(value, "fast")
    assert found[1, :, 12:15, 17:20].all()
    assert not found[0].any()
    near = np.zeros_like(found)
    near[1, :, 9:18, 14:23] = True
    assert not found[~near].any()
