# SPDX-License-Identifier: Apache-2.0
"""Figures of regressions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph.arrays import to_array
from .base import Array, Metric, ratio


def _pair(name: str, output: Any, target: Any) -> tuple[Array, Array]:
    output, target = to_array(output), to_array(target)
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: expected output and target of one shape, got {output.shape} and {target.shape}"
        )
    return output.astype(np.float64), target.astype(np.float64)


class _MeanOf(Metric):
    counted = ("total", "count")
    additive = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, output: Any, target: Any) -> None:
        output, target = _pair(self.name, output, target)
        self.total += float(self.of(output - target).sum())
        self.count += target.size

    def of(self, difference: Array) -> Array:
        """Return what is averaged."""
        raise NotImplementedError

    def result(self) -> float:
        return ratio(self.total, self.count)


class MAE(_MeanOf):
    """See `mae`.

    >>> MAE()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """

    name = "mae"

    def of(self, difference: Array) -> Array:
        return np.abs(difference)


class MSE(_MeanOf):
    """See `mse`.

    >>> MSE()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    2.0
    """

    name = "mse"

    def of(self, difference: Array) -> Array:
        return np.square(difference)


class RMSE(MSE):
    """See `rmse`.

    >>> RMSE()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.4142135623730951
    """

    name = "rmse"

    def result(self) -> float:
        return math.sqrt(super().result())


class R2(Metric):
    """See `r2`.

    Raises:
        ValueError: in `update`, single numbers instead of rows.

    >>> R2()(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """

    name = "r2"
    counted = ("rows", "mean", "spread", "error")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.rows = 0
        self.mean = self.spread = self.error = np.zeros(())

    def update(self, output: Any, target: Any) -> None:
        output, target = _pair(self.name, output, target)
        if target.ndim == 0:
            raise ValueError("r2: expected rows, got a single number")
        if len(target):
            mean = target.mean(axis=0)
            spread = np.square(target - mean).sum(axis=0)
            self._join(len(target), mean, spread, np.square(output - target).sum(axis=0))

    def merge(self, other: R2) -> None:
        if other.rows:
            self._join(other.rows, other.mean, other.spread, other.error)

    def _join(self, count: int, mean: Array, spread: Array, error: Array) -> None:
        # Means and sums of squares of parts are joined (Chan et al., 1983): no difference of large sums.
        rows, apart = self.rows + count, mean - self.mean
        self.spread = self.spread + spread + np.square(apart) * (self.rows * count / rows)
        self.mean = self.mean + apart * (count / rows)
        self.error = self.error + error
        self.rows = rows

    def result(self) -> float:
        if self.rows < 2:
            return float("nan")
        exact = np.where(self.error == 0, 1.0, 0.0)
        share = np.divide(self.error, self.spread, out=np.zeros_like(self.spread), where=self.spread != 0)
        return float(np.mean(np.where(self.spread != 0, 1.0 - share, exact)))


def mae(output: Any, target: Any) -> float:
    """Return the mean absolute difference of output and target, of one shape; NaN of nothing.

    >>> mae(np.array([1.0, 3.0]), np.array([2.0, 1.0]))
    1.5
    """
    return float(MAE()(output, target))


def mse(output: Any, target: Any) -> float:
    """Return the mean squared difference of output and target, of one shape; NaN of nothing.

    >>> mse(np.array([1.0, 3.0]), np.array([2.0, 1.0]))
    2.5
    """
    return float(MSE()(output, target))


def rmse(output: Any, target: Any) -> float:
    """Return the square root of `mse`.

    >>> rmse(np.array([3.0, 5.0]), np.array([1.0, 3.0]))
    2.0
    """
    return float(RMSE()(output, target))


def r2(output: Any, target: Any) -> float:
    """Return the coefficient of determination: 1 - squared differences / squared distances from the mean
    target.

    Args:
        output: (rows, ...).
        target: of the same shape. Each column has a coefficient of its own, of which the mean is returned;
            where its targets are all equal, it is 1 for a perfect output and else 0.

    Returns:
        NaN for less than two rows.

    >>> r2(np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    0.8
    """
    return float(R2()(output, target))
