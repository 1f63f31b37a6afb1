# SPDX-License-Identifier: Apache-2.0
"""Each application runs in its quick form, on the digits of the package or on data that it makes."""

from __future__ import annotations

import ast
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import data

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "def main(quick" in path.read_text())
NEEDS = {"text_features": "sklearn", "onnx": "onnxruntime"}
"""What scripts import beside cnncore, by a part of their names."""

LEARNED = {"transfer_learning": 0.1, "cifar10_speedrun": 0.6}
"""The least figure of some quick forms."""

each = pytest.mark.parametrize(
    "path", SCRIPTS, ids=[path.relative_to(FOLDER).with_suffix("").as_posix() for path in SCRIPTS]
)


@each
def test_runs_in_its_quick_form(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for part, needed in NEEDS.items():
        if part in path.stem:
            pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))
    figure = runpy.run_path(str(path))["main"](quick=True)
    assert math.isfinite(figure)
    assert figure >= LEARNED.get(path.stem, -math.inf)


@each
def test_is_a_short_script_that_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 120
    assert ast.get_docstring(ast.parse(text))


def test_each_is_in_the_list() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [path.name for path in SCRIPTS if f"]({path.name})" not in text] == []


def run_all(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / "run_all.py"), run_name="example")


def test_all_that_have_a_page_are_run_by_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {path.stem for path in (FOLDER.parent / "docs" / "applications").glob("*.md")}
    demands = run_all(monkeypatch)["DEMANDS"]
    assert {Path(name).stem for name in demands} == pages
    assert [name for name in demands if not (FOLDER / f"{name}.py").exists()] == []


def test_what_falls_short_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = run_all(monkeypatch)
    figures = {"unet_cells": 0.91, "detector": 0.79, "dna_motifs": {"linear": 0.5, "CNN": 0.9}}
    module["main"].__globals__["run"] = lambda name, quick: figures[name]
    monkeypatch.setattr("sys.argv", ["run_all.py", *figures])
    assert module["main"]() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(";")[1].strip() for line in lines[:3]] == [
        "at least 0.9: met", "at least 0.8: SHORT", "CNN above linear: met"
    ]  # fmt: skip
    assert lines[3].endswith("detector")
    monkeypatch.setattr("sys.argv", ["run_all.py", "--quick", "detector"])
    assert module["main"]() == 0


def test_one_command_runs_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = run_all(monkeypatch)["run"]("text_cnn", True)
    assert figures["text CNN"] > 0.9 > figures["bag of words"]


def test_whitened_patches_are_uncorrelated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    whitening = runpy.run_path(str(FOLDER / "cifar10_speedrun.py"))["whitening"]
    rng = np.random.default_rng(0)
    images = np.cumsum(np.cumsum(rng.normal(size=(20, 3, 12, 12)), 2), 3).astype(np.float32)
    weights = whitening(images)
    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(2, 3))
    outputs = np.einsum("nchwij,ocij->ohwn", patches, weights[:12]).reshape(12, -1)
    covariance = np.cov(outputs)
    # The directions of little variance are damped by what is added to their variance.
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-2)
    assert (np.diag(covariance) <= 1 + 1e-3).all()
    np.testing.assert_array_equal(weights[12:], -weights[:12])


def test_a_sheet_of_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs Pillow to read PNG files")
    monkeypatch.syspath_prepend(str(FOLDER))
    save_picture = runpy.run_path(str(FOLDER / "ported" / "example_data.py"))["save_picture"]
    images = np.arange(5).reshape(5, 1, 1, 1).repeat(4, 2).repeat(3, 3) / 5
    path = tmp_path / "sheet.png"
    save_picture(path, images, columns=2, scale=1, right=[True, True, False, True, True])
    sheet = data.read_image(path, dtype="uint8")
    assert sheet.shape == (3, 3 * 8, 2 * 7)
    np.testing.assert_array_equal(sheet[:, 10:14, 9:12], np.full((3, 4, 3), 3 * 51))
    assert sheet[1, 8, 7] > sheet[0, 8, 7]  # image 3 has a green frame, image 2 a red one
    assert sheet[0, 8, 0] > sheet[1, 8, 0]
    assert (sheet[:, 16:, 7:] == 255).all()
