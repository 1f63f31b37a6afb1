# SPDX-License-Identifier: Apache-2.0
"""Averages of weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from cnncore import nn, optim
from cnncore.optim import swa_utils


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def changed(model: nn.Module, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for value in [*model.parameters(), *model.buffers()]:
        if np.asarray(value).dtype == np.float32:
            value.assign(rng.normal(size=value.shape).astype(np.float32))


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["swa", "ema", "swa lists", "ema lists", "own"])
def test_averages(kind: str, use_buffers: bool) -> None:
    own: Any = lambda a, b, n: 0.25 * a + 0.75 * b  # noqa: E731
    settings: dict[str, Any] = {
        "swa": {},
        "ema": {"avg_fn": swa_utils.get_ema_avg_fn(0.75)},
        "swa lists": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
        "ema lists": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)},
        "own": {"avg_fn": own},
    }[kind]
    model = network()
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers, **settings)
    expected: dict[str, Any] = {}
    for count in range(4):
        changed(model, count)
        averaged.update_parameters(model)
        assert int(np.asarray(averaged.n_averaged)) == count + 1
        for name, value in model.state_dict().items():
            now = np.asarray(value, np.float64)
            old = expected.get(name)
            if old is None or ("running" in name and not use_buffers) or value.dtype != np.float32:
                expected[name] = now
            elif kind == "own":
                expected[name] = own(old, now, count)
            else:
                expected[name] = 0.75 * old + 0.25 * now if "ema" in kind else old + (now - old) / (count + 1)
        for name, value in averaged.module.state_dict().items():
            # Each update rounds four times, and averages keep values below 4.
            np.testing.assert_allclose(value, expected[name], rtol=0, atol=4 * 4 * 4 * 2.0**-24)


def test_the_copy_is_a_model_of_its_own() -> None:
    model = network()
    averaged = optim.EMA(model, decay=0.5)
    averaged.update_parameters(model)
    before = averaged(np.ones((2, 3)))
    changed(model, 1)
    np.testing.assert_array_equal(averaged(np.ones((2, 3))), before)
    again = pickle.loads(pickle.dumps(copy.deepcopy(averaged)))
    again.update_parameters(model)
    assert int(np.asarray(averaged.n_averaged)) == 1
    other = swa_utils.AveragedModel(network())
    other.load_state_dict(averaged.state_dict())
    np.testing.assert_array_equal(other.eval()(np.ones((2, 3))), averaged.eval()(np.ones((2, 3))))
    with pytest.raises(ValueError, match="the parameters of the one that was averaged"):
        averaged.update_parameters(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="avg_fn or multi_avg_fn, got both"):
        swa_utils.AveragedModel(model, own := swa_utils.get_swa_avg_fn(), own)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_rates_are_torchs(strategy: str, epochs: int) -> None:
    torch = pytest.importorskip("torch")
    ours = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.8)
    theirs = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.8)
    mine = swa_utils.SWALR(ours, 0.05, epochs, strategy)
    reference = torch.optim.swa_utils.SWALR(theirs, 0.05, epochs, strategy)
    for _ in range(8):
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        mine.step()
        theirs.step()
        reference.step()


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_rates_go_over_to_the_last(strategy: str, epochs: int) -> None:
    first, last = 0.8, 0.05
    optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=first)
    scheduler = swa_utils.SWALR(optimizer, last, epochs, strategy)
    assert optimizer.lr == (first if epochs else last)
    for step in range(1, 9):
        scheduler.step()
        done = min(1.0, step / epochs) if epochs else 1.0
        share = done if strategy == "linear" else (1 - np.cos(np.pi * done)) / 2
        assert optimizer.lr == pytest.approx(share * last + (1 - share) * first, rel=1e-12)


def test_statistics_are_averages_over_the_batches() -> None:
    model = network()
    model.eval()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(8, 3)).astype(np.float32) for _ in range(3)]
    swa_utils.update_bn([(x, None) for x in batches], model)
    linear = model[0]
    values = [x.astype(np.float64) @ np.asarray(linear.weight).T + np.asarray(linear.bias) for x in batches]
    mean = np.mean([v.mean(0) for v in values], 0)
    variance = np.mean([v.var(0, ddof=1) for v in values], 0)
    # Three batches of eight rows of sums of four products below 4.
    np.testing.assert_allclose(model[1].running_mean, mean, atol=32 * 4 * 2.0**-24)
    np.testing.assert_allclose(model[1].running_var, variance, atol=64 * 4 * 2.0**-24)
    assert model[1].momentum == 0.1
    assert not model.training
    assert not model[1].training


def test_an_average_does_not_keep_the_model() -> None:
    model = nn.Linear(100, 100)
    averaged = swa_utils.EMA(model)
    # The average, its counter and little else: not the model besides.
    assert len(pickle.dumps(averaged)) < 1.5 * len(pickle.dumps(averaged.module))


def test_models_without_statistics_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    swa_utils.update_bn(iter([]), model)
    assert not model.training
