# SPDX-License-Identifier: Apache-2.0
"""Bounds on the rounding of float32 sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import Array, float64

EPS = float(np.finfo(np.float32).eps)


def dot_bound(reduction: int, magnitude: Any) -> Array:
    """Bound on the error of float32 sums of `reduction` products whose absolute values add up to `magnitude`.

    Each of the sum's additions and the product's own rounding lose at most half an ulp of a partial sum.
    """
    return (reduction + 2) * (EPS / 2) * float64(magnitude) + float(np.finfo(np.float32).tiny)


def winograd_growth(outputs: int, taps: int, points: Sequence[float]) -> float:
    """How many times larger than its result the sums inside a 1-D Winograd transform can become.

    F(outputs, taps) evaluates both operands at `points` and infinity and interpolates the product. Each of
    its sums takes part in an output with at most this factor, however the matrices' rows are scaled.
    """
    count = outputs + taps - 1
    growth = np.zeros(outputs)
    for i, point in enumerate([*points, None]):
        others = [q for k, q in enumerate(points) if k != i]
        interpolation = np.abs(np.poly(others)).sum()
        if point is None:
            # At infinity only the highest coefficients meet, in the last output.
            growth[-1] += interpolation
            continue
        scale = abs(math.prod(point - q for q in others))
        evaluated = sum(abs(point) ** k for k in range(taps)) / scale
        growth += np.array([abs(point) ** j for j in range(outputs)]) * evaluated * interpolation
    if len(points) != count - 1:
        raise ValueError(f"F({outputs}, {taps}) needs {count - 1} points, got {len(points)}")
    return float(growth.max())
