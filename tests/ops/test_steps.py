# SPDX-License-Identifier: Apache-2.0
"""What each operation of the table costs stays as `steps.txt` has it: its steps, and what they write over.

A line is a case, the steps of its value and, behind a bar, those of the gradient of its sum. Behind a step
stand its function and the pairs output<input that may share memory, before several that are alike their
number; what is done once at setup is left out. `python tests/ops/test_steps.py` writes the file anew; its
difference is what a change costs or gains.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from cases import CASES
from cases.case import Case
from cnncore.compiler import pipeline
from cnncore.compiler.program import Step
from cnncore.transforms import _ValueAndGrad

FILE = Path(__file__).with_name("steps.txt")


def _chosen() -> dict[str, Case]:
    """One case for each operation, set of settings and ranks of the arrays, by its line's beginning."""
    chosen: dict[tuple[Any, ...], Case] = {}
    for case in CASES:
        if not case.large:
            ranks = tuple((array.ndim, array.dtype.kind) for array in case.arrays)
            chosen.setdefault((case.name, ranks, *sorted(case.settings)), case)
    return {" ".join(str(case).split()): case for case in chosen.values()}


CHOSEN = _chosen()


def _shown(steps: Sequence[Step]) -> str:
    names = []
    for step in steps:
        pairs = ",".join(f"{output}<{input}" for output, input in step.inplace)
        function = step.attrs.get("function", "")
        names.append(f"{step.op} {function}".rstrip() + (f" ({pairs})" if pairs else ""))
    runs = [(name, len([*run])) for name, run in groupby(names)]
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in runs)


def _steps(case: Case) -> str:
    arrays = list(case.arrays)
    shown = [_shown(pipeline.compile_function(case, arrays, {}).executable.run_steps)]
    if case.places:

        def total(*tensors: Any) -> Any:
            found = case(*tensors)
            results = found if isinstance(found, tuple) else (found,)
            return sum(result.sum() for result in results if result.dtype == "float32")

        gradient = _ValueAndGrad(total, None, tuple(case.places))._compile(arrays)
        shown.append(_shown(gradient.executable.run_steps))
    return " | ".join(shown)


def _lines() -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in FILE.read_text().splitlines())


BEFORE = _lines() if FILE.exists() else {}


@pytest.mark.parametrize("name", CHOSEN)
def test_an_operation_takes_the_steps_that_it_took(name: str) -> None:
    assert _steps(CHOSEN[name]) == BEFORE.get(name)


def test_no_line_is_of_another_case() -> None:
    assert BEFORE.keys() == CHOSEN.keys()


if __name__ == "__main__":
    FILE.write_text("".join(f"{name} = {_steps(case)}\n" for name, case in CHOSEN.items()))
