# SPDX-License-Identifier: Apache-2.0
"""Two installations side by side: here the same one twice."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def test_an_installation_equals_itself(module_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [sys.executable, sys.executable, "--networks", "lenet5", "--seconds", "0.05"]
    assert module_of("builds").main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("same    same") == 3
    assert "geometric mean of after/before" in printed


def test_other_bits_or_steps_are_told(
    module_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = module_of("builds")

    class Fake:
        def __init__(self, python: str) -> None:
            self.python = python

        def ask(self, command: str, *_: Any) -> Any:
            if command == "time":
                return {"seconds": [1.0 if self.python == "old" else 2.0]}
            if command == "compile":
                return {"seconds": [1.5, 0.5 if self.python == "old" else 1.0]}
            return {"digest": self.python, "steps": []}

        def close(self) -> None:
            pass

    monkeypatch.setattr(builds, "Worker", Fake)
    assert builds.main(["old", "new", "--networks", "resnet20", "--seconds", "0"]) == 1
    printed = capsys.readouterr().out
    assert "DIFFER  same" in printed
    assert "time 2.000, compile time 0.500" in printed


def test_an_unknown_network_is_named(module_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module_of("builds").main(["a", "b", "--networks", "lenet6"])
    assert "'lenet6' is not one of" in capsys.readouterr().err
