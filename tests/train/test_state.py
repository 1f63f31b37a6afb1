# SPDX-License-Identifier: Apache-2.0
"""`Trainer.save` and `resume`: the bits of a run that was never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.io import safetensors
from cnncore.train import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, Trainer
from cnncore.train.state import previous, read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 1, 6, 6)).astype(np.float32)
Y = (X.mean((1, 2, 3)) > 0).astype(np.int64)


def make(seed: int = 0, **options: Any) -> Trainer:
    """A training with everything that has a state."""
    cc.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 2),
    )
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=40)
    settings = {"scheduler": schedule, "schedule_by": "step", "ema": 0.9, "accumulate": 2, **options}
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, ["accuracy", "auc"], **settings)


def bits(trainer: Trainer) -> bytes:
    arrays = [*trainer.model.state_dict().values(), *trainer.final_model.state_dict().values()]
    slots = [a for entry in trainer.optimizer.state_dict()["state"].values() for a in entry.values()]
    return b"".join(np.asarray(array).tobytes() for array in [*arrays, *slots])


class Killed(Exception):  # noqa: N818 - what a test raises in place of a signal
    pass


class KillAfter(Callback):
    """Ends the run after so many steps, as if killed."""

    last = True

    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.left -= 1
        if not self.left:
            raise Killed

    def state_dict(self) -> dict[str, Any]:
        return {}


def fit(trainer: Trainer, path: Path, kill: int = -1, form: Any = None) -> Any:
    callbacks: list[Any] = [
        ModelCheckpoint(path, keep="last", state=True, batches=1),
        EarlyStopping(patience=50, restore_best=True),
        ReduceLROnPlateau(patience=1, factor=0.9),
        KillAfter(kill),
    ]
    given = (X, Y) if form is None else form
    return trainer.fit(given, 4, 10, validation=(X, Y), callbacks=callbacks, verbose=0)


FIGURES = ("loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc")


@pytest.mark.parametrize("kill", [1, 3, 4, 5, 6, 9, 14, 19])
def test_killed_after_any_step_and_resumed(tmp_path: Path, kill: int) -> None:
    path = tmp_path / "run.safetensors"
    whole = make()
    expected = fit(whole, tmp_path / "whole.safetensors")
    with pytest.raises(Killed):
        fit(make(), path, kill)
    with cc.threads(1 + kill % 3):
        trainer = make(seed=7)
        trainer.resume(path)
        history = fit(trainer, path)
    assert bits(trainer) == bits(whole)
    assert trainer.optimizer.lr == whole.optimizer.lr
    assert trainer.epoch == 4
    for name in FIGURES:
        assert history[name] == expected[name]


@pytest.mark.parametrize(
    "form",
    [
        lambda: data.DataLoader((X, Y), 10, shuffle=True, seed=3),
        lambda: data.DataLoader((X, Y), 10, shuffle=True, seed=3, workers=2),
        lambda: data.Dataset(X, Y),
        lambda: [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)],
    ],
)
def test_every_form_of_data_goes_on_in_the_midst_of_an_epoch(tmp_path: Path, form: Any) -> None:
    path = tmp_path / "run.safetensors"
    whole = make()
    fit(whole, tmp_path / "whole.safetensors", form=form())
    with pytest.raises(Killed):
        fit(make(), path, 8, form())
    trainer = make(seed=7)
    trainer.resume(path)
    fit(trainer, path, form=form())
    assert bits(trainer) == bits(whole)


def test_several_resumes_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = make()
    fit(whole, tmp_path / "whole.safetensors")
    trainer = make()
    for kill in (3, 2, 7):
        with pytest.raises(Killed):
            fit(trainer, path, kill)
        trainer = make(seed=kill)
        trainer.resume(path)
        # Saved again before it goes on: nothing is lost.
        trainer.save(path)
        trainer.resume(path)
    fit(trainer, path)
    assert bits(trainer) == bits(whole)


def test_saved_between_two_calls_of_fit(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole, first, second = make(), make(), make(seed=5)
    whole.fit(X, Y, 5, 10, verbose=0)
    cc.manual_seed(0)
    first.fit(X, Y, 2, 10, verbose=0)
    first.save(path)
    second.resume(path)
    history = second.fit(X, Y, 3, 10, verbose=0)
    assert (history.epochs, second.epoch) == (3, 5)


def test_the_one_saved_before_is_kept_and_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trainer = make()
    trainer.fit(X, Y, 1, 10, verbose=0)
    trainer.save(path)
    before = path.read_bytes()
    trainer.fit(X, Y, 1, 10, verbose=0)
    trainer.save(path)
    kept = tmp_path / "run.previous.safetensors"
    assert kept.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.previous.safetensors", "run.safetensors"]
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    state = bits(trainer)
    with pytest.raises(
        ValueError, match=r"do not have its digest; the one saved before it is .*run\.previous"
    ):
        trainer.resume(path)
    path.write_bytes(damaged[:-8])
    with pytest.raises(ValueError, match=r"not a valid safetensors file.*; the one saved before it is"):
        trainer.resume(path)
    assert bits(trainer) == state
    trainer.resume(previous(str(path)))
    assert trainer.epoch == 1


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trainer = make()
    trainer.save(path)
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    other = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule, ema=0.9)
    with pytest.raises(ValueError, match=r"run.safetensors: the state does not fit Linear"):
        other.resume(path)
    with pytest.raises(ValueError, match=r"was saved with 1 schedulers, this Trainer has 0"):
        make(scheduler=None).resume(path)
    with pytest.raises(ValueError, match=r"was saved with an average of the weights \(ema=\)"):
        make(ema=None).resume(path)
    cc.save(trainer.model, path)
    with pytest.raises(ValueError, match=r"expected what Trainer.save wrote, got a file without the state"):
        trainer.resume(path)
    with pytest.raises(FileNotFoundError):
        trainer.resume(tmp_path / "none.safetensors")


def test_other_callbacks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        fit(make(), path, 3)
    trainer = make()
    trainer.resume(path)
    with pytest.raises(
        ValueError,
        match=r"had the callbacks EarlyStopping, ReduceLROnPlateau, ModelCheckpoint, KillAfter, got none",
    ):
        trainer.fit(X, Y, 4, 10, verbose=0)


def test_a_state_that_cannot_be_saved_is_named(tmp_path: Path) -> None:
    class Odd(ModelCheckpoint):
        def state_dict(self) -> dict[str, Any]:
            return {"file": object()}

    path = tmp_path / "run.safetensors"
    with pytest.raises(TypeError, match=r"run/callbacks/0/1/file: a state may hold numbers, texts, arrays"):
        make().fit(X, Y, 1, callbacks=Odd(path, keep="last", state=True), verbose=0)
    assert not path.exists()


def test_what_is_saved_is_no_pickle_and_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trainer = make()
    trainer.fit(X, np.array(["a", "b"])[Y], 1, 20, verbose=0)
    trainer.save(path)
    arrays, metadata = safetensors.read(path)
    assert set(metadata) == {"cnncore-trainer", "sha256"}
    assert all(array.dtype.kind in "fi" for array in arrays.values())
    state = read(path)
    assert state["class_names"] == ("a", "b")
    settings = trainer.optimizer.state_dict()["param_groups"]
    assert state["optimizer"]["param_groups"] == settings
    other = make(seed=3)
    other.resume(path)
    assert (other.class_names, bits(other)) == (("a", "b"), bits(trainer))


SCRIPT = """
import hashlib, os, sys
import numpy as np
import cnncore as cc
from cnncore import nn, optim
from cnncore.train import ModelCheckpoint, Trainer

path = sys.argv[1]
rng = np.random.default_rng(0)
x = rng.normal(size=(64, 1, 8, 8)).astype(np.float32)
y = rng.integers(0, 3, 64)
model = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)
)
trainer = Trainer(
    model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01), ema=0.9, accumulate=3,
    clip_grad_norm=1.0
)
if os.path.exists(path):
    trainer.resume(path)
print("ready", flush=True)
keep = ModelCheckpoint(path, keep="last", state=True, batches=1)
history = trainer.fit(x, y, 12, 8, validation=(x, y), callbacks=keep, verbose=0)
digest = hashlib.sha256()
for array in [*model.state_dict().values(), *trainer.final_model.state_dict().values()]:
    digest.update(array.tobytes())
print(digest.hexdigest(), history["loss"], history["val_accuracy"])
"""


def test_killed_at_random_moments_and_resumed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to save: each run goes on from what the last one had written."""

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole, problems = start("whole.safetensors").communicate()
    assert whole.startswith("ready"), problems
    moments = random.Random(0)
    killed = 0
    for _ in range(20):
        run = start("run.safetensors")
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.15))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        killed += run.returncode == -signal.SIGKILL
    assert killed > 0
    found, problems = start("run.safetensors").communicate()
    assert found == whole, problems
