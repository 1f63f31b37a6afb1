# SPDX-License-Identifier: Apache-2.0
"""Figures of each epoch in files."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping
from typing import Any

from ..._files import check_path, open_table
from ...io.atomic import atomic_write
from ...nn.arguments import flag
from .base import Callback


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures that are numbers."""
    return {
        name: float(value) for name, value in logs.items() if hasattr(value, "__float__") and not _many(value)
    }


def _many(value: Any) -> bool:
    return bool(getattr(value, "ndim", 0))


class CSVLogger(Callback):
    """Writes a row of figures for each epoch to a CSV file.

    Args:
        path: the file.
        separator: between columns.
        append: keep the rows of earlier epochs that the file has, as when a run goes on; otherwise begin
            anew.

    Raises:
        TypeError: `path` is no path, or `append` neither True nor False.
        ValueError: `separator` is no character; a file to append to has other rows.

    >>> callback = CSVLogger("log.csv")
    """

    def __init__(self, path: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.path, self.append = check_path(path), flag("append", append)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(f"expected separator as a character such as ',' or ';', got {separator!r}")
        self.separator = separator

    def on_train_begin(self) -> None:
        self._columns: list[str] = []
        self._rows: list[list[str]] = []
        if self.append and os.path.exists(self.path):
            try:
                with open_table(self.path) as file:
                    lines = list(csv.reader(file, delimiter=self.separator))
                self._columns = lines[0] if lines else []
                self._rows = [row for row in lines[1:] if row and int(row[0]) < self.trainer.epoch]
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{self.path}: append=True needs rows of a CSVLogger: {error}") from None
        else:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        figures = scalars(logs)
        if not self._columns:
            self._columns = ["epoch", *figures]
        figures["epoch"] = epoch
        self._rows.append([_text(figures.get(name)) for name in self._columns])
        self._write()

    def _write(self) -> None:
        if not self.trainer.writes:
            return
        text = io.StringIO()
        table = [self._columns, *self._rows] if self._columns else []
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(table)
        with atomic_write(self.path) as file:
            file.write(text.getvalue().encode("utf-8"))


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)


class TensorBoard(Callback):
    """Writes the figures of each epoch where TensorBoard shows them.

    Args:
        folder: of the event files; ``tensorboard --logdir FOLDER`` shows it.

    Raises:
        ImportError: when training begins, where the `tensorboard` package is not installed.

    >>> callback = TensorBoard("logs/run1")
    """

    def __init__(self, folder: str | os.PathLike[str] = "logs") -> None:
        self.folder = check_path(folder, "the path of a folder")
        self._writer: Any = None

    def on_train_begin(self) -> None:
        if not self.trainer.writes:
            return
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs the package tensorboard: pip install 'cnncore[tensorboard]'"
            ) from error
        self._writer = EventFileWriter(self.folder)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self._writer is None:
            return
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, value in {**scalars(logs), "learning_rate": self.trainer.optimizer.lr}.items():
            tag = f"{'validation' if name.startswith('val_') else 'train'}/{name.removeprefix('val_')}"
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            self._writer.add_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        self._writer.flush()

    def on_train_end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
