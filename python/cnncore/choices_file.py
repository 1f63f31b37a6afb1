# SPDX-License-Identifier: Apache-2.0
"""The file that keeps which algorithm each convolution of a compiled graph has."""

from __future__ import annotations

import json
import os
from typing import Any

from ._files import check_path, open_regular
from .compiler.choices import Choices, find_problems
from .graph.tensor import Graph
from .io.atomic import atomic_write
from .runtime import get_num_threads, info

FORMAT = "cnncore choices"
VERSION = 1
LARGEST_FILE = 1 << 24
"""Bytes; a network of 1000 different convolutions needs some 300 KB."""


def save(path: str | os.PathLike[str], choices: Choices) -> None:
    """Write choices, and what they were measured on."""
    machine = {"isa": info()["isa"], "processor": info()["model"], "threads": get_num_threads()}
    contents = {"format": FORMAT, "version": VERSION, "machine": machine, "choices": choices}
    with atomic_write(path) as file:
        file.write(json.dumps(contents, indent=1).encode() + b"\n")


def load(path: str | os.PathLike[str], graph: Graph) -> Choices:
    """Return the choices in a file after checking that they are for this graph.

    Raises:
        ValueError: the file is not one of choices, of another version, for another network or shape, or
            names an algorithm that cannot be used.
    """
    name = check_path(path)
    choices = _read(name)
    found = find_problems(graph)
    for text in (*found, *choices):
        if text not in choices or text not in found:
            side = "this network has no" if text in choices else "the file has no"
            raise ValueError(f"{name!r} is for another network or input shape: {side} {text!r}")
    for text, problem in found.items():
        algorithm = choices[text]
        reason = problem.reasons.get(algorithm, "no such algorithm")
        if reason:
            raise ValueError(f"{name!r} chooses {algorithm!r} for {text!r}, which cannot be: {reason}")
    return choices


def _read(name: str) -> Choices:
    with open_regular(name) as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"{name!r} is not a file of choices: it has more than {LARGEST_FILE} bytes")
    try:
        contents: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name!r} is not a file of choices: {error}") from None
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise ValueError(f"{name!r} is not a file of choices: it has no format {FORMAT!r}")
    if contents.get("version") != VERSION:
        raise ValueError(f"{name!r}: expected version {VERSION}, got {str(contents.get('version'))[:20]!r}")
    choices = contents.get("choices")
    if not isinstance(choices, dict) or not all(isinstance(value, str) for value in choices.values()):
        raise ValueError(f"{name!r}: expected 'choices' to name an algorithm for each convolution")
    return choices
