# SPDX-License-Identifier: Apache-2.0
"""Learning rates (and momenta) of each schedule, against torch's and against formulas."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import nn, optim
from cnncore.optim import lr_scheduler

STEPS = 25
Make = Callable[[Any, Any], Any]
"""Function of a module of schedulers and an optimiser."""

CASES: dict[str, Make] = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda step: 0.95**step),
    "LambdaLR, a function a group": lambda s, o: s.LambdaLR(
        o, [lambda step: 0.9**step, lambda step: 1 / (1 + step)]
    ),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda step: 0.9 + 0.01 * (step % 3)),
    "StepLR": lambda s, o: s.StepLR(o, 4, gamma=0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 7, 7, 12], gamma=0.5),
    "MultiStepLR from 0": lambda s, o: s.MultiStepLR(o, [0, 2]),
    "ConstantLR": lambda s, o: s.ConstantLR(o),
    "ConstantLR, short": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=1),
    "LinearLR": lambda s, o: s.LinearLR(o),
    "LinearLR down": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=9),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o),
    "PolynomialLR, square": lambda s, o: s.PolynomialLR(o, total_iters=12, power=2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 6),
    "CosineAnnealingLR, floor": lambda s, o: s.CosineAnnealingLR(o, 7, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "CosineAnnealingWarmRestarts, longer": lambda s, o: s.CosineAnnealingWarmRestarts(
        o, 3, T_mult=2, eta_min=0.01
    ),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.7, total_steps=STEPS),
    "OneCycleLR, a rate a group": lambda s, o: s.OneCycleLR(o, [0.7, 0.2], total_steps=STEPS),
    "OneCycleLR, linear, three phases": lambda s, o: s.OneCycleLR(
        o,
        0.7,
        epochs=5,
        steps_per_epoch=5,
        pct_start=0.4,
        anneal_strategy="linear",
        three_phase=True,
        div_factor=10.0,
        final_div_factor=50.0,
    ),
    "OneCycleLR, momentum left": lambda s, o: s.OneCycleLR(o, 0.7, total_steps=STEPS, cycle_momentum=False),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.5, step_size_up=4),
    "CyclicLR, triangular2": lambda s, o: s.CyclicLR(
        o, [0.01, 0.02], 0.5, step_size_up=3, step_size_down=5, mode="triangular2"
    ),
    "CyclicLR, exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.5, step_size_up=4, mode="exp_range", gamma=0.9),
    "CyclicLR, a function": lambda s, o: s.CyclicLR(
        o, 0.01, 0.5, step_size_up=4, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 15), s.StepLR(o, 2)], milestones=[5, 18]
    ),
    "SequentialLR with restarts": lambda s, o: s.SequentialLR(
        o,
        [s.ConstantLR(o, 0.1, 3), s.CosineAnnealingWarmRestarts(o, 4), s.PolynomialLR(o, 4)],
        milestones=[3, 15],
    ),
}


def ours(kind: str = "SGD") -> optim.Optimizer:
    groups = [{"params": [nn.Parameter([1.0])], "lr": 0.4}, {"params": [nn.Parameter([2.0])], "lr": 0.1}]
    return optim.SGD(groups, momentum=0.9) if kind == "SGD" else optim.Adam(groups)


def settings(optimizer: Any) -> list[float]:
    return [float(group[name]) for group in optimizer.param_groups for name in ("lr",)] + [
        float(group["momentum"] if "momentum" in group else group["betas"][0])
        for group in optimizer.param_groups
    ]


def course(
    scheduler: Any, optimizer: Any, steps: int = STEPS - 1, update: Callable[[], Any] = lambda: None
) -> Any:
    rows = [settings(optimizer)]
    for _ in range(steps):
        update()
        scheduler.step()
        rows.append(settings(optimizer))
        assert scheduler.get_last_lr() == [float(group["lr"]) for group in optimizer.param_groups]
    return np.array(rows)


RECORDED = Path(__file__).parent / "schedules_of_torch.txt"
"""Rates and momenta of both groups of SGD at each step, by PyTorch, a case a line."""
TOLERANCE = {"rtol": STEPS * 16 * np.finfo(float).eps, "atol": 1e-15}
"""A rate is a product of at most STEPS factors, each rounded a few times in float64."""


def torchs(case: str, kind: str) -> Any:
    torch = pytest.importorskip("torch")
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.4},
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.1},
    ]
    theirs = torch.optim.SGD(groups, momentum=0.9) if kind == "SGD" else torch.optim.Adam(groups)
    return course(CASES[case](torch.optim.lr_scheduler, theirs), theirs, update=theirs.step)


def recorded() -> dict[str, Any]:
    lines = (line.split(": ") for line in RECORDED.read_text().splitlines())
    return {case: np.array(values.split(), float).reshape(STEPS, 4) for case, values in lines}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("case", CASES)
def test_against_torch(case: str, kind: str) -> None:
    optimizer = ours(kind)
    found = course(CASES[case](lr_scheduler, optimizer), optimizer)
    if kind == "SGD":
        np.testing.assert_allclose(found, recorded()[case], **TOLERANCE)
    np.testing.assert_allclose(found, torchs(case, kind), **TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_state_continues(case: str) -> None:
    optimizer = ours()
    whole = course(CASES[case](lr_scheduler, optimizer), optimizer)
    first = ours()
    scheduler = CASES[case](lr_scheduler, first)
    for _ in range(9):
        scheduler.step()
    second = ours()
    resumed = CASES[case](lr_scheduler, second)
    resumed.load_state_dict(scheduler.state_dict())
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(course(resumed, second, STEPS - 10), whole[9:])


FORMULAS: dict[str, Callable[[int], float]] = {
    "StepLR": lambda step: 0.4 * 0.3 ** (step // 4),
    "ExponentialLR": lambda step: 0.4 * 0.8**step,
    "LinearLR": lambda step: 0.4 * (1 / 3 + (2 / 3) * min(step, 5) / 5),
    "ConstantLR": lambda step: 0.4 / 3 if step < 5 else 0.4,
    "PolynomialLR, square": lambda step: 0.4 * (1 - min(step, 12) / 12) ** 2,
    "CosineAnnealingLR, floor": lambda step: 0.01 + (0.4 - 0.01) * (1 + math.cos(math.pi * step / 7)) / 2,
    "CosineAnnealingWarmRestarts": lambda step: 0.4 * (1 + math.cos(math.pi * (step % 4) / 4)) / 2,
    "LambdaLR": lambda step: 0.4 * 0.95**step,
    "CyclicLR": lambda step: 0.01 + 0.49 * (1 - abs(step % 8 - 4) / 4),
    "ChainedScheduler": lambda step: 0.4 * (0.1 if step < 4 else 1.0) * 0.9**step,
}


@pytest.mark.parametrize("case", FORMULAS)
def test_against_the_formula(case: str) -> None:
    optimizer = ours()
    found = course(CASES[case](lr_scheduler, optimizer), optimizer)[:, 0]
    wanted = [FORMULAS[case](step) for step in range(STEPS)]
    # The rate is multiplied step by step; near zero the difference is one of the first rate's roundings.
    np.testing.assert_allclose(found, wanted, rtol=STEPS * 16 * np.finfo(float).eps, atol=1e-15)


# Cycles have rates of their own, MultiplicativeLR goes on from the present rate, as torch's does.
FOLLOWING = [case for case in CASES if not case.startswith(("OneCycleLR", "CyclicLR", "MultiplicativeLR"))]


@pytest.mark.parametrize("case", FOLLOWING)
def test_a_schedule_begins_at_its_milestone_as_alone(case: str) -> None:
    optimizer = ours()
    alone = course(CASES[case](lr_scheduler, optimizer), optimizer)
    optimizer = ours()
    schedules = [lr_scheduler.ConstantLR(optimizer, 0.5, 7), CASES[case](lr_scheduler, optimizer)]
    scheduler = lr_scheduler.SequentialLR(optimizer, schedules, milestones=[5])
    found = course(scheduler, optimizer)
    np.testing.assert_array_equal(found[:5, :2], np.full((5, 2), [0.2, 0.05]))
    np.testing.assert_allclose(found[5:], alone[:-5], rtol=4 * np.finfo(float).eps)
    assert scheduler.last_epoch == STEPS - 1
    scheduler.restart()
    assert scheduler.last_epoch == 0
    np.testing.assert_array_equal(course(scheduler, optimizer), found)


def test_restarts_between_two_steps() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=2)
    for place, (run, start) in {0.5: (2, 0), 1.75: (2, 0), 3.0: (4, 2), 13.5: (8, 6), 14.0: (16, 14)}.items():
        scheduler.step(place)
        wanted = 0.4 * (1 + math.cos(math.pi * (place - start) / run)) / 2
        assert optimizer.lr == pytest.approx(wanted, rel=1e-15)


def test_a_training_step_uses_the_rate() -> None:
    import cnncore as cc

    parameter = nn.Parameter([0.0])
    optimizer = optim.SGD([parameter], lr=1.0)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    step = cc.train_step(lambda: -1.0 * cc.ops.sum(parameter), optimizer)
    for _ in range(3):
        step()
        scheduler.step()
    assert parameter.numpy().tolist() == [1.75]


def test_continuing_needs_the_rate_of_the_beginning() -> None:
    optimizer = ours()
    with pytest.raises(ValueError, match="'initial_lr' in parameter group 0"):
        lr_scheduler.StepLR(optimizer, 2, last_epoch=3)
    first = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    first.step()
    again = ours()
    again.load_state_dict(optimizer.state_dict())
    lr_scheduler.StepLR(again, 2, gamma=0.5, last_epoch=first.last_epoch)
    assert again.lr == 0.2


@pytest.mark.parametrize(
    ("state", "found"),
    [(3, "got int$"), ([("last_epoch", 1)], "got list$"), ({"b": 1, "a": 2}, r"got \['a', 'b'\]$")],
)
def test_the_state_of_something_else_is_told(state: Any, found: str) -> None:
    scheduler = lr_scheduler.StepLR(ours(), 2)
    before = scheduler.state_dict()
    with pytest.raises(
        ValueError, match=rf"^expected the state of a StepLR with \[.*'step_size'.*\], {found}"
    ):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before


def test_no_schedule_begins_before_its_beginning() -> None:
    optimizer = ours()
    lr_scheduler.StepLR(optimizer, 2)
    for last_epoch in (-2, -3):
        with pytest.raises(ValueError, match=f"last_epoch to be at least -1, got {last_epoch}"):
            lr_scheduler.StepLR(optimizer, 2, last_epoch=last_epoch)


WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no optimiser": (lambda o: lr_scheduler.StepLR(3, 2), TypeError, "expected an optimizer"),  # type: ignore[arg-type]
    "step size": (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size to be at least 1, got 0"),
    "text": (lambda o: lr_scheduler.ExponentialLR(o, "x"), TypeError, "expected a number for gamma"),  # type: ignore[arg-type]
    "NaN": (lambda o: lr_scheduler.ExponentialLR(o, math.nan), ValueError, "expected a finite gamma"),
    "factor": (
        lambda o: lr_scheduler.ConstantLR(o, 0.0),
        ValueError,
        "factor above 0 and at most 1, got 0.0",
    ),
    "no function": (lambda o: lr_scheduler.LambdaLR(o, 0.5), TypeError, "a function of the step"),  # type: ignore[arg-type]
    "functions": (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "or 2 functions"),
    "rates": (lambda o: lr_scheduler.OneCycleLR(o, [1.0], 5), ValueError, "expected 2 values of max_lr"),
    "total": (lambda o: lr_scheduler.OneCycleLR(o, 1.0, epochs=3), ValueError, "total_steps, or epochs and"),
    "mode": (
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, mode="up"),
        ValueError,
        'expected mode "triangular"',
    ),
    "plateau": (lambda o: lr_scheduler.ReduceLROnPlateau(o).step(), TypeError, "step\\(validation_loss\\)"),
    "plateau factor": (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "below 1"),
    "empty": (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
    "milestones": (
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2)], [4]),
        ValueError,
        "expected 0 ascending milestones",
    ),
    "other optimiser": (
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(ours(), 2)], o),
        ValueError,
        "of another optimizer",
    ),
    "state": (
        lambda o: lr_scheduler.StepLR(o, 2).load_state_dict(
            lr_scheduler.ExponentialLR(ours(), 0.5).state_dict()
        ),
        ValueError,
        "expected the state of a StepLR",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_told(case: str) -> None:
    make, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        make(ours())


def test_the_cycle_ends() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=3)
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match="the cycle has 3 steps"):
        scheduler.step()


def test_without_momentum_there_is_none_to_cycle() -> None:
    class Plain(optim.SGD):
        def __init__(self, params: Any) -> None:
            super().__init__(params)
            self.defaults = {"lr": 1.0}

    optimizer = Plain([nn.Parameter([1.0])])
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=3)


def interrupted(step: Callable[[], None], line: int) -> bool:
    """Run a step with a Ctrl-C at the so-manieth line of the schedulers' sources; whether it came so far."""
    seen = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        if "lr_scheduler" not in frame.f_code.co_filename or frame.f_code.co_name in ("_kept", "_put_back"):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("name", [*CASES, "ReduceLROnPlateau"])
