# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers against their peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def small(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = module_of("recurrent")
    monkeypatch.setattr(module, "SIZES", ((8, 2),))
    monkeypatch.setattr(module, "STEPS", 5)
    return module


def test_every_cell_is_measured(
    small: Any, module_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recurrent.json"
    assert module_of("run").main(["--recurrent", "--quick", "--threads", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["recurrent"]
    assert [(row["network"], row["mode"]) for row in found] == [
        (f"{cell} 8", mode) for cell in small.CELLS for mode in ("inference", "training")
    ]
    assert all(row["times"]["cnncore"]["minimum"] > 0 for row in found)
    assert "GRU 8" in capsys.readouterr().out


def test_a_wrong_answer_has_no_time(small: Any, module_of: Any) -> None:
    calls = {"cnncore": lambda: np.ones(3), "torch": lambda: np.full(3, 1.1)}
    with pytest.raises(module_of("measure").WrongAnswerError, match="LSTM: torch is off by"):
        small._row("LSTM", "inference", 1, calls, 0.01)
