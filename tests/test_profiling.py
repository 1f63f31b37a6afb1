# SPDX-License-Identifier: Apache-2.0
"""Tables of steps: rates against the peaks, what binds, totals; of predictors and of training steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim, profiling
from cnncore.profiling import Table

PEAK = {"gflops": 100.0, "gbytes": 10.0, "gflops_one_thread": 50.0}
X = np.random.default_rng(0).normal(size=(4, 16, 32, 32)).astype(np.float32)
Y = np.arange(4) % 3


@pytest.fixture(autouse=True)
def peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "_peak", lambda threads: PEAK)


def rows_of(fn: Any, *shapes: tuple[int, ...]) -> Table:
    predictor = cc.compile(fn, list(shapes))
    return predictor.profile(*(np.ones(shape, np.float32) for shape in shapes), repeats=2)


def test_rates_are_work_by_time() -> None:
    (row,) = rows_of(nn.Conv2d(16, 16, 1), X.shape)
    seconds = row["ms"] / 1e3
    pixels = 4 * 32 * 32
    flops, size = 2 * pixels * 16 * 16, 4 * (2 * pixels * 16 + 16 * 16 + 16)
    assert row["gflops"] == pytest.approx(flops / seconds / 1e9)
    assert row["gbytes"] == pytest.approx(size / seconds / 1e9)
    assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / PEAK["gflops"])
    assert row["percent_of_bandwidth"] == pytest.approx(100 * row["gbytes"] / PEAK["gbytes"])
    assert row["percent_of_time"] == pytest.approx(100)


def test_what_binds_a_step() -> None:
    # At 100 GFLOP/s and 10 GB/s a step with fewer than 10 operations a byte is bound by memory.
    assert [row["bound"] for row in rows_of(nn.Conv2d(64, 64, 5), (1, 64, 32, 32))] == ["compute"]
    assert [row["bound"] for row in rows_of(lambda x: ops.relu(x), (1, 64, 32, 32))] == ["memory"]
    assert [row["bound"] for row in rows_of(lambda x: ops.relu(x), (1, 8))] == ["overhead"]


def test_winograd_is_bound_by_the_multiplications_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = cc.compile(nn.Conv2d(64, 64, 3, padding=1), (4, 64, 32, 32))
    x = np.ones((4, 64, 32, 32), np.float32)
    (row,) = predictor.profile(x, repeats=1)
    assert row["algorithm"] == "winograd_f4"
    assert row["gflops"] * row["ms"] * 1e6 == pytest.approx(2 * 4 * 32 * 32 * 64 * 64 * 9)
    effective = row["gflops"] * row["ms"] / row["gbytes"] / row["ms"]  # operations a byte
    monkeypatch.setitem(PEAK, "gflops", effective * PEAK["gbytes"] / 2)  # twice as long by these operations
    (row,) = predictor.profile(x, repeats=1)
    assert row["bound"] == "memory"  # but half as long by a fourth of them


def test_the_total_is_the_sum() -> None:
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Sigmoid(), nn.MaxPool2d(2))
    table = rows_of(model, X.shape)
    assert table.total is not None
    assert table.total["step"] == "2 steps"
    assert table.total["ms"] == pytest.approx(sum(row["ms"] for row in table))
    assert sum(row["percent_of_time"] for row in table) == pytest.approx(100)
    work = sum(row["gflops"] * row["ms"] for row in table)
    assert table.total["gflops"] * table.total["ms"] == pytest.approx(work)
    lines = str(table).splitlines()
    assert lines[-2].startswith("total")
    assert lines[-1].startswith("peaks on")
    assert "effective" in lines[-1]


def test_tables_print() -> None:
    assert str(Table()) == "(no rows)"
    table = Table([{"a": "x", "b": 1.23456}, {"a": "longer", "b": {"p": 0.5, "q": 2}}], {"a": "sum"}, ["end"])
    assert str(table).splitlines() == [
        "a       b",
        "x       1.23",
        "longer  p 0.5, q 2",
        "sum",
        "end",
    ]


def training_step(model: nn.Module) -> Any:
    loss = nn.CrossEntropyLoss()
    return cc.train_step(lambda x, y: loss(model(x), y), optim.Adam(model.parameters(), lr=0.01))


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(7200, 3)
    )


def test_a_training_step_has_tables() -> None:
    step = training_step(small_network())
    with pytest.raises(ValueError, match="nothing is compiled yet"):
        step.explain()
    explained = step.explain(X, Y)
    measured = step.profile(X, Y, repeats=2)
    assert [row["step"] for row in measured] == [row["step"] for row in explained]
    names = [row["step"] for row in measured]
    for name in ("conv_forward", "conv_backward_weight", "batch_norm_backward", "adam_update"):
        assert name in names
    assert names[-1] == "adam_update"
    assert all(row["ms"] > 0 for row in measured)
    assert any("groups 1 != input channels 16" in row["refused"] for row in explained)
    assert [row["step"] for row in step.explain()] == names


def test_explain_tells_of_the_step_that_ran_last() -> None:
    step = training_step(small_network())
    step(X, Y)
    conv = nn.Conv2d(1, 1, 1)
    other = cc.train_step(lambda x: conv(x).sum(), optim.SGD(conv.parameters(), lr=0.1))
    other(X[:, :1])
    assert "batch_norm_backward" in [row["step"] for row in step.explain()]
    assert "batch_norm_backward" not in [row["step"] for row in other.explain()]


def test_profiling_a_training_step_leaves_everything_as_it_was() -> None:
    """Weights, statistics, moments, the count of steps and random numbers: training goes on as without."""
    losses = []
    for profiled in (False, True):
        cc.manual_seed(5)
        step = training_step(small_network())
        found = [step(X, Y)]
        if profiled:
            step.profile(X, Y, repeats=3)
        losses.append(found + [step(X, Y) for _ in range(3)])
    assert losses[0] == losses[1]


def test_a_refused_batch_leaves_everything_as_it_was() -> None:
    model = small_network()
    step = training_step(model)
    step(X, Y)
    state = model.state_dict()
    with pytest.raises(ValueError, match="label"):
        step.profile(X, Y + 5)
    assert all(np.array_equal(value, state[name]) for name, value in model.state_dict().items())
    assert step.optimizer.step_count == 1


@pytest.mark.parametrize(
    ("repeats", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (2**70, ValueError)]
)
def test_repeats_are_checked(repeats: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="repeat"):
        cc.compile(nn.ReLU(), X.shape).profile(X, repeats=repeats)
    with pytest.raises(error, match="repeat"):
        training_step(small_network()).profile(X, Y, repeats=repeats)
