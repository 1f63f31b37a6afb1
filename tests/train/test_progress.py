# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import builtins
import functools
import io
import re
import sys
from typing import Any

import pytest

from cnncore.train import progress
from cnncore.train.history import History
from cnncore.train.progress import Bar, Lines, Silent, figures_text, make_progress

FIGURES = {"loss": 0.25, "accuracy": 0.5, "seconds": 2.0, "images_per_second": 1234.5}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(shown: progress.Progress) -> None:
    shown.begin(1, 2, 100)
    for _ in range(4):
        shown.step(25, lambda: {"loss": 0.5})
    shown.end(FIGURES)


def test_plain_lines_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    shown = make_progress(1)
    assert type(shown) is Lines
    run(shown)
    assert stderr.getvalue() == "epoch 1/2: loss 0.2500, accuracy 0.5000, 2.0 s, 1,234 images/s\n"


def test_a_long_epoch_gives_lines_in_between(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    run(make_progress(2))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "epoch 1/2, 50 of 100 images: loss 0.5000, 4 images/s",
        "epoch 1/2, 100 of 100 images: loss 0.5000, 4 images/s",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_POSTFIXES", 0.0)
    assert type(make_progress(1)) is Bar
    shown = Bar(functools.partial(tqdm, mininterval=0))
    run(shown)
    assert re.search(r"epoch 1/2: .*100/100", stderr.getvalue())
    assert "loss 0.5000" in stderr.getvalue()
    assert stderr.getvalue().endswith("images/s\n")
    shown.close()


def test_lines_on_a_terminal_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_tqdm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    assert type(make_progress(1)) is Lines


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    shown = make_progress(0)
    assert type(shown) is Silent
    run(shown)
    shown.note("nothing")
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="expected verbose 0"):
        make_progress(3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (0.0, "0.0000"), (1e-6, "1.000e-06"), (123456.0, "1.235e+05"), (float("nan"), "nan")],
)
def test_figures(value: float, text: str) -> None:
    assert figures_text({"loss": value}) == f"loss {text}"


def test_history() -> None:
    history = History()
    assert (history.epochs, history.interrupted) == (0, False)
    history.append({"loss": 1.0, "accuracy": 0.5})
    history.append({"loss": 0.5, "accuracy": 0.75})
    assert (dict(history), history.epochs) == ({"loss": [1.0, 0.5], "accuracy": [0.5, 0.75]}, 2)


def test_the_time_left_follows_from_the_epochs_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = make_progress(2)
    for epoch in (3, 4):  # a run that goes on with its third epoch
        shown.begin(epoch, 6, 100)
        clock[0] += 40.0
        shown.end(FIGURES)
    left = [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()]
    assert left == ["2 min left", "80 s left"]
