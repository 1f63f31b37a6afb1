# SPDX-License-Identifier: Apache-2.0
"""Where the steps of a program lie below what the machine can do."""

from __future__ import annotations

from typing import NamedTuple

from ...profiling import Table


class Point(NamedTuple):
    """A step in a roofline.

    Fields:
        layer, step, algorithm: as in the table of `profile`.
        intensity: floating-point operations for each byte that is read or written.
        gflops: of them, in 10^9 a second.
        ms: that the step takes.
        bound: "compute", "memory" or "overhead".

    >>> point = Point("conv1", "conv2d", "direct", intensity=20.0, gflops=100.0, ms=0.2, bound="compute")
    >>> point.bound
    'compute'
    """

    layer: str
    step: str
    algorithm: str
    intensity: float
    gflops: float
    ms: float
    bound: str


class Roofline(NamedTuple):
    """What `roofline` returns: peaks of the machine, in 10^9 operations and bytes a second, and the steps.

    >>> Roofline(peak_gflops=200.0, peak_gbytes=20.0, points=()).peak_gflops
    200.0
    """

    peak_gflops: float
    peak_gbytes: float
    points: tuple[Point, ...]


def roofline(table: Table) -> Roofline:
    """Return the roofline of a table that `Predictor.profile` or a training step's `profile` returned.

    Steps without floating-point operations that are counted (only those of convolutions and matrix products
    are) have no place in it.

    Source: Williams, Waterman, Patterson, "Roofline: An insightful visual performance model" (2009).

    Raises:
        TypeError: another table than that of `profile`.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> predictor = cc.compile(nn.Conv2d(16, 16, 3), (1, 16, 32, 32))
    >>> found = roofline(predictor.profile(np.zeros((1, 16, 32, 32), np.float32)))
    >>> len(found.points), found.peak_gflops > 0
    (1, True)
    """
    if not isinstance(table, Table) or table.total is None or "gflops" not in table.total:
        raise TypeError(f"expected the table that profile() returns, got {type(table).__name__}")
    # The peaks follow from shares of them; a row with few bytes or operations would lose digits.
    by_work = max(table, key=lambda row: row["gflops"], default=None)
    by_bytes = max(table, key=lambda row: row["gbytes"], default=None)
    points = tuple(
        Point(
            row["layer"],
            row["step"],
            row["algorithm"],
            row["gflops"] / row["gbytes"],
            row["gflops"],
            row["ms"],
            row["bound"],
        )
        for row in table
        if row["gflops"] > 0 and row["gbytes"] > 0
    )
    return Roofline(
        _peak(by_work, "gflops", "percent_of_peak"), _peak(by_bytes, "gbytes", "percent_of_bandwidth"), points
    )


def _peak(row: dict[str, float] | None, name: str, share: str) -> float:
    return 0.0 if row is None or not row[share] else 100.0 * row[name] / row[share]
