# SPDX-License-Identifier: Apache-2.0
"""Running a function of tests/distributed/programs.py in several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAMS = Path(__file__).parent / "distributed/programs.py"
PATIENCE = 240
"""Seconds after which a run counts as a hang; it takes a few on a machine that is not busy."""


@cache
def mpiexec() -> str:
    """Return the program that starts processes, or skip the test."""
    found = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("there is no mpiexec: pip install mpich")
    test = [found, "-n", "1", sys.executable, "-c", "from mpi4py import MPI"]
    if subprocess.run(test, capture_output=True, timeout=PATIENCE, check=False).returncode:
        pytest.skip("mpi4py cannot be imported, or finds no MPI library")
    return found


def start(ranks: int, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in so many processes, one thread each."""
    env = {**os.environ, "CNNCORE_NUM_THREADS": "1", **environment}
    line = [mpiexec(), "-n", str(ranks), *command]
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, env=env, check=False)


def run(ranks: int, name: str, *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a function of the programs; its arguments travel as JSON."""
    texts = [json.dumps(argument) for argument in arguments]
    return start(ranks, sys.executable, str(PROGRAMS), name, *texts, **environment)


def results(ranks: int, name: str, *arguments: Any, **environment: str) -> list[Any]:
    """Return what a function of the programs returned in each process."""
    done = run(ranks, name, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


class _Request:
    def Test(self) -> bool:  # noqa: N802
        return True


class _Comm:
    """A communicator to a process that does all that this one does."""

    def __init__(self) -> None:
        self.seconds: list[Any] = []
        """Of sums under way: the part that the other process owns."""

    def Iallgather(self, mine: Any, every: Any) -> _Request:  # noqa: N802
        part = np.frombuffer(mine, np.uint8)
        np.frombuffer(every, np.uint8)[:] = np.concatenate([part, part])
        return _Request()

    def Ialltoall(self, mine: Any, received: Any) -> _Request:  # noqa: N802
        first, second = np.split(np.frombuffer(mine, np.float32), 2)
        np.frombuffer(received, np.float32)[:] = np.concatenate([first, first])
        self.seconds.append(2 * second)
        return _Request()


class _Gathering:
    """The communicator by which parts of sums are given to all."""

    def __init__(self, ordered: _Comm) -> None:
        self.ordered = ordered

    def Iallgather(self, mine: Any, every: Any) -> _Request:  # noqa: N802
        part = np.frombuffer(mine, np.float32)
        np.frombuffer(every, np.float32)[:] = np.concatenate([part, self.ordered.seconds.pop(0)])
        return _Request()


class TwoRanks:
    """Two processes, of which the other, with the same rows, is done here."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self.ordered = self.blocking = _Comm()
        self.gathering = _Gathering(self.ordered)

    def all(self, value: Any) -> list[Any]:
        return [value, value]

    def first(self, value: Any) -> Any:
        return value

    def share_first(self, stored: Any) -> None: ...

    def end_all(self, error: BaseException) -> None: ...

    def wait(self, done: Any) -> None:
        assert any(done() for _ in range(4))
