# SPDX-License-Identifier: Apache-2.0
"""`cnncore predict`."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TextIO

import numpy as np

from .. import data, ops
from .._files import open_regular
from ..data.images import decode, image_extents
from . import model_file
from .answers import answers, reason
from .model_file import Description
from .output import SomeFailedError, UsageError, print_result
from .photos import FIT_TEXTS
from .standard_input import STDIN, read_stdin

File = tuple[str, bytes | None]
"""A name and, of an image from standard input, its content."""


class Answer(NamedTuple):
    """What the network says of one image."""

    file: str
    content: bytes | None
    """Of an image from standard input; None where `file` is one."""
    ranked: list[tuple[str, float]]
    """The likeliest classes with their probabilities."""

    def row(self) -> dict[str, Any]:
        """Return the answer as `--json` shows it."""
        return {
            "file": self.file,
            "class": self.ranked[0][0],
            "probability": self.ranked[0][1],
            "top": [{"class": name, "probability": probability} for name, probability in self.ranked],
        }

    def cells(self) -> list[Any]:
        """Return the answer as a line of `--csv`."""
        return [self.file, *(value for pair in self.ranked for value in pair)]


def run(options: argparse.Namespace) -> None:
    """Print the likeliest classes of image files.

    Raises:
        SomeFailedError: after all others, where a file could not be read.
    """
    if options.json and options.csv == "-":
        raise UsageError("--csv without a FILE.csv and --json both print on stdout; choose one")
    model, description = model_file.load(options.model)
    if options.copy_to is not None:
        os.makedirs(options.copy_to, exist_ok=True)
    failed: list[str] = []
    files = list(_named(options.images, failed))
    count = len(files) + len(failed)
    if not count:
        raise ValueError("expected the names of images on standard input, got none")
    if not options.json:
        _say_conversion(files, description)
    with _table(options) as table:
        for answer in _in_order(options, _answers(model, description, files, options.top, failed)):
            if table is not None:
                table.writerow(answer.cells())
            if options.csv != "-":
                shown = ", ".join(f"{name} {probability:.2%}" for name, probability in answer.ranked)
                print_result(options, f"{answer.file}: {shown}", answer.row())
            if options.copy_to is not None:
                _copy(answer, options.copy_to)
    if failed:
        raise SomeFailedError(f"{len(failed):,} of {count:,} files could not be classified")


def _say_conversion(files: Sequence[File], description: Description) -> None:
    """Say once what becomes of images that are not as the network takes them."""
    if not files or files[0][1] is not None:
        return
    network = description.image
    try:
        content, path = _content(files[0])
        height, width = image_extents(content, path)
        channels = decode(content, path, (1, 1)).shape[0]
    except (OSError, ValueError):
        return
    if (channels, height, width) != network:
        print(
            f"{path}: {_size((channels, height, width))} is converted to the network's {_size(network)}; "
            f"so are others that differ: {FIT_TEXTS[description.fit]}",
            file=sys.stderr,
        )


def _size(image: tuple[int, int, int]) -> str:
    return f"{'grey' if image[0] == 1 else 'colour'} {image[1]}x{image[2]}"


def _named(names: Sequence[str], failed: list[str]) -> Iterator[File]:
    """Return the image files that arguments stand for; what there is not is told and passed over."""
    for name in names:
        if name == STDIN:
            paths, content = read_stdin()
            if content is not None:
                yield STDIN, content
            else:
                yield from _named(paths, failed)
            continue
        try:
            yield from ((file, None) for file in data.image_files(name))
        except (OSError, ValueError) as error:
            _tell(name, error, failed)


def _answers(
    model: Any, description: Description, files: Sequence[File], top: int, failed: list[str]
) -> Iterator[Answer]:
    """Return the answers for all files that can be read, in order; tell of the others."""
    for (name, content), output in answers(model, description, files, _content):
        if isinstance(output, Exception):
            _tell(name, output, failed)
            continue
        probabilities = np.asarray(ops.softmax(output[None], 1))[0]
        best = np.argsort(-probabilities, kind="stable")[:top]
        yield Answer(name, content, [(description.classes[i], float(probabilities[i])) for i in best])


def _content(file: File) -> tuple[bytes, str]:
    name, content = file
    if content is not None:
        return content, name
    with open_regular(name) as opened:
        return opened.read(), name


def _in_order(options: argparse.Namespace, answers: Iterable[Answer]) -> Iterable[Answer]:
    """Return answers as they come or, if that is wanted, the least certain ones first."""
    return sorted(answers, key=lambda a: a.ranked[0][1]) if options.lowest_first else answers


@contextmanager
def _table(options: argparse.Namespace) -> Iterator[Any]:
    """Yield what takes the lines of `--csv`, or None."""
    if options.csv is None:
        yield None
    elif options.csv == "-":
        yield _begun(sys.stdout, options.top)
    else:
        # Names of files may be no texts.
        with open(options.csv, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            yield _begun(file, options.top)


def _begun(file: TextIO, top: int) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    further = [name for i in range(2, top + 1) for name in (f"class_{i}", f"probability_{i}")]
    writer.writerow(["file", "class", "probability", *further])
    return writer


def _copy(answer: Answer, folder: str) -> None:
    """Copy an image into the folder of its class, under a name that no other file has."""
    place = os.path.join(folder, _folder_name(answer.ranked[0][0]))
    os.makedirs(place, exist_ok=True)
    name = "stdin" if answer.content is not None else os.path.basename(answer.file)
    stem, extension = os.path.splitext(name)
    number = 1
    while os.path.lexists(path := os.path.join(place, name)):
        number += 1
        name = f"{stem}-{number}{extension}"
    try:
        if answer.content is None:
            shutil.copy2(answer.file, path)
        else:
            with open(path, "wb") as file:
                file.write(answer.content)
    except BaseException as error:
        with suppress(OSError):  # a part of an image is none
            os.unlink(path)
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror, path) from None
        raise


def _folder_name(label: str) -> str:
    """Return a class' name as that of a folder, which leads nowhere else.

    >>> _folder_name("cat"), _folder_name("../x/y"), _folder_name("..")
    ('cat', '.._x_y', '_')
    """
    name = "".join("_" if letter in "/\\:\0" else letter for letter in label)
    return "_" if name in ("", ".", "..") else name


def _tell(name: str, error: Exception, failed: list[str]) -> None:
    """Name a file that cannot be read, on stderr, and count it."""
    failed.append(name)
    print(f"cnncore: error: {name}: {reason(error, name)}", file=sys.stderr)
