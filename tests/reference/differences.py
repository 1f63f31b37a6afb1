# SPDX-License-Identifier: Apache-2.0
"""Gradients by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Array, float64


def numerical_gradient(function: Callable[[Array], Any], x: Any, step: float = 1e-5) -> Array:
    """Central differences of the sum of `function`, which must compute in float64."""
    x = float64(x).copy()
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = np.sum(function(x))
        x[index] = kept - step
        result[index] = (above - np.sum(function(x))) / (2 * step)
        x[index] = kept
    return result
