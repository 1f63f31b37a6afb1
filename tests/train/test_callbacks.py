# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim
from cnncore.train import (
    CSVLogger,
    EarlyStopping,
    Lambda,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
    Trainer,
)
from cnncore.train.callbacks.monitor import Monitor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def make(**options: Any) -> Trainer:
    model = nn.Linear(4, 2)
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def play(callback: Any, values: list[float], name: str = "val_loss") -> Trainer:
    """Give a callback the figures of epochs until it ends training; the weight is the number of the epoch."""
    trainer = make()
    callback.trainer = trainer
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        trainer.model.bias.assign(np.full(2, float(epoch)))
        callback.on_epoch_end(epoch, {"loss": 0.0, name: value})
        trainer.epoch = epoch + 1
        if trainer.stop_training:
            break
    callback.on_train_end()
    return trainer


@pytest.mark.parametrize(
    ("options", "values", "stopped", "best"),
    [
        ({"patience": 1}, [3, 2, 2.5, 1, 0], 2, 1),
        ({"patience": 0}, [3, 2, 2.5, 1, 0], 2, 1),
        ({"patience": 2}, [3, 2, 2.5, 1, 4, 5, 0], 5, 3),
        ({"patience": 2, "min_delta": 0.6}, [3, 2.5, 2.3, 2.2, 2.1], 4, 2),
        ({"patience": 2, "start_from_epoch": 2}, [1, 1, 3, 2, 2, 2], 5, 3),
        ({"patience": 1, "baseline": 1.0}, [2, 0.5], 0, None),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 1], 3, 2),
        ({"patience": 2}, [math.nan, 1.0, math.nan, math.nan], 3, 1),
        ({"patience": 3}, [3, 2, 1], None, 2),
    ],
)
def test_early_stopping(
    options: dict[str, Any], values: list[float], stopped: int | None, best: int | None
) -> None:
    callback = EarlyStopping(restore_best=True, **options)
    trainer = play(callback, values)
    assert (callback.stopped_epoch, callback.best_epoch) == (stopped, best)
    assert trainer.stop_training is (stopped is not None)
    last = len(values) - 1 if stopped is None else stopped
    assert trainer.model.bias.numpy()[0] == (last if best is None else best)


def test_early_stopping_keeps_the_last_weights_unless_asked() -> None:
    assert play(EarlyStopping(patience=1), [1.0, 2.0]).model.bias.numpy()[0] == 1


def test_early_stopping_in_training_restores_what_was_best() -> None:
    kept: dict[int, Any] = {}
    trainer = make(ema=0.5)
    keep = Lambda(on_epoch_end=lambda epoch, logs: kept.update({epoch: trainer.final_model.state_dict()}))
    stop = EarlyStopping("accuracy", patience=3, mode="min", restore_best=True)
    trainer.fit(X, Y, 30, 5, callbacks=[stop, keep], verbose=0)
    assert stop.best_epoch is not None
    for name, array in trainer.final_model.state_dict().items():
        np.testing.assert_array_equal(array, kept[stop.best_epoch][name])


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        *[
            (name, True)
            for name in ("val_accuracy", "top5_accuracy", "f1_macro", "kind_accuracy", "auc", "r2")
        ],
        *[(name, False) for name in ("loss", "val_loss", "size_loss", "mae", "val_rmse", "wer")],
    ],
)
def test_what_is_better_follows_from_the_name(name: str, higher: bool) -> None:
    assert Monitor(name, "auto").higher(name) is higher
    assert Monitor(name, "min").higher(name) is False


def test_figures_that_cannot_be_watched() -> None:
    with pytest.raises(ValueError, match=r"monitor='spread': say mode='min' where lower is better"):
        EarlyStopping("spread")
    with pytest.raises(ValueError, match=r"one of loss, val_loss, got 'val_f1'"):
        play(EarlyStopping("val_f1"), [1.0])
    with pytest.raises(ValueError, match=r"got 'val_loss'; there is no validation"):
        play(EarlyStopping("val_loss"), [1.0], "accuracy")
    with pytest.raises(ValueError, match=r"expected a number, got ndarray"):
        Monitor("loss", "auto").value({"loss": np.zeros(2)})
    for wrong in (
        lambda: EarlyStopping(mode="up"),
        lambda: EarlyStopping(patience=-1),
        lambda: Monitor(None, "min", -1),
    ):
        with pytest.raises(ValueError, match=r"expected (mode|patience|a finite min_delta)"):
            wrong()


def test_terminate_on_nan() -> None:
    with pytest.warns(UserWarning, match=r"val_loss is inf after epoch 2: training ends"):
        trainer = play(TerminateOnNaN(), [1.0, math.inf, 0.0])
    assert (trainer.epoch, trainer.stop_training) == (2, True)
    assert not play(TerminateOnNaN(), [math.nan], "val_auc").stop_training
    with pytest.warns(UserWarning, match=r"val_auc is nan"):
        assert play(TerminateOnNaN("val_auc"), [math.nan], "val_auc").stop_training


