# SPDX-License-Identifier: Apache-2.0
"""Modules and predictors in other processes, and their results in other libraries."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
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


def test_a_process_may_end_while_its_threads_run_programs() -> None:
    """Daemon threads, as those of `http.server`, are not waited for."""
    script = """
import threading, time
import numpy as np
import cnncore as cc
from cnncore import nn, optim

model = nn.Conv2d(8, 8, 3)
predictor = cc.compile(model, (1, 8, 64, 64))
step = cc.train_step(lambda x: model(x).mean(), optim.SGD(model.parameters()))
x = np.zeros((1, 8, 64, 64), np.float32)
step(x)

def forever(run):
    while True:
        run(x)

for run in (predictor, step):
    threading.Thread(target=forever, args=(run,), daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")
