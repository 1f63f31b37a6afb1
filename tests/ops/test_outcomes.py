# SPDX-License-Identifier: Apache-2.0
"""Which arguments operations take, and what their results are, stays as `outcomes.txt` has it.

Each operation of the table is traced with one argument changed: a setting to a number at or beyond an edge or
to something of another kind, an array to one of other axes, extents or type. A line is an operation with the
argument and, before what leads to it, each type and shape of a result and each error.
`python tests/ops/test_outcomes.py` writes the file anew; its difference is what a change takes or refuses.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pytest

from cases import CASES
from cases.case import Array, Case
from cnncore import ops
from cnncore.graph.trace import map_tree, trace

FILE = Path(__file__).with_name("outcomes.txt")

SETTINGS: dict[str, Any] = {
    **{f"{value:g}": value for value in (-0.5, 0.5, 1.5, np.inf, np.nan)},
    **{str(value): value for value in (-4, -3, -2, -1, 0, 1, 2, 3, 4, True, None, "text")},
    **{str(value): value for value in ((), (1,), [2], (1, 2), (0, 1), (-1, 1), (2, 1, 1), (1.0, 1.0))},
    "int64 1": np.int64(1),
    "array 1": np.array(1),
    "array [1, 1]": np.array([1, 1]),
}
WORDS = ("none", "mean", "sum", "add", "replicate", "bilinear")


def _first() -> dict[str, Case]:
    """The first case of each operation that is a plain call with arrays and settings."""
    chosen: dict[str, Case] = {}
    for case in CASES:
        if case.function is None and not case.large:
            chosen.setdefault(case.name, case)
    return chosen


PLAIN = _first()


def _arrays(x: Array) -> Iterator[tuple[str, Array]]:
    """An array in other types, without its first axis and with one more, with an axis of other extents."""
    if x.dtype.kind == "f":
        yield "integers", np.abs(x).astype(np.int64)
    else:
        yield "floats", x.astype(np.float32)
    yield "booleans", x != 0
    yield "an axis more", x[None]
    if x.ndim:
        yield "an axis less", x[0]
        yield "no rows", x[:0]
    for axis in range(x.ndim):
        if x.shape[axis] > 1:
            yield f"1 along {axis}", np.take(x, [0], axis)
        yield f"1 more along {axis}", np.concatenate([x, np.take(x, [0], axis)], axis)


def _changes(case: Case) -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """The arguments of a case with the calls where one is changed."""
    function = getattr(ops, case.name)
    for i, array in enumerate(case.arrays):
        calls: dict[str, Callable[[], Any]] = {}
        for name, other in _arrays(array):
            given = [*case.arrays[:i], other, *case.arrays[i + 1 :]]
            calls[name] = lambda g=given: trace(lambda *t: function(*t, **case.settings), g)[1]
        yield f"array {i}", calls
    for parameter in [*inspect.signature(function).parameters.values()][len(case.arrays) :]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        calls = {}
        words = WORDS if isinstance(parameter.default, str) else ()
        for name, value in {**SETTINGS, **dict(zip(words, words, strict=True))}.items():
            settings = {**case.settings, parameter.name: value}
            calls[name] = lambda s=settings: trace(lambda *t: function(*t, **s), list(case.arrays))[1]
        yield parameter.name, calls


def _outcome(call: Callable[[], Any]) -> str:
    try:
        result = call()
    except (TypeError, ValueError, NotImplementedError) as error:
        return f"{type(error).__name__} {str(error).partition(', got')[0]}"
    found = map_tree(lambda t: f"{t.dtype} {t.shape}".replace(", ", ","), result)
    return " and ".join(found) if isinstance(found, (tuple, list)) else found


def _lines(case: Case) -> Iterator[tuple[str, str]]:
    for argument, calls in _changes(case):
        by: dict[str, list[str]] = {}
        for name, call in calls.items():
            by.setdefault(_outcome(call), []).append(name)
        yield f"{case.name} {argument}", " | ".join(f"{key}: {', '.join(names)}" for key, names in by.items())


BEFORE = dict(line.split(" = ", 1) for line in FILE.read_text().splitlines()) if FILE.exists() else {}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_taken_is_what_was_taken(name: str) -> None:
    with np.errstate(invalid="ignore"):
        now = dict(_lines(PLAIN[name]))
    assert now == {key: line for key, line in BEFORE.items() if key.partition(" ")[0] == name}


def test_no_line_is_of_another_operation() -> None:
    assert {key.partition(" ")[0] for key in BEFORE} == PLAIN.keys()


if __name__ == "__main__":
    FILE.write_text("".join(f"{name} = {line}\n" for case in PLAIN.values() for name, line in _lines(case)))
