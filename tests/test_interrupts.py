# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at any moment: a call has happened or it has not, and every later call sees what it changed."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.graph.random import rng_state, set_rng_state

State = dict[str, NDArray[Any]]


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, which would end the test run if it got away."""


class _Interrupt:
    """Raises at the n-th moment at which Python looks at signals: functions begin, calls of C end.

    What the garbage collector calls is left out, since an exception there goes nowhere; so are
    comprehensions, in whose beginning CPython 3.11 loses its stack when a profile function raises.
    """

    def __init__(self, moment: int) -> None:
        self.left = moment

    def __enter__(self) -> _Interrupt:
        gc.disable()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or frame.f_code is _Interrupt.__exit__.__code__:
            return
        if frame.f_code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"):
            return
        self.left -= 1
        if self.left < 0:
            sys.setprofile(None)
            raise Interrupted


@dataclass
class Drawn:
    """A network with its training step, and what a call may change."""

    model: nn.Module
    optimizer: optim.Optimizer
    step: Callable[..., Any]
    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def state(self) -> State:
        """Return everything a step changes."""
        state = self.model.state_dict()
        kept = self.optimizer.state_dict()
        for number, entry in kept["state"].items():
            state.update({f"{number}.{name}": np.array(value) for name, value in entry.items()})
        state["step"] = np.array(kept["step"])
        state["random"] = np.array(rng_state())
        return state


def draw(rng: np.random.Generator) -> Drawn:
    """Return a network of random layers, whose program packs, folds, counts and draws."""
    channels, size, layers = int(rng.integers(1, 5)), int(rng.integers(5, 9)), []
    shape = (int(rng.integers(2, 5)), channels, size, size)
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.integers(1, 20))
        kernel = int(rng.choice([1, 3]))
        layers.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=bool(rng.integers(2))))
        channels = width
        if rng.integers(2):
            layers.append(nn.BatchNorm2d(channels))
        layers.append(rng.choice([nn.ReLU, nn.Tanh, nn.Identity])())
        if rng.integers(3) == 0:
            layers.append(nn.Dropout(0.3))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, 3))
    kinds: list[Callable[[Any], optim.Optimizer]] = [
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.01),
    ]
    optimizer = kinds[rng.integers(3)](model.parameters())
    step = cc.train_step(lambda x, y: ops.cross_entropy(model(x), y), optimizer)
    x = rng.standard_normal(shape).astype(np.float32)
    return Drawn(model, optimizer, step, x, rng.integers(0, 3, shape[0]))


def equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def copy_of(drawn: Drawn, seed: int) -> Drawn:
    """Return another network of the same seed in the same state, with programs of its own."""
    twin = draw(np.random.default_rng(seed))
    twin.model.load_state_dict(drawn.model.state_dict())
    twin.optimizer.load_state_dict(drawn.optimizer.state_dict())
    return twin


def interrupted(call: Callable[[], Any], moment: int) -> bool:
    """Make a call that is interrupted at some moment; return whether it ended before."""
    try:
        with _Interrupt(moment):
            call()
    except Interrupted:
        return False
    return True


def answers(drawn: Drawn) -> list[NDArray[Any]]:
    """Return what the model and its gradient say, by programs that it keeps."""
    predicted = drawn.model.predict(drawn.x)
    return [predicted, drawn.model.eval()(drawn.x)]


def check_steps(seed: int, moments: list[int]) -> list[bool]:
    """Interrupt steps of a drawn network; return which of them had happened all the same."""
    drawn = draw(np.random.default_rng(seed))
    drawn.step(drawn.x, drawn.y)
    happened = []
    for moment in moments:
        answers(drawn)
        drawn.model.train()
        twin, before, random = copy_of(drawn, seed), drawn.state(), rng_state()
        finished = interrupted(lambda: drawn.step(drawn.x, drawn.y), moment)
        found, random_found = drawn.state(), rng_state()
        happened.append(not equal(found, before))
        assert happened[-1] or not finished
        if happened[-1]:  # then it was a whole step
            set_rng_state(random)
            twin.step(twin.x, twin.y)
            assert equal(twin.state(), found)
            assert rng_state() == random_found
        else:
            assert random_found == random
        for ours, fresh in zip(answers(drawn), answers(copy_of(drawn, seed)), strict=True):
            assert np.array_equal(ours, fresh)
    return happened


def moments_of_a_step(seed: int) -> int:
    drawn = draw(np.random.default_rng(seed))
    drawn.step(drawn.x, drawn.y)
    answers(drawn)
    drawn.model.train()
    counting = _Interrupt(1 << 30)
    with counting:
        drawn.step(drawn.x, drawn.y)
    return (1 << 30) - counting.left


def test_every_moment_of_a_step() -> None:
    happened = check_steps(3, list(range(moments_of_a_step(3) + 2)))
    assert not happened[0]
    assert happened[-1]
    first = happened.index(True)
    assert all(happened[first:])
    assert first < len(happened) - 2  # some interrupts come when all has been written


@pytest.mark.parametrize("seed", range(8))
def test_drawn_networks(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    check_steps(seed, rng.integers(0, moments_of_a_step(seed) + 1, 3).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_five_hundred_drawn_networks(part: int) -> None:
    for seed in range(100 + 50 * part, 150 + 50 * part):
        rng = np.random.default_rng([seed, 1])
        check_steps(seed, rng.integers(0, moments_of_a_step(seed) + 1, 4).tolist())


def changes(drawn: Drawn, path: str) -> dict[str, Callable[[], Any]]:
    """Return what else changes a model: all of it or, block by block, a parameter."""
    model, other = drawn.model, draw(np.random.default_rng(0)).model
    state = {name: value + 1 for name, value in model.state_dict().items()}
    gradient = cc.value_and_grad(lambda x, y: ops.cross_entropy(model(x), y), list(model.parameters()))
    weight = next(model.parameters())
    cc.save(other, path)
    return {
        "load_state_dict": lambda: model.load_state_dict(state),
        "load_into": lambda: cc.load_into(model, path),
        "assign": lambda: weight.assign(np.full(weight.shape, 2.0)),
        "init": lambda: nn.init.ones_(weight),
        "value_and_grad": lambda: gradient(drawn.x, drawn.y),
        "statistics": lambda: model.train()(drawn.x),
        "requires_grad": lambda: model.requires_grad_(False),
        "eval": lambda: model.eval(),
    }


CHANGES = [
    "load_state_dict",
    "load_into",
    "assign",
    "init",
    "value_and_grad",
    "statistics",
    "requires_grad",
    "eval",
]


@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")  # cut between open and `with`
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_other_changes(name: str, tmp_path: Any) -> None:
    """Whatever part of a change has happened, kept programs answer as new ones do."""
    for moment in (*range(0, 100, 7), *range(100, 2000, 61)):
        drawn = draw(np.random.default_rng(0))
        drawn.step(drawn.x, drawn.y)
        change = changes(drawn, str(tmp_path / "m"))[name]
        change()
        answers(drawn)
        drawn.model.train().requires_grad_(True)
        drawn.step(drawn.x, drawn.y)
        ended = interrupted(change, moment)
        twin = copy_of(drawn, 0)
        for module, other in zip(drawn.model.modules(), twin.model.modules(), strict=True):
            other.training = module.training
        for parameter, mine in zip(drawn.model.parameters(), twin.model.parameters(), strict=True):
            mine.requires_grad = parameter.requires_grad
        random = rng_state()
        ours = drawn.model(drawn.x)
        set_rng_state(random)
        assert np.array_equal(ours, twin.model(twin.x))
        if ended:
            break
    else:
        pytest.fail("the change never ended")


@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")  # cut between open and `with`
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fresh", [False, True])
def test_load_into_happens_whole_or_not_at_all(fresh: bool, tmp_path: Any) -> None:
    """At every moment, whether initial weights are read over in place or others are replaced."""
    other = draw(np.random.default_rng(0)).model
    for parameter in other.parameters():
        parameter.assign(np.full(parameter.shape, 2.0))
    cc.save(other, tmp_path / "m")
    wanted, outcomes = other.state_dict(), []
    for moment in range(5000):
        model = draw(np.random.default_rng(0)).model
        if not fresh:
            model.load_state_dict(model.state_dict())
        before = model.state_dict()
        ended = interrupted(lambda model=model: cc.load_into(model, tmp_path / "m"), moment)  # type: ignore[misc]
        found = model.state_dict()
        outcomes.append(equal(found, wanted))
        assert outcomes[-1] or (not ended and equal(found, before))
        if ended:
            break
    assert ended
    assert not outcomes[0]
    assert all(outcomes[outcomes.index(True) :])
    assert outcomes.index(True) < len(outcomes) - 1  # some interrupts come when all has been written


def test_an_optimizers_state_is_loaded_whole_or_not_at_all() -> None:
    """Arrays, settings of all groups and the number of steps."""

    def make() -> optim.Optimizer:
        weights = [nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))]
        optimizer = optim.Adam([{"params": [w], "lr": 0.5} for w in weights], betas=(0.5, 0.75))
        cc.train_step(lambda x: ops.sum(weights[0]) * ops.sum(weights[1]) * x, optimizer)(np.ones(()))
        return optimizer

    def seen(optimizer: optim.Optimizer) -> str:
        return repr(optimizer.state_dict())

    source = make()
    source.lr = 0.25
    source.step_count = 9
    wanted, outcomes = seen(source), []
    for moment in range(3000):
        target = make()
        before = seen(target)
        ended = interrupted(lambda target=target: target.load_state_dict(source.state_dict()), moment)  # type: ignore[misc]
        outcomes.append(seen(target) == wanted)
        assert outcomes[-1] or (not ended and seen(target) == before)
        if ended:
            break
    assert ended
    assert all(outcomes[outcomes.index(True) :])


def train_until_the_alarm(drawn: Drawn, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while True:
        drawn.step(drawn.x, drawn.y)


def test_signals_while_steps_run() -> None:
    """Real signals, at whatever moment they come."""
    drawn = draw(np.random.default_rng(5))
    drawn.step(drawn.x, drawn.y)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(20):
            answers(drawn)
            drawn.model.train()
            with pytest.raises(Interrupted):
                train_until_the_alarm(drawn, 0.002 + 1e-4 * turn)
            for ours, fresh in zip(answers(drawn), answers(copy_of(drawn, 5)), strict=True):
                assert np.array_equal(ours, fresh)
    finally:
        signal.signal(signal.SIGALRM, before)
