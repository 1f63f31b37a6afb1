# SPDX-License-Identifier: Apache-2.0
"""Types of the scripts' arguments: what cannot be ends them with code 2 and a line that says why."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Kind = TypeVar("Kind", int, float)
Parsed = TypeVar("Parsed")

HOUR = 3600.0
"""Of one measurement at most: what was to take longer did never end."""


def parsed(expected: str, parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """A type of what a function makes of the text; its ValueError says that something else was `expected`."""

    def made(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    return made


def number(kind: type[Kind], least: Kind, most: Kind) -> Callable[[str], Kind]:
    """A type of numbers from `least` to `most`."""

    def parse(text: str) -> Kind:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError
        return value

    span = f"{least} to {most}" if kind is int else f"{least:g} to {most:g}"
    return parsed(f"a {'whole ' * (kind is int)}number from {span}", parse)


count = number(int, 1, 2**31 - 1)
threads = number(int, 1, 1024)
seconds = number(float, 0.0, HOUR)


def counts(text: str) -> list[int]:
    """A type of comma-separated counts."""
    return [count(part) for part in text.split(",")]


def names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A type of comma-separated names."""

    def parse(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return found

    return parse


def pattern(text: str) -> str:
    """A type of regular expressions, as text."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    return text


def readable(text: str) -> Path:
    """A type of files that are there."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


def writable(text: str) -> str:
    """A type of files to write, in a folder that is there."""
    path = Path(text)
    if not text or path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file to write in a folder that is there, got {text!r}")
    return text
