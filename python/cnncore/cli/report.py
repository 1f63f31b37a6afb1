# SPDX-License-Identifier: Apache-2.0
"""What a training leaves in a folder: settings, curves, figures of classes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.atomic import atomic_write
from ..train import History
from ..train.callbacks.logs import scalars


def class_rows(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return name, images, precision, recall and F1 of each class from a confusion matrix.

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
        {"class": name, "images": int(count), "precision": p, "recall": r, "f1": f}
        for name, count, p, r, f in zip(classes, true, *columns, strict=True)
    ]


def class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures of classes as lines of text."""
    width = max(len("class"), *(len(row["class"]) for row in rows))
    lines = [f"{'class':{width}}  images  precision   recall       F1"]
    for row in rows:
        shares = f"{row['precision']:9.2%}  {row['recall']:7.2%}  {row['f1']:7.2%}"
        lines.append(f"{row['class']:{width}}  {row['images']:6d}  {shares}")
    return "\n".join(lines)


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
