# SPDX-License-Identifier: Apache-2.0
"""Choices of algorithms: measured, kept in predictors, pickles and files; damaged and foreign files."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.compiler import autotune
from cnncore.compiler.program import Executable
from oracle import assert_near

SHAPE = (1, 16, 24, 24)
X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
BRIEFLY = 1e-3


def network() -> nn.Sequential:
    """Two equal convolutions, one of another size, a depthwise one, a 1x1 and a transposed one."""
    return nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.Conv2d(16, 32, 3),
        nn.Conv2d(32, 32, 3, groups=32),
        nn.Conv2d(32, 8, 1),
        nn.ConvTranspose2d(8, 16, 2, stride=2),
    )


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network().eval()


def algorithms(predictor: Any) -> dict[str, str]:
    return {row["layer"]: row["algorithm"] for row in predictor.explain() if row["refused"]}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Let measurements say that a step takes what this dict has for its algorithm, 10 for others."""
    cost: dict[str, float] = {}

    def measure(programs: Sequence[Executable], *_: Any) -> list[autotune.Measurement]:
        found = []
        for program in programs:
            times: dict[Any, float] = {}
            for step in program.run_steps:
                place = program.places[step.node]
                times[place] = times.get(place, 0.0) + cost.get(step.attrs.get("algorithm", ""), 10.0)
            found.append(autotune.Measurement(sum(times.values()), times))
        return found

    monkeypatch.setattr(autotune, "measure", measure)
    return cost


def test_the_fastest_is_kept(model: nn.Module, clock: dict[str, float]) -> None:
    predictor = cc.compile(model, SHAPE)
    expected = predictor(X)
    clock.update(winograd_f2=1.0)
    table = predictor.autotune(X)
    assert [row["layer"] for row in table] == ["0", "2", "3", "4", "5", "6"]
    assert [row["chosen"] for row in table[:3]] == ["winograd_f2"] * 3
    assert [row["ms"] for row in table[:3]] == [1e3] * 3
    assert set(table[0]["candidates"]) == {"winograd_f4", "winograd_f2", "direct"}
    assert table[3]["chosen"] == table[3]["before"] == "depthwise"
    assert table[4]["candidates"] == {}
    assert {key: algorithms(predictor)[key] for key in "0234"} == {
        "0": "winograd_f2",
        "2": "winograd_f2",
        "3": "winograd_f2",
        "4": "depthwise",
    }
    assert_near(predictor(X), expected)
    text = str(table).splitlines()
    assert len(text) == 1 + len(table) + 2
    assert text[-2].startswith("whole run")


def test_reasons_are_told_after_a_choice(model: nn.Module, clock: dict[str, float]) -> None:
    predictor = cc.compile(model, SHAPE)
    clock.update(direct=1.0)
    table = predictor.autotune(X)
    changed = [row["layer"] for row in table if row["before"] != row["chosen"]]
    assert 2 * len(changed) != len(table)
    assert (
        str(table).splitlines()[-1] == f"{len(changed)} of {len(table)} convolutions changed their algorithm"
    )
    refused = {row["layer"]: row["refused"] for row in predictor.explain()}
    assert "winograd_f4: slower when measured" in refused["0"]
    assert "depthwise: groups 1 != input channels 16" in refused["0"]


def test_a_choice_needs_a_margin(model: nn.Module, clock: dict[str, float]) -> None:
    predictor = cc.compile(model, SHAPE)
    before = algorithms(predictor)
    clock.update(dict.fromkeys(before.values(), 10.0), winograd_f2=9.6)
    predictor.autotune(X, margin=0.05)
    assert algorithms(predictor) == before
    clock["winograd_f2"] = 7.5
    predictor.autotune(X, margin=0.25)  # just as fast as that is not faster
    assert algorithms(predictor) == before
    predictor.autotune(X, margin=0.03)
    assert algorithms(predictor)["0"] == "winograd_f2"


