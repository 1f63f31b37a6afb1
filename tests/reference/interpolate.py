# SPDX-License-Identifier: Apache-2.0
"""Interpolation by a matrix for each axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, float64


def _cubic(x: float, a: float) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def interpolation_matrix(
    n: int,
    m: int,
    mode: str,
    align_corners: bool = False,
    antialias: bool = False,
    scale: float | None = None,
) -> Array:
    """Row o has the weights of the `n` input coordinates in output coordinate o of `m`."""
    ratio = n / m if scale is None else 1 / scale
    if align_corners:
        ratio = (n - 1) / (m - 1) if m > 1 else 0.0
    matrix = np.zeros((m, n))
    for o in range(m):
        center = ratio * (o + 0.5)
        if mode == "area":
            matrix[o, o * n // m : -((o + 1) * n // -m)] = 1
            matrix[o] /= matrix[o].sum()
        elif mode in ("nearest", "nearest-exact"):
            place = ratio * o if mode == "nearest" else center
            matrix[o, min(int(place), n - 1)] = 1
        elif antialias:
            width = max(ratio, 1.0)
            reach = width * (2 if mode == "bicubic" else 1)
            for i in range(max(0, int(center - reach + 0.5)), min(n, int(center + reach + 0.5))):
                x = (i - center + 0.5) / width
                matrix[o, i] = _cubic(x, -0.5) if mode == "bicubic" else max(0.0, 1 - abs(x))
            matrix[o] /= matrix[o].sum()
        else:
            place = ratio * o if align_corners else center - 0.5
            if mode != "bicubic":
                place = min(max(place, 0.0), n - 1)
            below = int(np.floor(place))
            for i in range(below - 1, below + 3):
                weight = _cubic(place - i, -0.75) if mode == "bicubic" else max(0.0, 1 - abs(place - i))
                matrix[o, min(max(i, 0), n - 1)] += weight
    return matrix


def interpolate(x: Any, size: tuple[int, ...], scales: Any = None, **rule: Any) -> Array:
    """`x` with its spatial axes resized to `size`."""
    y = float64(x)
    for axis, m in enumerate(size):
        matrix = interpolation_matrix(y.shape[axis + 2], m, scale=scales and scales[axis], **rule)
        y = np.moveaxis(np.tensordot(matrix, y, (1, axis + 2)), 0, axis + 2)
    return y