def test_rates_by_a_function() -> None:
    seen: list[float] = []
    for schedule in (lambda epoch: 0.5**epoch, lambda epoch, rate: 1.0 if epoch == 0 else rate * 0.5):
        seen.clear()
        trainer = make()
        watch = Lambda(on_batch_end=lambda batch, logs, t=trainer: seen.append(t.optimizer.lr))
        trainer.fit(X, Y, 3, 20, callbacks=[LearningRateScheduler(schedule), watch], verbose=0)
        assert seen == [1.0, 0.5, 0.25]
    with pytest.raises(
        TypeError, match=r"got StepLR; a scheduler of optim goes to Trainer\(..., scheduler=\)"
    ):
        LearningRateScheduler(optim.lr_scheduler.StepLR(make().optimizer, 1))  # type: ignore[arg-type]


def test_rates_are_reduced_on_plateaus() -> None:
    trainer = play(ReduceLROnPlateau(factor=0.5, patience=2), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    assert trainer.optimizer.lr == 0.1 * 0.25
    assert play(ReduceLROnPlateau(factor=0.5, patience=3), [1.0, 1.0, 1.0]).optimizer.lr == 0.1
    assert (
        play(ReduceLROnPlateau("val_accuracy", 0.5, 1), [0.5, 0.6, 0.7], "val_accuracy").optimizer.lr == 0.1
    )
    assert play(ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.05), [1.0] * 5).optimizer.lr == 0.05
    with pytest.raises(ValueError, match=r"factor between 0 and 1"):
        ReduceLROnPlateau(factor=2.0)


def test_the_best_every_and_the_last_model_are_kept(tmp_path: Path) -> None:
    best, last = tmp_path / "best.safetensors", tmp_path / "last.safetensors"
    play(ModelCheckpoint(best), [3.0, 1.0, 2.0])
    play(ModelCheckpoint(last, keep="last"), [3.0, 1.0, 2.0])
    play(ModelCheckpoint(f"{tmp_path}/{{epoch:02d}}-{{val_loss:.1f}}.safetensors", keep="every"), [3.0, 1.0])
    assert cc.load(best)["bias"][0] == 1
    assert cc.load(last)["bias"][0] == 2
    assert cc.load(tmp_path / "01-3.0.safetensors")["bias"][0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "01-3.0.safetensors",
        "02-1.0.safetensors",
        "best.safetensors",
        "last.safetensors",
    ]
    with pytest.raises(
        ValueError, match=r"epoch and names of figures \(loss, val_loss\) in braces, got 'f1'"
    ):
        play(ModelCheckpoint(tmp_path / "{f1}"), [1.0])
    for options, message in [
        ({"keep": "first"}, "keep 'best', 'every', 'last'"),
        ({"keep": "every"}, "needs {epoch} in the path"),
        ({"batches": 2}, "batches= goes with keep='last'"),
        ({"batches": 0, "keep": "last"}, "batches as an integer of at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            ModelCheckpoint("m.safetensors", **options)


def test_a_log_as_csv_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    trainer = make(metrics=["accuracy", "confusion_matrix"])
    first = trainer.fit(X, Y, 2, callbacks=CSVLogger(path), verbose=0)
    second = trainer.fit(X, Y, 1, callbacks=CSVLogger(path, append=True), verbose=0)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "seconds", "images_per_second"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [float(row["loss"]) for row in rows] == first["loss"] + second["loss"]
    # A run that goes on from an earlier epoch writes its own rows in place of the later ones.
    trainer.fit(X, Y, epochs=2, initial_epoch=1, callbacks=CSVLogger(path, append=True), verbose=0)
    assert [int(row["epoch"]) for row in csv.DictReader(path.read_text().splitlines())] == [0, 1]
    trainer.fit(X, Y, 0, callbacks=CSVLogger(path, separator=";"), verbose=0)
    assert path.read_text() == ""


def test_tensorboard(tmp_path: Path) -> None:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install 'cnncore\[tensorboard\]'"):
            make().fit(X, Y, 1, callbacks=TensorBoard(tmp_path), verbose=0)
        return
    history = make().fit(X, Y, 2, validation=(X, Y), callbacks=TensorBoard(tmp_path), verbose=0)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"train/loss", "validation/loss", "validation/accuracy", "train/learning_rate"} <= set(
        events.Tags()["scalars"]
    )
    for tag, name in (("train/loss", "loss"), ("validation/loss", "val_loss")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        assert found == [(epoch, np.float32(value)) for epoch, value in enumerate(history[name])]


def test_functions_as_callbacks() -> None:
    seen: list[Any] = []
    make().fit(X, Y, 2, callbacks=lambda epoch, logs: seen.append((epoch, "loss" in logs)), verbose=0)
    assert seen == [(0, True), (1, True)]
    seen.clear()
    every = Lambda(
        on_epoch_begin=lambda epoch: seen.append(("begin", epoch)),
        on_train_begin=lambda: seen.append("start"),
        on_train_end=lambda: seen.append("end"),
    )
    make().fit(X, Y, 1, callbacks=[every, print], verbose=0)
    assert seen == ["start", ("begin", 0), "end"]
    with pytest.raises(
        TypeError, match=r"a function of 1 arguments as on_epoch_begin \(epoch or batch\), got '<lambda>'"
    ):
        Lambda(on_epoch_begin=lambda: None)
    with pytest.raises(TypeError, match=r"expected a function as on_train_end, got 5"):
        Lambda(on_train_end=5)  # type: ignore[arg-type]


def test_callbacks_that_keep_the_others_state_come_last() -> None:
    from cnncore.train.callbacks.base import check_callbacks

    checkpoint, stop = ModelCheckpoint("m.safetensors"), EarlyStopping()
    assert check_callbacks([checkpoint, stop]) == [stop, checkpoint]
