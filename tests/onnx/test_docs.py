# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/onnx.md run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "onnx.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
