# SPDX-License-Identifier: Apache-2.0
"""Try faults in forks of one process that has the package imported and the tests collected.

A fault inside a function is planted by exchanging the code of the functions that stand there; a fault that
shows when a module is imported needs a process of its own.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

SERVE = """
import gc, json, os, signal, sys, types
import pytest
sys.path.insert(0, folder)
from forks import changed_functions, place

requests, answers = (os.fdopen(int(arguments.pop(0)), mode) for mode in "rw")


def functions_by_place():
    found = {}
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and each.__code__.co_filename.startswith(package):
            found.setdefault((each.__code__.co_filename, *place(each.__code__)), []).append(each)
    return found


def run(items, seconds, told):
    for item, after in zip(items, [*items[1:], None]):
        os.write(told, json.dumps(item.nodeid).encode() + b"\\n")
        signal.alarm(seconds)
        reports = []
        item.config.pluginmanager.register(Failures(reports), "failures")
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        item.config.pluginmanager.unregister(name="failures")
        if any(reports):
            return
    os.write(told, b"null\\n")


class Failures:
    def __init__(self, reports):
        self.reports = reports

    def pytest_runtest_logreport(self, report):
        self.reports.append(report.failed)


class Server:
    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        functions = functions_by_place()
        gc.freeze()
        answers.write(json.dumps(sorted(items)) + "\\n")
        answers.flush()
        for line in requests:
            old, new, file, tests, seconds = json.loads(line)
            path = os.path.join(package, "cnncore", file)
            exchanged = changed_functions(old, new, path)
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                for at, code in exchanged:
                    for function in functions.get((path, *at), ()):
                        function.__code__ = code
                run([items[name] for name in tests], seconds, writer)
                os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as told:
                last = [*told][-1]
            os.waitpid(child, 0)
            answers.write(last)
            answers.flush()
        return True


sys.exit(pytest.main(arguments, plugins=[Server()]))
"""


def place(code: CodeType) -> tuple[str, int]:
    """The name and the first line of a function's code."""
    return code.co_name, code.co_firstlineno


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of the functions and classes that a code makes."""
    yield from (each for each in code.co_consts if isinstance(each, CodeType))


def own(code: CodeType) -> tuple[Any, ...]:
    """What a code does, but for the functions and classes that it makes."""
    constants = tuple((type(c), repr(c)) for c in code.co_consts if not isinstance(c, CodeType))
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def is_function(code: CodeType) -> bool:
    """Whether a code runs when it is called, not when its module is imported."""
    return bool(code.co_flags & inspect.CO_OPTIMIZED)


def changed_functions(old: str, new: str, file: str) -> list[tuple[tuple[str, int], CodeType]] | None:
    """Tell which functions of a file differ between two texts.

    Returns:
        The place of each in the old text and its new code; None if something outside of functions differs.
    """

    def differs_outside(one: CodeType, other: CodeType) -> bool:
        pairs = zip(codes(one), codes(other), strict=False)
        return own(one) != own(other) or any(
            not is_function(before) and differs_outside(before, after) for before, after in pairs
        )

    def changed(one: CodeType, other: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
        if is_function(one) and one != other:
            yield place(one), other
        for before, after in zip(codes(one), codes(other), strict=False):
            yield from changed(before, after)

    modules = compile(old, file, "exec"), compile(new, file, "exec")
    return None if differs_outside(*modules) else [*changed(*modules)]


class Server:
    """A process that has collected the tests and tries one fault after the other, each in a fork.

    Args:
        command: what starts a Python that imports the package, without its code.
        prelude: code that such a process runs first.
        arguments: of that code and of pytest.
        folder: where to run.
    """

    def __init__(self, command: list[str], prelude: str, arguments: list[str], folder: Path) -> None:
        into, requests = os.pipe()
        answers, out = os.pipe()
        here = f"folder = {str(Path(__file__).parent)!r}\n"
        code = [*command, prelude + here + SERVE, *arguments[:2], str(into), str(out), *arguments[2:]]
        self._process = subprocess.Popen(
            code, cwd=folder, pass_fds=(into, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(into)
        os.close(out)
        self._requests, self._answers = os.fdopen(requests, "w"), os.fdopen(answers)
        self._sound: dict[str, bool] = {}
        self.tests = frozenset(self._read())

    def _read(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the tests were not collected: pytest ended with {self._process.wait()}")
        return json.loads(line)

    def _failed(self, old: str, new: str, file: str, tests: list[str], seconds: float) -> Any:
        self._requests.write(json.dumps([old, new, file, tests, int(seconds)]) + "\n")
        self._requests.flush()
        return self._read()

    @staticmethod
    def takes(file: str, old: str, new: str) -> bool:
        """Whether forks can have the new text: whether it differs inside functions only."""
        return changed_functions(old, new, file) is not None

    def notices(self, file: str, old: str, new: str, tests: list[str], seconds: float) -> bool:
        """Whether a test fails, crashes or hangs with the new text of a file, and does not with the old one.

        A test that fails in a fork without any fault is not asked again; each may take `seconds`.
        """
        tests = [name for name in tests if name in self.tests and self._sound.get(name, True)]
        while tests:
            failed = self._failed(old, new, file, tests, seconds)
            if failed is None:
                return False
            if failed not in self._sound:
                self._sound[failed] = self._failed(old, old, file, [failed], seconds) is None
            if self._sound[failed]:
                return True
            tests = tests[tests.index(failed) + 1 :]
        return False

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._answers.close()
        self._process.wait()
