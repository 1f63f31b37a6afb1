# SPDX-License-Identifier: Apache-2.0
"""Opening files to read."""

from __future__ import annotations

import os
import stat
from io import BufferedReader, TextIOWrapper


def check_path(path: str | os.PathLike[str], what: str = "a file's path") -> str:
    """Return a path as text, or raise where it is none: a number would be taken for an open file.

    >>> check_path("m.safetensors")
    'm.safetensors'
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"expected {what}, got {path!r}") from None
    if "\0" in name:
        raise ValueError(f"expected {what}, got {name!r}, which holds a NUL character")
    return name


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file to read bytes; what has no end, or none before somebody writes to it, is refused.

    Raises:
        ValueError: a pipe, socket or device.
        OSError: the file cannot be read.
    """
    name = check_path(path)
    mode = os.stat(name).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{name}: expected a regular file, got a pipe, socket or device")
    return open(name, "rb")


def open_table(path: str | os.PathLike[str], encoding: str = "utf-8") -> TextIOWrapper:
    """Open a CSV file to read, as `open_regular` does."""
    return TextIOWrapper(open_regular(path), encoding, newline="")
