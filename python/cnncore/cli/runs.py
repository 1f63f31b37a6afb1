# SPDX-License-Identifier: Apache-2.0
"""Folders of runs: runs/1, runs/2, ..."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress

RUNS = "runs"


def new_run(parent: str = RUNS) -> str:
    """Make the folder with the next free number, and return its name.

    >>> import tempfile
    >>> parent = os.path.join(tempfile.mkdtemp(), "runs")
    >>> [os.path.basename(new_run(parent)) for _ in range(2)]
    ['1', '2']
    """
    os.makedirs(parent, exist_ok=True)
    taken = [int(name) for name in os.listdir(parent) if name.isascii() and name.isdigit()]
    for number in itertools.count(max(taken, default=0) + 1):
        path = os.path.join(parent, str(number))
        try:
            os.mkdir(path)
        except FileExistsError:  # another training was faster
            continue
        return path
    raise AssertionError("numbers do not end")


def forget_run(path: str | None) -> None:
    """Remove the folder of a run that has left nothing in it."""
    if path is not None:
        with suppress(OSError):
            os.rmdir(path)
