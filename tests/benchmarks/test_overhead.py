# SPDX-License-Identifier: Apache-2.0
"""What a call and a step cost beside arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_both_costs_are_reported(module_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "overhead.json"
    assert module_of("run").main(["--overhead", "--quick", "--threads", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["overhead"]
    assert found["call"] > found["step"]
    assert module_of("report").overhead(found) in capsys.readouterr().out


def test_the_sentence(module_of: Any) -> None:
    text = module_of("report").overhead({"call": 2.46, "step": 0.104})
    assert text == "A call of one step takes 2.5 us, each further step 0.10 us."


def test_a_chain_predicts(module_of: Any) -> None:
    overhead = module_of("overhead")
    predict = overhead._chain(1 + overhead.CHAIN)
    assert predict().shape == overhead.SHAPE
