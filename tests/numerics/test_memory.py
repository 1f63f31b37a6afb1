# SPDX-License-Identifier: Apache-2.0
"""Long runs neither leak nor grow: what a million steps must not do, a few thousand already show."""

from __future__ import annotations

import ctypes
import gc
import threading
import tracemalloc

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from cnncore.bench.machine import resident_bytes
from training_jobs import images, network, training_step

MEGABYTE = 1 << 20
STEPS = 3000
ALLOWED_GROWTH = 2 * MEGABYTE
"""A kilobyte a step would be 3 MB."""


def resident() -> int:
    """Resident bytes of what is in use: glibc first gives back what it only keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return resident_bytes()[0]


def test_training_does_not_grow() -> None:
    step = training_step(network("lenet5"), lr=1e-3)
    x, y = images("lenet5", 2)
    for _ in range(200):
        step(x, y)
    before = resident()
    for _ in range(STEPS):
        loss = step(x, y)
    assert resident() - before < ALLOWED_GROWTH
    assert np.isfinite(loss)


def test_training_keeps_no_python_objects() -> None:
    step = training_step(network("lenet5"), lr=1e-3)
    x, y = images("lenet5", 2)
    for _ in range(20):
        step(x, y)
    tracemalloc.start()
    try:
        step(x, y)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(500):
            step(x, y)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500 * 16


def test_predicting_does_not_grow() -> None:
    model = network("lenet5").eval()
    x, _ = images("lenet5", 2)
    predictor = cc.compile(model, input_shape=x.shape)
    for _ in range(200):
        predictor(x)
    before = resident()
    for _ in range(STEPS):
        predictor(x)
    assert resident() - before < ALLOWED_GROWTH


@pytest.mark.slow
def test_changing_shapes_stay_within_the_plan_cache() -> None:
    model = network("lenet5").eval()

    def all_sizes() -> None:
        for batch in range(1, 60):
            model(images("lenet5", batch)[0])

    all_sizes()
    all_sizes()
    before = resident()
    for _ in range(4):
        all_sizes()
    assert resident() - before < ALLOWED_GROWTH


def test_making_and_dropping_programs_gives_their_memory_back() -> None:
    def one() -> None:
        step = training_step(network("lenet5"))
        step(*images("lenet5", 64))

    for _ in range(5):
        one()
    before = resident()
    for _ in range(25):
        one()
    assert resident() - before < ALLOWED_GROWTH


def test_idle_arenas_are_few_when_they_are_large() -> None:
    """Four threads at once need four arenas; afterwards those beyond 64 MB and a first one are gone."""
    rows = 10 << 20
    predictor = cc.compile(lambda x: ops.sum(ops.exp(x) * ops.relu(x)), (rows,))
    arena = predictor.memory.activations
    assert arena >= 4 * rows
    x = np.zeros(rows, np.float32)
    before = resident()
    together = threading.Barrier(4)

    def call() -> None:
        together.wait()
        for _ in range(5):
            predictor(x)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resident() - before < arena + (64 << 20) + 4 * ALLOWED_GROWTH


def test_compiling_holds_no_second_copy_of_the_weights() -> None:
    """What is packed for the program is all that it needs beside the model's own arrays."""
    model = network("mnist_cnn").eval()
    weights = sum(parameter.nbytes for parameter in model.parameters())
    before = resident()
    predictor = cc.compile(model, input_shape=(1, 1, 28, 28))
    memory = predictor.memory
    assert memory.shared == weights
    assert resident() - before < memory.total + ALLOWED_GROWTH
