# SPDX-License-Identifier: Apache-2.0
"""Samples of images at places between -1 and 1."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from .arrays import Array, float64


def _mirrored(place: Array, n: int, align_corners: bool) -> Array:
    """Places between the first and the last pixel, of an image between two mirrors."""
    low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
    if low == high:
        return np.zeros_like(place)
    turn = np.mod(place - low, 2 * (high - low))
    return np.clip(low + np.minimum(turn, 2 * (high - low) - turn), 0, n - 1)


def _padded(place: Array, n: int, padding: str, align_corners: bool) -> Array:
    if padding == "border":
        return np.clip(place, 0, n - 1)
    return _mirrored(place, n, align_corners) if padding == "reflection" else place


def _cubic(x: Array) -> Array:
    x = np.abs(x)
    near, far = 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _taps(grid: Array, n: int, mode: str, padding: str, align_corners: bool) -> list[tuple[Array, Array]]:
    """(index, weight) arrays of each place; weights of pixels outside are 0."""
    place = (grid + 1) / 2 * (n - 1) if align_corners else ((grid + 1) * n - 1) / 2
    if mode != "bicubic":
        place = _padded(place, n, padding, align_corners)
    if mode == "nearest":
        pairs = [(np.rint(place), np.ones_like(place))]
    else:
        below = np.floor(place)
        around = [below + i for i in ((0, 1) if mode == "bilinear" else (-1, 0, 1, 2))]
        kernel = _cubic if mode == "bicubic" else lambda x: 1 - np.abs(x)
        pairs = [(i, kernel(place - i)) for i in around]
    if mode == "bicubic":
        pairs = [(_padded(i, n, padding, align_corners), weight) for i, weight in pairs]
    return [
        (np.clip(i, 0, n - 1).astype(int), np.where((i >= 0) & (i < n), weight, 0.0)) for i, weight in pairs
    ]


def grid_sample(
    x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Array:
    """`x` (N, C, spatial...) at the places of `grid` (N, out..., axes), width first."""
    x, grid = float64(x), float64(grid)
    axes = x.ndim - 2
    taps = [
        _taps(grid[..., axes - 1 - i], x.shape[2 + i], mode, padding_mode, align_corners) for i in range(axes)
    ]
    images = np.arange(len(x)).reshape(-1, *(1,) * axes)
    total: Any = 0.0
    for choice in product(*taps):
        pixels = np.moveaxis(x, 1, -1)[(images, *(index for index, _ in choice))]
        total = total + pixels * np.prod([weight for _, weight in choice], axis=0)[..., None]
    return np.moveaxis(total, -1, 1)


def affine_grid(theta: Any, size: tuple[int, ...], align_corners: bool = False) -> Array:
    """The places of pixels, width first and 1 last, times `theta`."""
    lines = []
    for n in size[2:]:
        centers = (np.arange(n) + 0.5) * 2 / n - 1
        lines.append(np.arange(n) * 2 / max(n - 1, 1) - (n > 1) if align_corners else centers)
    places = np.meshgrid(*lines, indexing="ij")[::-1]
    homogeneous = np.stack([*places, np.ones(size[2:])], -1)
    return np.stack([homogeneous @ matrix.T for matrix in float64(theta)])
