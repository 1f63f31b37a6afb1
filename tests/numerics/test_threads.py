# SPDX-License-Identifier: Apache-2.0
"""Same bits on any number of threads; forked children; several Python threads."""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from training_jobs import images, network, state_of, training_step

Array = NDArray[Any]
Threads = Callable[[int], None]

JOBS = [("lenet5", 13, 4), ("lenet5", 64, 2), ("mnist_cnn", 10, 3), ("resnet20", 6, 3), ("resnet20", 33, 1)]

HANG_SECONDS = 300


def trained(name: str, batch: int, steps: int) -> tuple[list[float], dict[str, Array]]:
    model = network(name)
    step = training_step(model)
    losses = [float(step(*images(name, batch, seed))) for seed in range(steps)]
    return losses, state_of(model)


@pytest.mark.parametrize(("name", "batch", "steps"), JOBS)
def test_training_gives_the_same_bits_on_1_2_and_3_threads(
    name: str, batch: int, steps: int, thread_count: Threads
) -> None:
    thread_count(1)
    losses, expected = trained(name, batch, steps)
    for threads in (2, 3):
        thread_count(threads)
        found_losses, found = trained(name, batch, steps)
        assert found_losses == losses
        different = [key for key, value in expected.items() if not np.array_equal(value, found[key])]
        assert not different, f"{threads} threads: {different}"


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn", "resnet20"])
def test_predictions_have_the_same_bits_on_1_2_and_3_threads(name: str, thread_count: Threads) -> None:
    model = network(name).eval()
    for batch in (1, 7):
        x, _ = images(name, batch)
        predictor = cc.compile(model, input_shape=x.shape)
        answers = []
        for threads in (1, 2, 3):
            thread_count(threads)
            answers.append(predictor(x))
        np.testing.assert_array_equal(answers[1], answers[0])
        np.testing.assert_array_equal(answers[2], answers[0])


def test_training_twice_gives_the_same_bits() -> None:
    first, second = (trained("mnist_cnn", 8, 3) for _ in range(2))
    assert first[0] == second[0]
    for key, value in first[1].items():
        np.testing.assert_array_equal(second[1][key], value)


def _child(predictor: Any, x: Array, connection: Any) -> None:
    losses, _ = trained("lenet5", 5, 2)
    connection.send((predictor(x), losses))
    connection.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_child_computes_the_same() -> None:
    model = network("lenet5").eval()
    x, _ = images("lenet5", 40)
    predictor = cc.compile(model, input_shape=x.shape)
    expected = predictor(x)
    losses, _ = trained("lenet5", 5, 2)
    context = multiprocessing.get_context("fork")
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(predictor, x, sender))
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork of a process with threads: that it works is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        sender.close()
        try:
            assert receiver.poll(HANG_SECONDS), "the child hangs"
            answer, child_losses = receiver.recv()
        finally:
            child.kill()
            child.join()
        np.testing.assert_array_equal(answer, expected)
        assert child_losses == losses
        np.testing.assert_array_equal(predictor(x), expected)


def test_several_python_threads_may_call_one_predictor() -> None:
    model = network("resnet20").eval()
    inputs = [images("resnet20", 2, seed)[0] for seed in range(6)]
    predictor = cc.compile(model, input_shape=inputs[0].shape)
    expected = [predictor(x) for x in inputs]
    wrong: list[int] = []

    def call(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(predictor(inputs[index]), expected[index]):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(inputs))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_python_threads_may_train_networks_of_their_own() -> None:
    expected = trained("lenet5", 6, 5)
    found: list[Any] = [None] * 3
    models = [network("lenet5") for _ in found]
    steps = [training_step(model) for model in models]

    def train(index: int) -> None:
        losses = [float(steps[index](*images("lenet5", 6, seed))) for seed in range(5)]
        found[index] = (losses, state_of(models[index]))

    workers = [threading.Thread(target=train, args=(index,)) for index in range(len(found))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for losses, state in found:
        assert losses == expected[0]
        for key, value in expected[1].items():
            np.testing.assert_array_equal(state[key], value)
