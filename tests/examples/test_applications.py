# SPDX-License-Identifier: Apache-2.0
"""Each application runs in its quick form, on the digits of the package or on data that it makes."""

from __future__ import annotations

import ast
import math
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "def main(quick" in path.read_text())
NEEDS = {"text_features": "sklearn", "onnx": "onnxruntime"}
"""What scripts import beside cnncore, by a part of their names."""

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


@each
def test_is_a_short_script_that_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 120
    assert ast.get_docstring(ast.parse(text))


def test_each_is_in_the_list() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [path.name for path in SCRIPTS if f"]({path.name})" not in text] == []