def test_a_step_that_is_interrupted_has_not_happened(name: str) -> None:
    """At whatever line: then the schedule goes on as if nothing had been."""

    def state(scheduler: Any) -> Any:
        groups = [{k: v for k, v in g.items() if k != "params"} for g in scheduler.optimizer.param_groups]
        return repr((scheduler.state_dict(), groups))

    def made() -> tuple[Any, Callable[[], None]]:
        optimizer = ours()
        if name == "ReduceLROnPlateau":
            scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, cooldown=1)
            return scheduler, lambda: scheduler.step(1.0)
        scheduler = CASES[name](lr_scheduler, optimizer)
        return scheduler, scheduler.step

    twin, further = made()
    for _ in range(3):
        further()
    before = state(twin)
    further()
    after = state(twin)
    line = 0
    while True:
        line += 1
        scheduler, step = made()
        for _ in range(3):
            step()
        assert state(scheduler) == before
        if not interrupted(step, line):
            break
        assert state(scheduler) in (before, after)
        if state(scheduler) == before:
            step()
        assert state(scheduler) == after
    assert line > 2


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_jumps_to_every_epoch_are_what_steps_give(factor):
    def scheduler():
        optimizer = optim.SGD([nn.Parameter(np.ones(1))], lr=1.0)
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, factor)

    stepped = scheduler()
    for epoch in range(1, 30):
        stepped.step()
        jumped = scheduler()
        jumped.step(epoch)
        assert (jumped.T_cur, jumped.T_i) == (stepped.T_cur, stepped.T_i)
        assert jumped.lrs == stepped.lrs


