# SPDX-License-Identifier: Apache-2.0
"""The layers in an HDF5 file of Keras 3, read by a process of its own.

The HDF5 library is not made for damaged files: on some it does not come to an end, or ends its process. What
it may take of time and memory follows from the file's size.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from math import prod
from pathlib import Path
from threading import Timer
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SCRIPT = Path(__file__).with_name("hdf5_process.py")

SECONDS, BYTES_PER_SECOND = 5, 1 << 20
"""Of the processor: four times what files take whose layers are single numbers."""

PATIENCE = 4
"""How many times as long the process may take by the clock, where others take the processor or the disk
waits."""

MEMORY, MEMORY_PER_BYTE = 1 << 30, 3
"""Of addresses, most of them taken by libraries and never used."""

PIPE = 1 << 20
"""Bytes on their way, where the system lets this be chosen: each time it is full the processes take turns."""

_LINE, _ESCAPED = 1 << 16, 6
"""Bytes of a line of the answer: the names in the file, of which JSON makes so many of each byte."""

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Layer(NamedTuple):
    """A layer's group in the file, where it lies, its name, and its variables in their order."""

    key: str
    path: str
    name: str
    arrays: list[NDArray[Any]]


def read_layers(file: IO[bytes], size: int) -> list[Layer]:
    """Return the layers of a file that have variables.

    Args:
        file: one of the system's own, with a number; read from its begin.
        size: its bytes.

    Raises:
        ImportError: h5py is not installed.
        RuntimeError: no Python interpreter can be started.
        ValueError: the file is damaged, refers to other files, or the HDF5 library does not get through.
    """
    if find_spec("h5py") is None:
        raise ImportError('files of Keras need h5py: pip install "cnncore[keras]"')
    if not sys.executable or getattr(sys, "frozen", False):
        raise RuntimeError("files of Keras are read by a Python process of its own, which cannot be started")
    seconds = SECONDS + size // BYTES_PER_SECOND
    paths = json.dumps([path for path in sys.path if isinstance(path, str)])
    numbers = (str(number) for number in (size, seconds, MEMORY + MEMORY_PER_BYTE * size))
    command = [sys.executable, "-I", "-S", os.fspath(SCRIPT), paths, *numbers]
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "pipesize": PIPE}
    with subprocess.Popen(command, stdin=file, env=environment, **pipes) as process:
        assert process.stdout is not None
        clock = Timer(PATIENCE * seconds, process.kill)
        clock.daemon = True
        clock.start()
        try:
            return _received(process.stdout, size)
        except (EOFError, KeyError, TypeError):
            process.stdout.close()
            raise ValueError(_end(process.wait(), late=not clock.is_alive())) from None
        finally:
            clock.cancel()
            process.kill()


def _end(status: int, late: bool) -> str:
    """Return why the process has ended in the middle."""
    if late or status == -getattr(signal, "SIGXCPU", 0):
        return "the HDF5 library does not come to an end on it"
    return f"the HDF5 library ends its process on it (status {status})"


def _received(answer: IO[bytes], size: int) -> list[Layer]:
    """Return what the process has written, which holds no more than the file does.

    Raises:
        ValueError: it says that the file is damaged.
        EOFError, KeyError, TypeError: it ends before all is there, or is no answer.
    """
    layers: list[Layer] = []
    longest = _LINE + _ESCAPED * size
    while True:
        head = _head(answer.readline(longest))
        if "error" in head:
            raise ValueError(str(head["error"]))
        if "done" in head:
            return layers
        arrays = []
        for dtype, *shape in head["arrays"]:
            kind = np.dtype(dtype)
            size -= kind.itemsize * prod(shape)
            if size < 0 or kind.kind not in "biuf":
                raise EOFError
            arrays.append(_filled(answer, np.empty(shape, kind)))
        layers.append(Layer(head["key"], head["path"], head["name"], arrays))


def _head(line: bytes) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except ValueError:
        raise EOFError from None
    if not isinstance(head, dict):
        raise EOFError
    return head


def _filled(answer: IO[bytes], array: NDArray[Any]) -> NDArray[Any]:
    left: Any = array.reshape(-1).view(np.uint8)
    while left.size:
        count: int = answer.readinto(left)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        left = left[count:]
    return array