def test_what_is_not_faster_together_is_taken_back(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = cc.compile(model, SHAPE)
    before = algorithms(predictor)
    calls = []

    def measure(programs: Sequence[Executable], *_: Any) -> list[autotune.Measurement]:
        calls.append(len(programs))
        found = []
        for i, program in enumerate(programs):
            faster = 1.0 if i == 1 and len(calls) == 1 else 2.0  # challengers win the first round only
            times = {program.places[step.node]: faster for step in program.run_steps if step.node is not None}
            found.append(autotune.Measurement(sum(times.values()), times))
        return found

    monkeypatch.setattr(autotune, "measure", measure)
    table = predictor.autotune(X)
    assert algorithms(predictor) == before
    assert table.total == {"layer": "whole run", "ms_before": table.total["ms"], "ms": table.total["ms"]}


def test_exact_predictors_stay_exact(model: nn.Module, clock: dict[str, float]) -> None:
    cc.set_accuracy("exact")
    try:
        predictor = cc.compile(model, SHAPE)
    finally:
        cc.set_accuracy("fast")
    clock.update(winograd_f4=1.0)
    expected = predictor(X)
    table = predictor.autotune(X)
    assert all("winograd_f4" not in row["candidates"] for row in table)
    again = pickle.loads(pickle.dumps(predictor))
    assert "winograd_f4" not in algorithms(again).values()
    assert np.array_equal(again(X), expected)


def test_choices_are_kept_in_pickles_and_files(
    model: nn.Module, clock: dict[str, float], tmp_path: Path
) -> None:
    predictor = cc.compile(model, SHAPE)
    clock.update(winograd_f2=1.0)
    predictor.autotune(X)
    expected = predictor(X)
    again = pickle.loads(pickle.dumps(predictor))
    assert algorithms(again) == algorithms(predictor)
    assert np.array_equal(again(X), expected)
    predictor.save_choices(tmp_path / "choices.json")
    other = cc.compile(model, SHAPE)
    assert algorithms(other) != algorithms(predictor)
    other.load_choices(tmp_path / "choices.json")
    assert algorithms(other) == algorithms(predictor)
    assert np.array_equal(other(X), expected)
    assert [file.name for file in tmp_path.iterdir()] == ["choices.json"]


def test_real_measurements(model: nn.Module) -> None:
    predictor = cc.compile(model, SHAPE)
    expected = predictor(X)
    table = predictor.autotune(X, seconds=0.01)
    for row in table:
        assert row["ms"] > 0
        assert row["chosen"] == row["before"] or row["chosen"] in row["candidates"]
        assert all(ms > 0 for ms in row["candidates"].values())
    assert {row["layer"]: row["chosen"] for row in table} == {
        **{row["layer"]: row["chosen"] for row in table},
        **algorithms(predictor),
    }
    assert_near(predictor(X), expected)


def test_choices_do_not_depend_on_threads_without_autotune(model: nn.Module) -> None:
    found = []
    for count in (1, 2, 3):
        with cc.threads(count):
            found.append(algorithms(cc.compile(model, SHAPE)))
    assert found[0] == found[1] == found[2]


def test_calls_go_on_while_choices_change(model: nn.Module) -> None:
    predictor = cc.compile(model, SHAPE)
    expected = predictor(X)
    wrong: list[float] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            difference = float(np.abs(predictor(X) - expected).max())
            if difference > 1e-4:
                wrong.append(difference)

    thread = threading.Thread(target=call)
    thread.start()
    for _ in range(3):
        predictor.autotune(X, seconds=BRIEFLY, margin=0.0)
    done.set()
    thread.join()
    assert not wrong


# -- files ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("choices") / "choices.json"
    cc.compile(model, SHAPE).save_choices(path)
    contents: dict[str, Any] = json.loads(path.read_text())
    return contents


def load(model: nn.Module, path: Path, contents: Any) -> Any:
    path.write_bytes(contents if isinstance(contents, bytes) else json.dumps(contents).encode())
    predictor = cc.compile(model, SHAPE)
    before = algorithms(predictor)
    expected = predictor(X)
    try:
        predictor.load_choices(path)
    finally:
        assert algorithms(predictor) == before
        assert np.array_equal(predictor(X), expected)
    return predictor


NOT_A_FILE = [
    b"",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"1" * 10_000,
    b"[" * 100_000,
    b'{"format": "something else"}',
    b'{"format": ["cnncore choices"]}',
]


@pytest.mark.parametrize("contents", NOT_A_FILE, ids=range(len(NOT_A_FILE)))
def test_foreign_files(model: nn.Module, tmp_path: Path, contents: bytes) -> None:
    with pytest.raises(ValueError, match=r"f\.json' is not a file of choices"):
        load(model, tmp_path / "f.json", contents)


def test_truncated_files(model: nn.Module, tmp_path: Path, saved: dict[str, Any]) -> None:
    whole = json.dumps(saved).encode()
    for size in (1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(ValueError, match="is not a file of choices"):
            load(model, tmp_path / "f.json", whole[:size])


def test_files_without_end(model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnncore.choices_file.LARGEST_FILE", 100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        load(model, tmp_path / "f.json", b" " * 1000)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1] * 1000])
def test_other_versions(model: nn.Module, tmp_path: Path, saved: dict[str, Any], version: Any) -> None:
    with pytest.raises(ValueError, match="expected version 1, got "):
        load(model, tmp_path / "f.json", {**saved, "version": version})


@pytest.mark.parametrize("choices", [None, [], "direct", {"forward": 1}, {"forward": None}])
def test_choices_of_other_types(
    model: nn.Module, tmp_path: Path, saved: dict[str, Any], choices: Any
) -> None:
    with pytest.raises(ValueError, match="expected 'choices' to name an algorithm"):
        load(model, tmp_path / "f.json", {**saved, "choices": choices})


def test_other_networks(model: nn.Module, tmp_path: Path, saved: dict[str, Any]) -> None:
    first = next(iter(saved["choices"]))
    fewer = {text: name for text, name in saved["choices"].items() if text != first}
    with pytest.raises(ValueError, match="another network or input shape: the file has no 'forward"):
        load(model, tmp_path / "f.json", {**saved, "choices": fewer})
    more = {**saved["choices"], "forward of something": "direct"}
    with pytest.raises(ValueError, match="this network has no 'forward of something'"):
        load(model, tmp_path / "f.json", {**saved, "choices": more})
    cc.compile(model, (2, *SHAPE[1:])).save_choices(tmp_path / "two.json")
    with pytest.raises(ValueError, match="another network or input shape"):
        cc.compile(model, SHAPE).load_choices(tmp_path / "two.json")


def test_algorithms_that_cannot_be(model: nn.Module, tmp_path: Path, saved: dict[str, Any]) -> None:
    def with_first(name: str) -> dict[str, Any]:
        return {**saved, "choices": {**saved["choices"], next(iter(saved["choices"])): name}}

    for name, reason in [("magic", "no such algorithm"), ("", "no such"), ("depthwise", "groups 1 !=")]:
        with pytest.raises(ValueError, match=f"chooses '{name}' for 'forward .*which cannot be: {reason}"):
            load(model, tmp_path / "f.json", with_first(name))
    (tmp_path / "fast.json").write_text(json.dumps(with_first("winograd_f4")))
    cc.set_accuracy("exact")
    try:
        with pytest.raises(ValueError, match="accuracy is 'exact'"):
            cc.compile(model, SHAPE).load_choices(tmp_path / "fast.json")
    finally:
        cc.set_accuracy("fast")


def test_a_missing_file_is_a_missing_file(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cc.compile(model, SHAPE).load_choices(tmp_path / "none.json")
    with pytest.raises(OSError, match="none"):
        cc.compile(model, SHAPE).save_choices(tmp_path / "none" / "choices.json")


@pytest.mark.parametrize(
    "settings",
    [
        {"seconds": 0},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"seconds": 2**70},
        {"seconds": 10**400},
        {"margin": 1.0},
    ],
)
def test_settings_are_checked(model: nn.Module, settings: dict[str, Any]) -> None:
    predictor = cc.compile(model, SHAPE)
    with pytest.raises(ValueError, match=r"expected (seconds|a margin)"):
        predictor.autotune(X, **settings)
    with pytest.raises(ValueError, match="expected input of shape"):
        predictor.autotune(X[:, :8])


class Counted:
    """Takes less time with each measurement."""

    def __init__(self) -> None:
        self.steps, self.run_steps, self.runs = [None, None], [], 0

    def measure(self, arrays: Any) -> Any:
        self.runs += 1
        return np.array([1.0, 2.0]) / self.runs


def test_three_turns_of_three_runs_at_least() -> None:
    programs: Any = [Counted(), Counted()]
    found = autotune.measure(programs, [], 0.0)
    assert [program.runs for program in programs] == [9, 9]
    assert [measurement.total for measurement in found] == [pytest.approx(3.0 / 9)] * 2


def test_without_convolutions_one_program_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = cc.compile(nn.Sequential(nn.Tanh(), nn.Softmax(1)), (2, 3))
    counts = []
    measure = autotune.measure

    def counted(programs: Sequence[Executable], *rest: Any) -> list[autotune.Measurement]:
        counts.append(len(programs))
        return measure(programs, *rest)

    monkeypatch.setattr(autotune, "measure", counted)
    assert len(predictor.autotune(np.ones((2, 3), np.float32), seconds=1e-3)) == 0
    assert counts == [1]


def test_the_best_so_far_is_what_later_ones_must_beat(model: nn.Module, clock: dict[str, float]) -> None:
    predictor = cc.compile(model, SHAPE)
    clock.update(winograd_f4=10.0, winograd_f2=5.0, direct=7.0)
    table = predictor.autotune(X)
    assert [(row["before"], row["chosen"]) for row in table[:3]] == [("winograd_f4", "winograd_f2")] * 3
