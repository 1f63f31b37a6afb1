# SPDX-License-Identifier: Apache-2.0
"""Files under a folder or inside a zip file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from .._files import check_path, open_regular

MAX_FILE_BYTES = 1 << 28
"""Larger files inside a zip are refused: a few bytes can unpack to gigabytes."""

MAX_WAYS_TO_A_FOLDER = 64
"""More are refused: n folders with two links each to the next one have 2**n paths."""


class Folder:
    """Files under a folder. Links are followed, but not back to a folder they lie in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def names(self) -> tuple[list[str], list[str]]:
        """Return the paths of all files, and of all folders, hidden folders aside.

        Raises:
            OSError: a folder that cannot be read.
            ValueError: links that lead to one folder in too many ways.
        """
        files: list[str] = []
        folders: list[str] = []
        ways: dict[tuple[int, int], int] = {}
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            inside, above = waiting.pop()
            path = self.path / inside
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                continue
            ways[identity] = ways.get(identity, 0) + 1
            if ways[identity] > MAX_WAYS_TO_A_FOLDER:
                raise ValueError(
                    f"{path}: links lead to this folder in more than {MAX_WAYS_TO_A_FOLDER} ways"
                )
            if inside:
                folders.append(inside)
            for entry in os.scandir(path):
                name = f"{inside}/{entry.name}" if inside else entry.name
                if not entry.is_dir():
                    files.append(name)
                elif not entry.name.startswith("."):
                    waiting.append((name, above | {identity}))
        return sorted(files), sorted(folders)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with open_regular(self.path / name) as file:
            return file.read()

    def label(self, name: str) -> str:
        """Return what to call a file in errors."""
        return str(self.path / name)


class Zip:
    """Files inside a zip file. Any number of threads may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        plain = open_regular(path)
        try:
            self.file = zipfile.ZipFile(plain)
        except Exception as error:  # a damaged directory can make zipfile raise anything
            plain.close()
            raise ValueError(f"{path}: not a valid zip file: {error}") from None
        self.plain = plain

    def __enter__(self) -> Zip:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()
        self.plain.close()

    def names(self) -> tuple[list[str], list[str]]:
        """Return the paths of all files, and of the folders that have an entry."""
        names = {entry.filename for entry in self.file.infolist()} - {""}
        folders = {name for name in names if name.endswith("/")}
        return sorted(names - folders), sorted({name.rstrip("/") for name in folders} - {""})

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        info = self.file.getinfo(name)
        if info.file_size > MAX_FILE_BYTES:
            raise ValueError(
                f"{self.label(name)}: expected at most {MAX_FILE_BYTES} bytes, got {info.file_size}"
            )
        try:
            return self.file.read(info)
        except Exception as error:  # a damaged entry can make zipfile raise anything
            raise ValueError(f"{self.label(name)}: damaged in the zip file: {error}") from None

    def label(self, name: str) -> str:
        """Return what to call a file in errors."""
        return f"{self.path}:{name}"


Source = Folder | Zip


def open_source(path: str | os.PathLike[str]) -> Source:
    """Return the files of a folder or zip file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no valid zip file.
    """
    place = Path(check_path(path, "the path of a folder or zip file"))
    if place.is_dir():
        return Folder(place)
    if not place.exists():
        raise FileNotFoundError(f"{place}: expected a folder or zip file, there is none")
    return Zip(place)
