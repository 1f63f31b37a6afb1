# SPDX-License-Identifier: Apache-2.0
"""Ray: columns of batches, figures of trials; with Ray itself where it is installed."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim
from cnncore.ray import STATE, BatchPredictor, Report, training


def model() -> nn.Module:
    cc.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_columns_of_a_batch(rows: int) -> None:
    """A predictor for 4 rows takes any number of them; pickled, it gives the same bits."""
    net = model()
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    batch = {"x": x, "name": np.arange(rows)}
    for made in (net, cc.compile(net, (4, 3))):
        predict = BatchPredictor(made, "x", "y")
        found = predict(batch)
        assert list(found) == ["x", "name", "y"]
        np.testing.assert_allclose(found["y"], net(x), rtol=1e-5, atol=1e-6)
        again = pickle.loads(pickle.dumps(predict))(batch)
        np.testing.assert_array_equal(again["y"], found["y"])


def test_what_cannot_be_predicted() -> None:
    with pytest.raises(TypeError, match="expected a Module"):
        BatchPredictor(3)
    with pytest.raises(ValueError, match="expected a column 'image', got x"):
        BatchPredictor(model())({"x": np.ones((1, 3))})
    with pytest.raises(ValueError, match="'tune' or 'train'"):
        Report("serve")


def make(config: dict[str, Any]) -> cc.Trainer:
    net = model()
    return cc.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=config["lr"]), metrics="mae")


DATA = (np.ones((8, 3), np.float32), np.ones((8, 2), np.float32))


def test_each_epoch_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    saved: list[bytes] = []

    def report(figures: dict[str, Any], checkpoint: bytes) -> None:
        reported.append(figures)
        saved.append(checkpoint)

    def checkpoint_of(folder: str) -> bytes:
        return (Path(folder) / STATE).read_bytes()

    workers = SimpleNamespace(get_world_size=lambda: 1)
    library = SimpleNamespace(
        report=report,
        get_context=lambda: workers,
        get_checkpoint=lambda: None,
        Checkpoint=SimpleNamespace(from_directory=checkpoint_of),
    )
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "ray.train", library)
    run = training(make, DATA, "train", epochs=3, batch_size=8)
    run({"lr": 0.1, "batch_size": 4})
    assert [each["epoch"] for each in reported] == [1, 2, 3]
    assert reported[2]["loss"] < reported[0]["loss"]
    assert "mae" in reported[0]

    @contextmanager
    def as_directory() -> Iterator[str]:
        (tmp_path / STATE).write_bytes(saved[0])
        yield str(tmp_path)

    library.get_checkpoint = lambda: SimpleNamespace(as_directory=as_directory)
    run({"lr": 0.1, "batch_size": 4})  # goes on after the first epoch
    figures = [
        [(each["epoch"], each["loss"], each["mae"]) for each in part]
        for part in (reported[1:3], reported[3:])
    ]
    assert figures[0] == figures[1]
    workers.get_world_size = lambda: 2
    with pytest.raises(ValueError, match="2 workers would train 2 models"):
        run({"lr": 0.1})
    monkeypatch.setitem(sys.modules, "ray.train", None)
    with pytest.raises(ImportError, match=r"cnncore\[ray\]"):
        run({"lr": 0.1})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_with_ray(tmp_path: Any) -> None:
    """Predictions of a data set, and two trials."""
    ray = pytest.importorskip("ray", exc_type=ImportError)
    data = pytest.importorskip("ray.data", exc_type=ImportError)
    tune = pytest.importorskip("ray.tune", exc_type=ImportError)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    try:
        net = model()
        x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
        predict = BatchPredictor(cc.compile(net, (4, 3)), "data", "y")
        found = data.from_numpy(x).map_batches(predict, batch_format="numpy", batch_size=5).take_all()
        expected = {row.tobytes(): y for row, y in zip(x, net(x), strict=True)}
        for row in found:
            key = np.asarray(row["data"], np.float32).tobytes()
            np.testing.assert_allclose(row["y"], expected[key], rtol=1e-5, atol=1e-6)
        assert len(found) == 10
        tuner = tune.Tuner(
            training(make, DATA, epochs=2, batch_size=4),
            param_space={"lr": tune.grid_search([0.0, 0.1])},
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        )
        trials = tuner.fit()
        assert trials.get_best_result("loss", "min").config["lr"] == 0.1
        assert all(trial.metrics["epoch"] == 2 for trial in trials)
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_with_ray_train(tmp_path: Any) -> None:
    """A worker of Ray Train reports each epoch; two workers, which would train two models, are refused."""
    ray = pytest.importorskip("ray", exc_type=ImportError)
    train = pytest.importorskip("ray.train", exc_type=ImportError)
    trainers = train  # Ray has two of them, each with its own settings
    for home in ("ray.train.v2.api", "ray.train"):
        settings = pytest.importorskip(f"{home}.config" if "v2" in home else home, exc_type=ImportError)
        if settings.RunConfig is train.RunConfig:
            trainers = pytest.importorskip(f"{home}.data_parallel_trainer", exc_type=ImportError)
            break
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    try:

        def fitted(workers: int) -> Any:
            trainer = trainers.DataParallelTrainer(
                training(make, DATA, "train", epochs=3, batch_size=4),
                train_loop_config={"lr": 0.1},
                scaling_config=train.ScalingConfig(num_workers=workers),
                run_config=train.RunConfig(storage_path=str(tmp_path), name=f"of {workers}"),
            )
            return trainer.fit()

        found = fitted(1)
        assert found.metrics["epoch"] == 3
        assert found.metrics["loss"] < 0.5
        again = make({"lr": 0.1})
        with found.checkpoint.as_directory() as folder:
            again.resume(Path(folder) / STATE)
        assert again.epoch == 3
        with pytest.raises(Exception, match="2 workers would train 2 models"):
            fitted(2)
    finally:
        ray.shutdown()
