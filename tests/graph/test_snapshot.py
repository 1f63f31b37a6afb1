# SPDX-License-Identifier: Apache-2.0
"""Snapshots share a parameter's memory until it changes, whoever changes it."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore._core import take_snapshots
from oracle import assert_near

X = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
Y = np.array([0, 1])


def network() -> nn.Sequential:
    """A network whose program reads weights at setup (packed, folded) and in each run (biases)."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.Flatten(),
        nn.Linear(144, 5),
    )


def training_step(model: nn.Module) -> Any:
    loss = nn.CrossEntropyLoss()
    return cc.train_step(lambda x, y: loss(model(x), y), optim.SGD(model.parameters(), lr=0.05))


def assign_all(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.assign(np.zeros(parameter.shape))


def load(model: nn.Module) -> None:
    model.load_state_dict({name: np.full(v.shape, 7) for name, v in model.state_dict().items()})


def train(model: nn.Module) -> None:
    training_step(model)(X, Y)


def only_statistics(model: nn.Module) -> None:
    model.train()(X)


def statistics_of_a_gradient(model: nn.Module) -> None:
    cc.value_and_grad(lambda x: model.train()(x).sum(), list(model.parameters()))(X)


def initialise(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.uniform_(parameter)


def fit(model: nn.Module) -> None:
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    trainer.fit((X, Y), epochs=1, batch_size=2, verbose=0)


CHANGES = [assign_all, load, train, only_statistics, statistics_of_a_gradient, initialise, fit]


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_of_the_model_reaches_a_predictor(change: Callable[[nn.Module], None]) -> None:
    model = network()
    predictor = cc.compile(model, X.shape)
    expected = predictor(X)
    before = {name: value.copy() for name, value in model.state_dict().items()}
    change(model)
    assert any(not np.array_equal(before[name], value) for name, value in model.state_dict().items())
    assert np.array_equal(predictor(X), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(predictor))(X), expected)
    assert np.array_equal(copy.deepcopy(predictor)(X), expected)
    predictor.autotune(X, seconds=1e-3)
    assert_near(predictor(X), expected)


def test_steps_compiled_before_the_predictor_leave_it_alone_too() -> None:
    model = network()
    step = training_step(model)
    first = cc.compile(model, X.shape)
    step(X, Y)
    second = cc.compile(model, X.shape)
    answers = first(X), second(X)
    for _ in range(3):
        step(X, Y)
    assert np.array_equal(first(X), answers[0])
    assert np.array_equal(second(X), answers[1])
    assert not np.array_equal(answers[0], answers[1])


def test_profiling_a_step_changes_nothing() -> None:
    model = network()
    step = training_step(model)
    step(X, Y)
    state = model.state_dict()
    optimizer = pickle.dumps(step.optimizer.state_dict())
    predictor = cc.compile(model, X.shape)
    expected = predictor(X)
    step.profile(X, Y, repeats=2)
    for name, value in model.state_dict().items():
        assert np.array_equal(value, state[name])
    assert pickle.dumps(step.optimizer.state_dict()) == optimizer
    assert np.array_equal(predictor(X), expected)


def test_memory_is_shared_until_it_changes() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    predictor = cc.compile(model, X.shape)
    again = cc.compile(model, X.shape)
    whole = sum(parameter.nbytes for parameter in model.parameters())
    own = predictor.memory.weights
    assert predictor.memory.shared == whole
    assert predictor.memory.total == own + predictor.memory.activations + predictor.memory.workspace
    weight = model[0].weight
    weight.assign(np.zeros(weight.shape))
    for snapshot in (predictor, again):
        assert snapshot.memory.shared == whole - weight.nbytes
        assert snapshot.memory.weights == own + weight.nbytes
    after = cc.compile(model, X.shape)
    assert after.memory.shared == whole
    assert not np.array_equal(after(X), predictor(X))


def test_memory_of_a_model_that_is_gone_counts() -> None:
    predictor = cc.compile(nn.Conv2d(3, 8, 3), X.shape)
    gc.collect()
    assert predictor.memory.shared == 0
    assert predictor.memory.weights >= 8 * 28 * 4


def test_snapshots_of_the_same_contents_are_one() -> None:
    parameter = nn.Parameter(np.zeros(4))
    (first,), (second,) = take_snapshots([parameter.storage]), take_snapshots([parameter.storage])
    assert first is second
    parameter.assign(np.ones(4))
    (third,) = take_snapshots([parameter.storage])
    assert third is not first
    assert third.shared


def test_parameters_cannot_be_written_to_past_their_storage() -> None:
    parameter = nn.Parameter(np.zeros(4))
    for view in (parameter.data, parameter.numpy(), np.asarray(parameter), np.asarray(parameter.storage)):
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 1.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
    assert memoryview(parameter.storage).readonly


def test_copies_and_pickles_of_a_parameter_have_memory_of_their_own() -> None:
    parameter = nn.Parameter(np.zeros(4))
    (snapshot,) = take_snapshots([parameter.storage])
    for other in (copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        other.assign(np.ones(4))
        assert other.numpy().tolist() == [1, 1, 1, 1]
        assert parameter.numpy().tolist() == [0, 0, 0, 0]
    assert snapshot.shared


def test_a_predictor_called_while_its_model_trains() -> None:
    """Answers stay the same while parameters change under running calls, which the copies wait for."""
    model = network()
    step = training_step(model)
    wrong: list[int] = []
    done = threading.Event()

    def call(predictor: Any, expected: Any) -> None:
        assert np.isfinite(expected).all()
        while not done.is_set():
            if not np.array_equal(predictor(X), expected):
                wrong.append(1)

    threads = []
    for _ in range(3):
        predictor = cc.compile(model, X.shape)
        threads.append(threading.Thread(target=call, args=(predictor, predictor(X))))
        threads[-1].start()
        for _ in range(10):
            step(X, Y)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compiling_while_another_thread_trains_sees_whole_steps() -> None:
    """All elements of a parameter change together, so a snapshot must never hold two different ones."""
    weight = nn.Parameter(np.zeros(1 << 16))
    step = cc.train_step(lambda x: -(weight * x).sum(), optim.SGD([weight], lr=1.0))
    ones = np.ones(1 << 16, np.float32)
    step(ones)
    done = threading.Event()

    def train() -> None:
        while not done.is_set():
            step(ones)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(30):
            predictor = cc.compile(lambda x: x + weight, ones.shape)
            values = predictor(np.zeros_like(ones))
            assert np.unique(values).size == 1
            again = pickle.loads(pickle.dumps(predictor))
            assert np.array_equal(again(np.zeros_like(ones)), values)
            assert np.array_equal(predictor(np.zeros_like(ones)), values)
    finally:
        done.set()
        thread.join()


def test_a_snapshot_keeps_its_contents() -> None:
    parameter = nn.Parameter(np.arange(4.0))
    (snapshot,) = take_snapshots([parameter.storage])
    assert snapshot.shared
    for value in (0.0, 1.0):
        parameter.assign(np.full(4, value))
        assert snapshot.read().tolist() == [0, 1, 2, 3]
        assert not snapshot.shared


def test_a_snapshot_outlives_its_parameter() -> None:
    parameter = nn.Parameter(np.arange(4.0))
    (snapshot,) = take_snapshots([parameter.storage])
    del parameter
    gc.collect()
    assert not snapshot.shared
    assert snapshot.read().tolist() == [0, 1, 2, 3]


def test_weights_read_in_each_run_move_with_the_snapshot() -> None:
    """A product with a parameter has nothing to pack: the run itself reads its memory."""
    weight = nn.Parameter(np.eye(3))
    predictor = cc.compile(lambda x: ops.matmul(x, weight) + weight[0], (2, 3))
    x = np.ones((2, 3), np.float32)
    expected = predictor(x)
    weight.assign(np.full((3, 3), 9))
    assert np.array_equal(predictor(x), expected)
