# SPDX-License-Identifier: Apache-2.0
"""Rooflines of measured programs."""

from __future__ import annotations

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.profiling import Table
from cnncore.viz import arrays


def row(gflops: float, gbytes: float) -> dict[str, object]:
    return {
        "layer": "a",
        "step": "conv",
        "algorithm": "direct",
        "ms": 1.0,
        "bound": "compute",
        "gflops": gflops,
        "gbytes": gbytes,
        "percent_of_peak": gflops,
        "percent_of_bandwidth": gbytes * 2,
    }


def test_points_and_peaks_follow_from_the_table() -> None:
    table = Table([row(20.0, 10.0), row(0.0, 5.0)], row(20.0, 15.0))
    found = arrays.roofline(table)
    assert (found.peak_gflops, found.peak_gbytes) == (100.0, 50.0)
    assert [(point.intensity, point.gflops) for point in found.points] == [(2.0, 20.0)]


def test_of_a_predictor() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10))
    predictor = cc.compile(model, (1, 8, 16, 16))
    table = predictor.profile(np.zeros((1, 8, 16, 16), np.float32), repeats=1)
    found = arrays.roofline(table)
    rows = [entry for entry in table if entry["gflops"] > 0]
    assert [point.ms for point in found.points] == [entry["ms"] for entry in rows]
    assert len(rows) >= 2
    first = rows[0]
    assert found.peak_gflops * first["percent_of_peak"] / 100 == pytest.approx(first["gflops"], rel=1e-9)


def test_other_tables() -> None:
    with pytest.raises(TypeError, match=r"the table that profile\(\) returns"):
        arrays.roofline(cc.compile(nn.Linear(2, 2), (1, 2)).explain())
