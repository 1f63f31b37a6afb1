# SPDX-License-Identifier: Apache-2.0
"""What a training leaves in a folder: settings, curves, figures of classes."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

from ..io.atomic import atomic_write
from ..train import History
from ..train.callbacks.logs import scalars
from . import model_file
from .job import Job


def class_rows(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return name, images, answers, precision, recall and F1 of each class from a confusion matrix.

    Args:
        matrix: (classes, classes), true class by answer.
        classes: their names.

    >>> class_rows(np.array([[3, 1], [0, 4]]), ["cat", "dog"])[0]["recall"]
    0.75
    """
    right, true, said = (part.astype(float) for part in (np.diag(matrix), matrix.sum(1), matrix.sum(0)))

    def share(part: NDArray[Any], whole: NDArray[Any]) -> list[float]:
        return [float(value) for value in np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)]

    columns = share(right, said), share(right, true), share(2 * right, said + true)
    return [
        {"class": name, "images": int(count), "answers": int(answers), "precision": p, "recall": r, "f1": f}
        for name, count, answers, p, r, f in zip(classes, true, said, *columns, strict=True)
    ]


def mean_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means of the figures of the classes that are there or were answered ("macro average").

    >>> mean_row(class_rows(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), "abc"))["recall"]
    0.875
    """
    shown = [row for row in rows if row["answers"] or row["images"]] or rows
    means = {name: sum(row[name] for row in shown) / len(shown) for name in ("precision", "recall", "f1")}
    return {"class": "mean", "images": sum(row["images"] for row in rows), **means}


def class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures of classes, and their means, as lines of text."""
    rows = [*rows, mean_row(rows)]
    width = max(len("class"), *(_columns(row["class"]) for row in rows))
    lines = [f"{'class':{width}}  images  precision   recall       F1"]
    for row in rows:
        shares = f"{row['precision']:9.2%}  {row['recall']:7.2%}  {row['f1']:7.2%}"
        lines.append(f"{_left(row['class'], width)}  {row['images']:6d}  {shares}")
    return "\n".join(lines)


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; Chinese and other wide letters take two.

    >>> _columns("cat"), _columns("\u732b")
    (3, 2)
    """
    return len(text) + sum(east_asian_width(letter) in "WF" for letter in text)


def _left(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


MATRIX_CLASSES = 12
"""With more classes the commonest mistakes are listed instead of the matrix."""


def matrix_text(matrix: NDArray[np.int64], classes: Sequence[str]) -> str:
    """Return a confusion matrix as text or, of many classes, its ten largest mistakes.

    >>> print(matrix_text(np.array([[3, 1], [0, 14]]), ["cat", "dog"]))
    confusion matrix, true class by answer
         cat  dog
    cat    3    1
    dog    0   14
    """
    if len(classes) > MATRIX_CLASSES:
        wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:10]
        found = [(i // len(matrix), i % len(matrix)) for i in order.tolist() if wrong.flat[i]]
        lines = [f"{classes[true]} taken for {classes[said]}: {wrong[true, said]}" for true, said in found]
        return "\n".join(["the commonest mistakes", *(lines or ["none"])])
    name = max(map(_columns, classes))
    widths = [
        max(_columns(label), len(str(column.max()))) for label, column in zip(classes, matrix.T, strict=True)
    ]
    rows = [["", *classes], *([label, *map(str, row)] for label, row in zip(classes, matrix, strict=True))]
    lines = [
        _left(row[0], name)
        + "".join(
            "  " + " " * (width - _columns(text)) + text for text, width in zip(row[1:], widths, strict=True)
        )
        for row in rows
    ]
    return "\n".join(["confusion matrix, true class by answer", *lines])


def write_run(
    job: Job, options: argparse.Namespace, history: History, matrix: NDArray[np.int64], accuracy: float
) -> str | None:
    """Write the report of a job with its best and its last model into its folder; return the folder."""
    folder = job.folder
    if folder is None:
        return None
    os.makedirs(folder, exist_ok=True)
    settings = {name: value for name, value in vars(options).items() if name != "run"}
    settings.update(vars(job.recipe), test_accuracy=accuracy, best_epoch=job.best_epoch)
    settings.update(size=job.images.image[1:], fit=job.images.fit)
    write_report(folder, settings, history, matrix, job.images.classes)
    description = replace(job.description, test_accuracy=accuracy)
    for name, weights in (("best", job.model), ("last", job.last)):
        model_file.save(os.path.join(folder, f"{name}.safetensors"), weights, description)
    return folder


def check_folder(path: str) -> None:
    """Make the folder of a report, or raise before anything is trained."""
    os.makedirs(path, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{path}: the folder is not writable")


def write_report(
    folder: str,
    settings: Mapping[str, Any],
    history: History,
    matrix: NDArray[np.int64],
    classes: Sequence[str],
) -> list[str]:
    """Write settings.json, history.csv, classes.csv, confusion.csv and, with matplotlib, curves.png.

    Returns:
        The names of the files.
    """
    rows = class_rows(matrix, classes)
    table = {name: scalars({str(i): v for i, v in enumerate(values)}) for name, values in history.items()}
    table = {name: values for name, values in table.items() if values}
    epochs = [
        {"epoch": epoch + 1, **{name: values[str(epoch)] for name, values in table.items()}}
        for epoch in range(history.epochs)
    ]
    counts = [
        {"true class": name, **dict(zip(classes, map(int, row), strict=True))}
        for name, row in zip(classes, matrix, strict=True)
    ]
    files = {
        "settings.json": json.dumps(dict(settings), indent=2) + "\n",
        "history.csv": _csv(epochs),
        "classes.csv": _csv(rows),
        "confusion.csv": _csv(counts),
    }
    for name, text in files.items():
        with atomic_write(os.path.join(folder, name)) as file:
            file.write(text.encode("utf-8"))
    names = list(files)
    if history.epochs and _curves(folder, history):
        names.append("curves.png")
    return names


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _curves(folder: str, history: History) -> bool:
    """Draw the curves where matplotlib is installed."""
    try:
        figure = history.plot()
    except ImportError:
        return False
    with atomic_write(os.path.join(folder, "curves.png")) as file:
        figure.savefig(file, format="png", dpi=120)
    return True
