# SPDX-License-Identifier: Apache-2.0
"""Results larger than the caches, which are written past them: the bits of the same work on parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops

Array = np.ndarray

ROWS, COLUMNS = 2051, 4099
"""33.6 MB, above the 32 MiB of `last_cache`; no row fills whole lines or blocks."""


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "one": lambda a, b, c: ops.relu(a),
    "two": lambda a, b, c: ops.mul(a, b),
    "chain": lambda a, b, c: ops.sigmoid(a) * b + 1.5,
    "rows": lambda a, b, c: ops.tanh(a) * c + b,
    "repeated": lambda a, b, c: a * c,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_as_in_parts(name: str, threads: int) -> None:
    function = FUNCTIONS[name]
    a, b, c = values(ROWS, COLUMNS), values(ROWS, COLUMNS, seed=1), values(COLUMNS, seed=2)
    assert a.size > 8 << 20
    gradient = cc.grad(lambda a, b, c: ops.sum(function(a, b, c) * b))
    with cc.threads(threads):
        whole, slope = ops.mul(function(a, b, c), 1.0), gradient(a, b, c)
        for rows in (slice(0, 700), slice(700, ROWS)):
            part = ops.mul(function(a[rows], b[rows], c), 1.0)
            assert (whole[rows] == part).all()
            assert (slope[rows] == gradient(a[rows], b[rows], c)).all()
