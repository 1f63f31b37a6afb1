# SPDX-License-Identifier: Apache-2.0
"""Denormal numbers: flushed inside a call, left alone outside of it."""

from __future__ import annotations

import threading

import numpy as np

import cnncore as cc
from training_jobs import images, network, state_of, training_step


def denormals_survive() -> bool:
    """Whether this thread's arithmetic yields denormals and takes them as they are."""
    tiny = np.full(64, 1e-38, np.float32)
    halved = tiny * np.float32(0.125)
    return bool((halved > 0).all() and (halved * np.float32(8) > 0).all())


def test_a_call_leaves_the_callers_arithmetic_as_it_was() -> None:
    assert denormals_survive()
    model = network("lenet5").eval()
    x, y = images("lenet5", 33)
    predictor = cc.compile(model, input_shape=x.shape)
    predictor(x)
    assert denormals_survive()
    training_step(model)(x, y)
    assert denormals_survive()
    cc.ops.relu(x)
    assert denormals_survive()


def test_other_python_threads_keep_their_arithmetic() -> None:
    survived: list[bool] = []

    def call() -> None:
        model = network("lenet5").eval()
        model(images("lenet5", 4)[0])
        survived.append(denormals_survive())

    caller = threading.Thread(target=call)
    caller.start()
    caller.join()
    assert survived == [True]


def test_denormal_images_train_like_black_ones() -> None:
    black = np.zeros((16, 1, 28, 28), np.float32)
    faint = np.full_like(black, 1e-40)
    assert (faint > 0).all()
    _, y = images("lenet5", 16)
    results = []
    for x in (black, faint):
        model = network("lenet5")
        step = training_step(model)
        losses = [float(step(x, y)) for _ in range(3)]
        results.append((losses, state_of(model)))
    assert results[0][0] == results[1][0]
    for key, value in results[0][1].items():
        np.testing.assert_allclose(results[1][1][key], value, rtol=0, atol=1e-30)
