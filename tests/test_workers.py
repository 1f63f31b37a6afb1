# SPDX-License-Identifier: Apache-2.0
"""Modules and predictors in other processes, and their results in other libraries."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn

X = np.random.default_rng(0).standard_normal((3, 2, 1, 8, 8), dtype=np.float32)


@pytest.fixture
def callables() -> list[Any]:
    """Return a module and its predictor."""
    cc.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()
    return [module, cc.compile(module, X.shape[1:])]


def test_spawned_workers(callables: list[Any]) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for function in callables:
            found = pool.map(function, list(X))
            assert all(np.array_equal(one, function(x)) for one, x in zip(found, X, strict=True))


def test_joblib(callables: list[Any]) -> None:
    joblib = pytest.importorskip("joblib")
    for function in callables:
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(function)(x) for x in X)
        assert all(np.array_equal(one, function(x)) for one, x in zip(found, X, strict=True))


def test_results_are_taken_without_copies(callables: list[Any]) -> None:
    for function in callables:
        y = function(X[0])
        assert np.shares_memory(np.from_dlpack(y), y)
        assert memoryview(y).shape == y.shape
        torch = pytest.importorskip("torch")
        assert torch.from_dlpack(y).data_ptr() == y.ctypes.data
        assert np.array_equal(function(torch.from_numpy(X[0])), y)
