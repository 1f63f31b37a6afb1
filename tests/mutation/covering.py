# SPDX-License-Identifier: Apache-2.0
"""Which tests run which lines, so that a fault is met by these alone."""

from __future__ import annotations

import ast
import json
from itertools import accumulate
from pathlib import Path

COLLECT = """
import coverage, json
import pytest

data, durations, *arguments = arguments
traced = coverage.Coverage(source=[package + "/cnncore"], data_file=data, config_file=False)
traced.start()


class Contexts:
    seconds = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid, location):
        traced.switch_context(nodeid)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration


status = pytest.main(arguments, plugins=[Contexts()])
traced.stop()
traced.save()
with open(durations, "w") as file:
    json.dump(Contexts.seconds, file)
sys.exit(status)
"""

SELECT = """
import json
import pytest

selected, *arguments = arguments
with open(selected) as file:
    order = {nodeid: i for i, nodeid in enumerate(json.load(file))}


class Selection:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda i: order[i.nodeid])


sys.exit(pytest.main(arguments, plugins=[Selection()]))
"""


class Covering:
    """The tests by the lines that they run, and what each takes.

    Args:
        data: the file that `coverage` wrote, a context a test.
        durations: a JSON file of seconds by test.
    """

    def __init__(self, data: Path, durations: Path) -> None:
        from coverage import CoverageData

        self._data = CoverageData(str(data))
        self._data.read()
        self._seconds: dict[str, float] = json.loads(durations.read_text())
        self._files = {
            Path(name).as_posix().rpartition("/cnncore/")[2]: name for name in self._data.measured_files()
        }

    def tests(self, file: str, source: str, line: int) -> list[str]:
        """The tests that run a line of a file, the fastest first.

        A line of a function's head stands for the function's body, and tests of signatures are always among
        them. Code that runs when it is imported, but for functions without names, and code that only other
        processes run, is tested by all, the files named after it first.
        """
        lines = lines_of(ast.parse(source), line)
        contexts = self._data.contexts_by_lineno(self._files[file]) if lines and file in self._files else {}
        found = {name for at in lines or () for name in contexts.get(at, ()) if name in self._seconds}
        if found:
            found |= {name for name in self._seconds if "test_signatures.py" in name}
            return sorted(found, key=lambda name: self._seconds[name])
        stem = Path(file).stem
        return sorted(self._seconds, key=lambda name: (stem not in name, self._seconds[name]))

    def within(self, names: list[str], seconds: float) -> list[str]:
        """The first of some tests, as many as run in a time."""
        times = accumulate(self._seconds[name] for name in names)
        return [name for name, time in zip(names, times, strict=True) if time <= seconds] or names[:1]


def lines_of(tree: ast.Module, line: int) -> range | None:
    """The lines of the statement that has a line, in the innermost function; None outside of functions."""
    function = statement = unnamed = None
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno <= line <= (node.end_lineno or 0):
            unnamed = unnamed or node
        if isinstance(node, (ast.stmt, ast.excepthandler)) and node.lineno <= line <= (node.end_lineno or 0):
            if isinstance(node, ast.FunctionDef):
                function = node
            statement = node
    if function is None and unnamed is not None:
        return range(unnamed.lineno, (unnamed.end_lineno or line) + 1)
    if function is None or statement is None:
        return None
    if line < function.body[0].lineno:
        return range(function.body[0].lineno, (function.end_lineno or line) + 1)
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if isinstance(body, list) and body else statement.end_lineno or line
    return range(statement.lineno, max(last, line) + 1)
