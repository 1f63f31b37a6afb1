# SPDX-License-Identifier: Apache-2.0
"""The options of `cnncore train` beside the recipe."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn
from cnncore.cli import job, main, transfer
from cnncore.cli.optimizers import RATES, optimizer
from cnncore.cli.recipes import SCHEDULES, learning_rate
from cnncore.cli.report import class_rows, class_table, matrix_text

Capture = pytest.CaptureFixture[str]

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of 8x8 images that a small network tells apart."""
    monkeypatch.chdir(tmp_path)
    for number, label in enumerate(("dark", "left", "right")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for index in range(20):
            image = RNG.integers(0, 80, (8, 8)).astype(np.uint8)
            if number:
                image[:, slice(0, 4) if number == 1 else slice(4, 8)] += 150
            path = tmp_path / "photos" / label / f"{index:02d}.pgm"
            path.write_bytes(b"P5 8 8 255\n" + image.tobytes())
    return tmp_path


COMMAND = ("train", "photos", "--model", "digits_cnn", "--batch-size", "16", "--no-best", "--quiet")


def result(capsys: Capture, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("name", RATES)
def test_every_optimizer_learns(name: str, photos: Path, capsys: Capture) -> None:
    found = result(capsys, *COMMAND, "--epochs", "8", "--optimizer", name, "--out", "m")
    assert found["test_accuracy"] >= 0.9
    assert sorted(os.listdir(photos)) == ["m", "photos", "runs"]


def test_optimizers_have_the_rate_and_the_decay() -> None:
    for name in RATES:
        made = optimizer(name, nn.Linear(2, 1).parameters(), 0.25, 0.5)
        assert made.lr == 0.25
        assert made.param_groups[0]["weight_decay"] == (0.5 if name in ("adamw", "lion") else 0.005)


def test_schedules() -> None:
    for schedule in SCHEDULES:
        rates = [learning_rate(2.0, step, 40, schedule) for step in range(40)]
        assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
        assert all(before >= after for before, after in pairwise(rates[3:]))
        assert 0 < rates[-1] <= {"constant": 2.0, "step": 0.02}.get(schedule, 0.06)
    linear = [learning_rate(1.0, step, 10, "linear") for step in range(10)]
    np.testing.assert_allclose(linear, np.linspace(1.0, 0.1, 10))


def test_each_schedule_trains(photos: Path, capsys: Capture) -> None:
    accuracies = {
        schedule: result(capsys, *COMMAND, "--epochs", "4", "--schedule", schedule, "--out", "m")[
            "epoch_test_accuracy"
        ]
        for schedule in SCHEDULES
    }
    assert all(found[-1] >= 0.8 for found in accuracies.values())


def test_the_best_epoch_is_saved(photos: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[dict[str, np.ndarray]] = []

    class Given(job.KeepBest):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
            kept.append(self.trainer.model.state_dict())
            accuracies, losses = [0.1, 0.5, 0.9, 0.2, 0.9, 0.9], [1.0, 1.0, 0.3, 0.1, 0.2, 0.2]
            super().on_epoch_end(epoch, {"val_accuracy": accuracies[epoch], "val_loss": losses[epoch]})

    monkeypatch.setattr(job, "KeepBest", Given)
    found = result(capsys, *COMMAND, "--epochs", "6", "--best", "--out", "m")
    assert (found["best_epoch"], len(found["epoch_validation_accuracy"])) == (5, 6)
    for path, epoch in (("m", 4), ("runs/1/best.safetensors", 4), ("runs/1/last.safetensors", 5)):
        saved = cc.load(path)
        assert all((saved[name] == kept[epoch][name]).all() for name in saved)
    assert result(capsys, "evaluate", "m")["accuracy"] == found["test_accuracy"]
    assert main([*COMMAND[:-1], "--epochs", "1", "--best", "--out", "m"]) == 0
    assert "39 training and 12 test images of 8x8, 3 classes, 9 held out to choose" in capsys.readouterr().err


def test_mixup_and_label_smoothing(photos: Path, capsys: Capture) -> None:
    plain = result(capsys, *COMMAND, "--epochs", "6", "--out", "m")
    for options in (
        ("--mixup", "0.2"),
        ("--label-smoothing", "0.2"),
        ("--mixup", "1.0", "--label-smoothing", "0.1"),
    ):
        found = result(capsys, *COMMAND, "--epochs", "6", "--out", "m", *options)
        assert found["test_accuracy"] >= 0.8
        assert found != plain
    for wrong in (("--mixup", "0"), ("--label-smoothing", "1")):
        with pytest.raises(SystemExit):
            main([*COMMAND, *wrong])


def test_weights_of_another_training_with_a_new_last_layer(
    photos: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cc.manual_seed(5)
    cc.save(transfer_source := job.build("digits_cnn", 10, 1), "start.safetensors")
    seen: list[tuple[bool, bool]] = []

    class Watching(transfer.Thaw):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            model = self.trainer.model
            start = transfer_source.state_dict()
            same = all((model.state_dict()[name] == start[name]).all() for name in self.frozen)
            seen.append((same, model.fc.weight.requires_grad))

    monkeypatch.setattr(job, "Thaw", Watching)
    found = result(capsys, *COMMAND, "--epochs", "8", "--transfer", "start.safetensors", "--out", "m")
    assert found["test_accuracy"] >= 0.8
    assert seen == [(True, True)] * 2 + [(False, True)] * 6
    # The network is that of the file, where the file says it.
    assert result(capsys, *COMMAND, "--epochs", "1", "--transfer", "m", "--out", "n")["model"] == "digits_cnn"
    assert transfer.network_of("m") == "digits_cnn"
    assert transfer.network_of("start.safetensors") is None
    cc.save(models.lenet5(), "other.safetensors")
    assert main([*COMMAND, "--transfer", "other.safetensors", "--out", "m"]) == 1
    assert "fits 0 of 11 parameters of digits_cnn: choose the --model" in capsys.readouterr().err


def test_all_fits_and_nothing_is_fixed(photos: Path) -> None:
    model = job.build("digits_cnn", 3, 1)
    cc.save(model, "same")
    assert transfer.begin_with(job.build("digits_cnn", 3, 1), "same", "digits_cnn") == []
    assert "fc.weight" not in transfer.begin_with(job.build("digits_cnn", 4, 1), "same", "digits_cnn")


def test_a_report(photos: Path, capsys: Capture) -> None:
    found = result(capsys, *COMMAND, "--epochs", "5", "--out", "m", "--report", "runs/1")
    assert np.trace(found["confusion_matrix"]) / np.sum(found["confusion_matrix"]) == found["test_accuracy"]
    assert [row["class"] for row in found["classes"]] == ["dark", "left", "right"]
    files = set(os.listdir("runs/1"))
    always = {"settings.json", "history.csv", "classes.csv", "confusion.csv"}
    always |= {"best.safetensors", "last.safetensors"}
    assert always <= files <= always | {"curves.png"}
    epochs = list(csv.DictReader(Path("runs/1/history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3, 4, 5]
    assert [float(row["val_accuracy"]) for row in epochs] == found["epoch_test_accuracy"]
    settings = json.loads(Path("runs/1/settings.json").read_text())
    assert (settings["optimizer"], settings["epochs"], settings["model"]) == ("adamw", 5, "digits_cnn")
    assert main([*COMMAND, "--epochs", "1", "--out", "m", "--report", "runs/2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("class  images  precision   recall       F1\ndark        4")
    assert out.endswith("saved m, and a report in runs/2\n")
    Path("file").write_text("")
    assert main([*COMMAND, "--report", "file/x"]) == 1


def test_figures_of_classes() -> None:
    rows = class_rows(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), ("a", "bee", "c"))
    assert [row["images"] for row in rows] == [4, 4, 0]
    assert [row["recall"] for row in rows] == [0.75, 1.0, 0.0]
    assert [row["precision"] for row in rows] == [1.0, 0.8, 0.0]
    assert rows[0]["f1"] == pytest.approx(6 / 7)
    assert {len(line) for line in class_table(rows).splitlines()} == {42}
    lines = matrix_text(np.array([[3, 10], [0, 4]]), ("\u732b\u732b", "dog")).splitlines()
    assert lines[1:] == ["      \u732b\u732b  dog", "\u732b\u732b     3   10", "dog      0    4"]
    many = np.eye(13, dtype=np.int64) * 5
    many[3, 7], many[0, 1] = 2, 3
    names = [f"c{i}" for i in range(13)]
    mistakes = ["the commonest mistakes", "c0 taken for c1: 3", "c3 taken for c7: 2"]
    assert matrix_text(many, names).splitlines() == mistakes


def test_resuming_needs_what_was_stopped(photos: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--epochs", "2", "--out", "m.safetensors", "--resume"]) == 1
    assert "--resume: there is no m.training.safetensors" in capsys.readouterr().err


@pytest.fixture
def ctrl_c_reaches_children() -> Iterator[None]:
    """A parent such as `nohup` may have made this process, and what it starts, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_reaches_children")
def test_killed_and_resumed_is_the_same_model(photos: Path, capsys: Capture) -> None:
    options = [*COMMAND, "--epochs", "40", "--mixup", "0.2", "--best"]
    assert main([*options, "--out", "whole.safetensors"]) == 0
    command = [sys.executable, "-m", "cnncore", *options, "--out", "m.safetensors"]
    for handed in (signal.SIGKILL, signal.SIGINT):
        resume = ["--resume"] if Path("m.training.safetensors").exists() else []
        run = subprocess.Popen([*command, *resume], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        begun = os.stat("m.training.safetensors").st_mtime_ns if resume else 0
        deadline = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < deadline:
            if (
                Path("m.training.safetensors").exists()
                and os.stat("m.training.safetensors").st_mtime_ns > begun
            ):
                break
            time.sleep(0.002)
        run.send_signal(handed)
        run.communicate()
        assert run.returncode in (-signal.SIGKILL, 130)
    assert main([*options[:9], "7", *options[10:], "--out", "m.safetensors", "--resume"]) == 1
    assert (
        "--resume: expected the options and data of the training that was stopped" in capsys.readouterr().err
    )
    assert main([*options, "--out", "m.safetensors", "--resume"]) == 0
    whole, again = cc.load("whole.safetensors"), cc.load("m.safetensors")
    assert all((whole[name] == again[name]).all() for name in whole)
    assert not Path("m.training.safetensors").exists()
    assert not Path("m.training.previous.safetensors").exists()