class Decay:
    """A function with state."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, step: int) -> float:
        return float(self.factor**step)


def test_functions_with_state_take_it_from_a_loaded_one() -> None:
    first, second = ours(), ours()
    scheduler = lr_scheduler.LambdaLR(first, [Decay(0.5), lambda step: 1.0])
    scheduler.step()
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"factor": 0.5}, None]
    function = Decay(0.25)
    resumed = lr_scheduler.LambdaLR(second, [function, lambda step: 1.0])
    resumed.load_state_dict(state)
    assert function.factor == 0.5
    resumed.step()
    assert resumed.get_last_lr() == [0.4 * 0.25, 0.1]


@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler"])
def test_a_step_that_raises_leaves_all_schedulers(kind: str) -> None:
    def fails(step: int) -> float:
        if step == 2:
            raise RuntimeError("no rate")
        return 1.0

    optimizer = ours()
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.LambdaLR(optimizer, fails)]
    if kind == "SequentialLR":
        scheduler: Any = lr_scheduler.SequentialLR(optimizer, parts[::-1], milestones=[9])
    else:
        scheduler = lr_scheduler.ChainedScheduler(parts)
    scheduler.step()
    before = repr((scheduler.state_dict(), settings(optimizer), [part.last_epoch for part in parts]))
    with pytest.raises(RuntimeError, match="no rate"):
        scheduler.step()
    assert repr((scheduler.state_dict(), settings(optimizer), [part.last_epoch for part in parts])) == before


@pytest.mark.parametrize(
    ("second", "rates"),
    [
        (lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.5, step_size_up=2), [0.01, 0.255, 0.5]),
        (lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.5), [0.2, 0.1, 0.05]),
        (lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)), [0.4, 0.2, 0.4 / 3]),
    ],
)
def test_later_schedules_begin_with_their_first_rate(
    second: Callable[[Any], Any], rates: list[float]
) -> None:
    optimizer = ours()
    first = lr_scheduler.ConstantLR(optimizer, 0.5, 10)
    scheduler = lr_scheduler.SequentialLR(optimizer, [first, second(optimizer)], milestones=[2])
    found = []
    for _ in range(4):
        scheduler.step()
        found.append(float(optimizer.param_groups[0]["lr"]))
    assert found == pytest.approx([0.2, *rates])


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 1, gamma=0.5),
        lambda o: lr_scheduler.MultiStepLR(o, range(1, 9), gamma=0.5),
        lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    ],
)
def test_each_step_may_be_one_down(make: Callable[[Any], Any]) -> None:
    optimizer = ours()
    found = course(make(optimizer), optimizer, 4)[:, 0]
    np.testing.assert_allclose(found, 0.4 * 0.5 ** np.arange(5), rtol=1e-14)


def test_places_before_the_schedule_are_refused() -> None:
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(ours(), 2)
    with pytest.raises(ValueError, match="epoch"):
        scheduler.step(-0.5)
    assert (scheduler.last_epoch, scheduler.T_cur) == (0, 0)
