# SPDX-License-Identifier: Apache-2.0
"""`cnncore report`."""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import data
from .._files import open_table
from ..data.cifar import CLASSES
from ..io.atomic import atomic_write
from ..pages.opened import Opened, open_model
from ..pages.report import Labelled, report
from .output import print_result


def run(options: argparse.Namespace) -> None:
    """Write a page about a model."""
    opened = open_model(options.model, options.input)
    name = options.dataset
    if name is None and opened.dataset == "digits":
        name = "digits"  # the only data that are always there
    labelled = None if name is None else labelled_images(name, options, opened)
    found = report(opened, labelled, _history(options))
    with atomic_write(options.output) as file:
        file.write(found.page.encode("utf-8", "replace"))
    lines = [f"wrote {options.output} ({len(found.page) / 1e6:.2f} MB)"]
    if "accuracy" in found.figures and labelled is not None:
        lines.insert(0, f"accuracy {found.figures['accuracy']:.2%} on {labelled.name}")
    print_result(options, "\n".join(lines), {"model": options.model, "file": options.output, **found.figures})


def labelled_images(name: str, options: argparse.Namespace, opened: Opened) -> Labelled:
    """Return the test part of a data set, or the images of a folder, as the model takes them.

    Args:
        name: "digits", "mnist", "cifar10", or a folder or zip file with a folder for each class.
        options: `data`, `download` and `images`, the number of images at most, as on the command line.
        opened: the model, whose classes the folders are named by.

    Raises:
        ValueError, OSError: it cannot be read, or has classes that the model does not know.
    """
    x, y, classes = _read(name, options, opened)
    numbers = _numbers(name, classes, opened.classes)
    y = numbers[y]
    if len(y) > options.images:
        chosen = np.sort(np.random.default_rng(0).permutation(len(y))[: options.images])
        x, y = x[chosen], y[chosen]
    return Labelled(os.path.basename(os.path.normpath(name)), opened.prepare(x), y)


def _read(name: str, options: argparse.Namespace, opened: Opened) -> tuple[Any, Any, Sequence[str]]:
    """Return images uint8, class numbers and the names of these."""
    if name in ("mnist", "cifar10") and options.data is None:
        raise ValueError(
            f"{name} is read from a folder: say which with --data DIR (--download fetches it there)"
        )
    if name == "digits":
        return *data.digits(dtype="uint8")[1], tuple(map(str, range(10)))
    if name == "mnist":
        x, y = data.mnist(options.data, download=options.download, dtype="uint8")[1]
        return x, y, tuple(map(str, range(int(y.max()) + 1)))
    if name == "cifar10":
        return *data.cifar10(options.data, download=options.download, dtype="uint8")[1], CLASSES
    if not os.path.exists(name):
        raise ValueError(f"expected digits, mnist, cifar10 or a folder or zip file of images, got {name!r}")
    found: Any = data.image_folder(name, size=opened.image[1:], dtype="uint8")
    part = found if isinstance(found, data.ImageArrays) else found[1]
    return part.x, part.y, part.classes


def _numbers(name: str, classes: Sequence[str], known: Sequence[str]) -> Any:
    """Return the model's number of each class of the data: by its name, where the model has names."""
    if not known:
        return np.arange(len(classes))
    unnamed = list(known) == [str(number) for number in range(len(known))]
    if unnamed and len(classes) <= len(known):
        return np.arange(len(classes))
    strange = [label for label in classes if label not in known]
    if strange:
        raise ValueError(
            f"expected the model's classes {', '.join(known[:10])}; {name} has {', '.join(strange[:5])}"
        )
    return np.array([known.index(label) for label in classes])


def _history(options: argparse.Namespace) -> dict[str, list[float]] | None:
    """Return the figures of a training in a CSV file; None where there is none."""
    path = options.history
    if path is None:
        path = os.path.join(os.path.dirname(options.model), "history.csv")
        if not os.path.isfile(path):
            return None
    figures: dict[str, list[float]] = {}
    with open_table(path) as file:
        try:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    figures.setdefault(str(key), []).append(float(value or "nan"))
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path}: expected a table of numbers, an epoch a row: {error}") from None
    if not figures:
        raise ValueError(f"{path}: expected a table of numbers, an epoch a row, got no rows")
    return figures
