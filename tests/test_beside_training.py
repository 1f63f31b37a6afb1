# SPDX-License-Identifier: Apache-2.0
"""Models used by some threads while others train or change them: every answer is that of one state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim


@contextmanager
def repeated(call: Callable[[], Any]) -> Iterator[None]:
    """Make a call over and over in another thread for the length of the ``with`` block."""
    done = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not done.is_set():
                call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not errors


def uniform_model(size: int = 1 << 14) -> tuple[nn.Module, Callable[[], Any]]:
    """Return a model whose parameters are one number throughout, and a step that adds 1 to each."""

    class Uniform(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(np.zeros(size)), nn.Parameter(np.zeros(size))

        def forward(self, x: Any) -> Any:
            return x + self.a + self.b

    model = Uniform()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    step = cc.train_step(lambda x: -(ops.sum(model.a * x) + ops.sum(model.b * x)), optimizer)
    ones = np.ones(size, np.float32)
    return model, lambda: step(ones)


READERS: dict[str, Callable[[nn.Module, Path], list[Any]]] = {
    "state_dict": lambda model, path: list(model.state_dict().values()),
    "array": lambda model, path: [np.array(next(model.parameters()))],
    "save": lambda model, path: [cc.save(model, path / "m"), *cc.load(path / "m").values()][1:],
    "compile": lambda model, path: [cc.compile(model, (1, 1 << 14))(np.zeros((1, 1 << 14), np.float32)) / 2],
    "predict": lambda model, path: [model.predict(np.zeros((1, 1 << 14), np.float32)) / 2],
    "call": lambda model, path: [model(np.zeros((1, 1 << 14), np.float32)) / 2],
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_read_beside_training_is_of_one_step(name: str, tmp_path: Path) -> None:
    model, step = uniform_model()
    step()
    with repeated(step):
        for _ in range(60):
            arrays = READERS[name](model, tmp_path)
            assert np.unique(np.concatenate([array.reshape(-1) for array in arrays])).size == 1


def test_an_optimisers_state_is_of_one_step() -> None:
    parameters = [nn.Parameter(np.zeros(1 << 14)) for _ in range(2)]
    optimizer = optim.SGD(parameters, lr=1e-3, momentum=1.0)
    step = cc.train_step(lambda x: ops.sum(parameters[0] * x) + ops.sum(parameters[1] * x), optimizer)
    ones = np.ones(1 << 14, np.float32)
    step(ones)
    with repeated(lambda: step(ones)):
        for _ in range(60):
            state = optimizer.state_dict()
            for entry in state["state"].values():
                assert np.unique(entry["momentum_buffer"]).tolist() == [state["step"]]


def test_loading_a_state_is_of_one_moment() -> None:
    model, _ = uniform_model()
    states = [{name: np.full(v.shape, i) for name, v in model.state_dict().items()} for i in range(2)]
    turn = iter(range(1 << 30))
    with repeated(lambda: model.load_state_dict(states[next(turn) % 2])):
        for _ in range(200):
            assert np.unique(model.predict(np.zeros((1, 1 << 14)))).tolist() in ([0], [2])


def test_threads_that_call_after_a_change_answer_by_the_new_weights() -> None:
    model = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)).eval()
    x = np.random.default_rng(0).standard_normal((1, 64, 6, 6), dtype=np.float32)
    weights = [np.array(parameter) for parameter in model.parameters()]

    def put(factor: float) -> None:
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.assign(weight * np.float32(factor))

    wanted = {}
    for factor in (1.0, 1.5):
        put(factor)
        wanted[factor] = model(x)
    for turn in range(40):
        factor = (1.0, 1.5)[turn % 2]
        put(factor)
        found: list[Any] = [None] * 6
        start = threading.Barrier(6)

        def call(i: int, found: list[Any] = found, start: threading.Barrier = start) -> None:
            start.wait()
            found[i] = model(x)

        threads = [threading.Thread(target=call, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(np.array_equal(answer, wanted[factor]) for answer in found)


def test_predictions_leave_steps_in_training_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))
    x, y = np.random.default_rng(0).standard_normal((4, 3, 8, 8)), np.arange(4) % 3
    step = cc.train_step(lambda a, b: ops.cross_entropy(model(a), b), optim.SGD(model.parameters(), lr=1e-3))
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1e-3))
    batch = (x.astype(np.float32), y)
    calls: list[Callable[[], Any]] = [
        lambda: model.predict(x),
        lambda: trainer.evaluate(batch),
        lambda: cc.compile(model, x.shape),
    ]
    steps = 0
    for call in calls:
        with repeated(call):
            for _ in range(40):
                step(x, y)
                assert model.training
                assert model[1].training
        steps += 40
    assert model[1].num_batches_tracked.item() == steps


def test_a_mode_belongs_to_the_call() -> None:
    model = nn.Sequential(nn.Dropout(0.5))
    x = np.ones((1, 1000), np.float32)
    assert 0 < (model(x) == 0).sum() < 1000
    assert np.array_equal(model.predict(x), x)
    assert model.training
    assert 0 < (model(x) == 0).sum() < 1000
    model.eval()
    assert np.array_equal(model(x), x)


def test_steps_of_one_optimiser_in_two_threads_are_counted() -> None:
    weight = nn.Parameter(np.zeros(8))
    optimizer = optim.Adam([weight], lr=0.1)
    steps = [cc.train_step(lambda x, k=k: ops.sum(weight * x) * k, optimizer) for k in (1.0, 2.0)]
    ones = np.ones(8, np.float32)

    def work(step: Any) -> None:
        for _ in range(200):
            step(ones)

    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert optimizer.step_count == 400


def test_readers_and_writers_get_their_turn() -> None:
    """Neither a thread that trains without a pause nor threads that predict without one keep others out."""
    model, step = uniform_model(1 << 18)
    x = np.zeros((1, 1 << 18), np.float32)
    model.predict(x)
    with repeated(step), repeated(step), repeated(lambda: model.predict(x)):
        for _ in range(50):
            model.predict(x)
            step()
