# SPDX-License-Identifier: Apache-2.0
"""Data sets of image files that are decoded when they are asked for."""

from __future__ import annotations

import csv
import os
import threading
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import open_table
from .dataset import Dataset
from .folder import labelled_files
from .images import decode_fitted, with_channels
from .resizing import check_fit, check_size
from .sources import open_source

__all__ = ["ImageFiles", "ImageFolder", "ImageTable"]


class ImageFiles(Dataset):
    """Image files and their labels; a sample is (image, label), the image (channels, height, width) uint8.

    Files are decoded when they are asked for; the first ones that fit into `cache_bytes` are kept decoded.
    Any number of threads may read. Images have the sizes of their files unless `size` is given: a
    `DataLoader` with a `transforms.Transform` makes them equal.

    Args:
        root: the folder, or the zip file, that the names begin from.
        names: the files' paths in there.
        labels: class numbers or other numbers, one a file.
        classes: the names of the classes.
        size: (height, width) to resize to; JPEG files are decoded no larger than needed.
        channels: 1 or 3; None keeps what each file has.
        cache_bytes: memory for decoded images.
        fit: how images of other proportions than `size` are resized: "stretch", "crop" or "letterbox", as of
            `ImagePreprocessing`.
        errors: "raise", or "skip": files that cannot be read are left out of batches, each with one warning.

    Raises:
        ValueError: numbers of names and labels that differ, or other wrong settings.

    >>> ImageFiles(".", ["a.ppm", "b.ppm"], [0, 1], classes=("cat", "dog")).labels.tolist()
    [0, 1]
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        names: Sequence[str],
        labels: Any,
        classes: Sequence[str] = (),
        size: tuple[int, int] | None = None,
        channels: int | None = 3,
        cache_bytes: int = 0,
        errors: str = "raise",
        fit: str = "stretch",
    ) -> None:
        super().__init__()
        if errors not in ("raise", "skip"):
            raise ValueError(f"expected errors 'raise' or 'skip', got {errors!r}")
        if channels not in (None, 1, 3):
            raise ValueError(f"expected channels 1, 3 or None, got {channels}")
        self.source = open_source(root)
        weakref.finalize(self, self.source.__exit__)
        self.names = list(names)
        self.labels = np.asarray(labels)
        if len(self.names) != len(self.labels):
            raise ValueError(f"expected a label for each of {len(self.names)} files, got {len(self.labels)}")
        self.classes = tuple(classes)
        self.size = None if size is None else check_size(size)
        self.fit = check_fit(fit)
        self.channels = channels
        self.errors = errors
        self._cache = _Cache(cache_bytes)
        self._broken: set[str] = set()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], Any]:
        return self.image(index), self.labels[index]

    def image(self, index: int) -> NDArray[Any]:
        """Return one image, decoded.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no image, or is damaged.
        """
        name = self.names[index]
        image = self._cache.get(name)
        if image is None:
            image = self._decoded(name)
            self._cache.put(name, image)
        return image if self.channels is None else with_channels(image, self.channels)

    def columns(self, indices: Any) -> list[Any]:
        """Return images and labels of these numbers; those that cannot be read are left out on "skip".

        Raises:
            ValueError: none of these images can be read.
        """
        if self.errors == "raise":
            return super().columns(indices)
        images, labels = [], []
        for index in indices:
            try:
                images.append(self.image(int(index)))
            except (OSError, ValueError) as error:
                self._warn(self.names[int(index)], error)
            else:
                labels.append(self.labels[int(index)])
        if not images:
            numbers = [int(index) for index in indices]
            raise ValueError(f"expected an image that can be read among samples {numbers}, got none")
        return [tuple(images), tuple(labels)]

    def _decoded(self, name: str) -> NDArray[Any]:
        return decode_fitted(self.source.read(name), self.source.label(name), self.size, self.fit)

    def _warn(self, name: str, error: Exception) -> None:
        if name not in self._broken:
            self._broken.add(name)
            warnings.warn(f"left out: {error}", UserWarning, stacklevel=3)


class ImageFolder(ImageFiles):
    """Images in folders named by their class, ``<class>/<image>``, in a folder or zip file.

    Args:
        path: the folder or zip file. Where it has ``train`` and ``test`` (or ``val``), `part` chooses.
        part: "train" or "test"; None for a path without parts.
        settings: further ones of `ImageFiles`.

    Raises:
        ValueError: no images, one class, or a part where there is none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         os.mkdir(f"{folder}/{name}")
    ...         with open(f"{folder}/{name}/1.pgm", "wb") as file:
    ...             _ = file.write(b"P5 2 1 255 ab")
    ...     samples = ImageFolder(folder)
    ...     samples.classes, samples[1][0].shape, int(samples[1][1])
    (('cat', 'dog'), (3, 1, 2), 1)
    """

    def __init__(self, path: str | os.PathLike[str], part: str | None = None, **settings: Any) -> None:
        parts, classes = labelled_files(path)
        if part not in (None, "train", "test"):
            raise ValueError(f"expected part 'train', 'test' or None, got {part!r}")
        if (part is None) != (len(parts) == 1):
            found = "no parts" if len(parts) == 1 else "train and test"
            name = os.fsdecode(path)
            raise ValueError(f"{name}: expected part={part!r} to fit the folder, which has {found}")
        files = parts[1] if part == "test" else parts[0]
        numbers = {name: i for i, name in enumerate(classes)}
        labels = np.array([numbers[file.label] for file in files], np.int64)
        super().__init__(path, [file.name for file in files], labels, classes, **settings)


class ImageTable(ImageFiles):
    """Images that a table names, with their labels.

    Args:
        table: a CSV file with a line of names of its columns, or a DataFrame.
        image: the column of paths, from `root` on.
        label: the column of labels: numbers, or texts, which become classes in alphabetical order.
        root: the folder of the paths; by default the CSV file's, or the working folder.
        settings: further ones of `ImageFiles`.

    Raises:
        ValueError: columns that are missing, or an empty table.

    >>> ImageTable({"image": ["a.png", "b.png"], "label": ["dog", "cat"]}).labels.tolist()
    [1, 0]
    """

    def __init__(
        self,
        table: Any,
        image: str = "image",
        label: str = "label",
        root: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        is_path = isinstance(table, (str, os.PathLike))
        columns = _read_table(Path(table)) if is_path else table
        missing = [name for name in (image, label) if name not in columns]
        if missing:
            raise ValueError(f"expected columns {image!r} and {label!r}, got {list(columns)}")
        names = [PurePosixPath(str(name)).as_posix() for name in columns[image]]
        if not names:
            raise ValueError("expected a table with at least one row, got an empty one")
        labels, classes = _numbers(list(columns[label]))
        place = root if root is not None else Path(table).parent if is_path else "."
        super().__init__(place, names, labels, settings.pop("classes", classes), **settings)


class _Cache:
    """The first images that fit into a number of bytes.

    An epoch in a new order uses each image once: of the images used last, few would be found again.
    """

    def __init__(self, limit: int) -> None:
        self.limit = int(limit)
        self.bytes = 0
        self.images: dict[str, NDArray[Any]] = {}
        self.lock = threading.Lock()

    def get(self, name: str) -> NDArray[Any] | None:
        return self.images.get(name)

    def put(self, name: str, image: NDArray[Any]) -> None:
        with self.lock:
            if self.bytes + image.nbytes > self.limit or name in self.images:
                return
            image.flags.writeable = False
            self.images[name] = image
            self.bytes += image.nbytes


def _read_table(path: Path) -> dict[str, list[str]]:
    with open_table(path, "utf-8-sig") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise ValueError(f"{path}: expected a CSV file with a line of names of its columns, got an empty one")
    wrong = next((i for i, row in enumerate(rows) if row and len(row) != len(rows[0])), None)
    if wrong is not None:
        raise ValueError(f"{path}:{wrong + 1}: expected {len(rows[0])} values, got {len(rows[wrong])}")
    return {name: [row[i] for row in rows[1:] if row] for i, name in enumerate(rows[0])}


def _numbers(values: list[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Labels as numbers, and the names of the classes where they are texts."""
    texts = [str(value) for value in values]
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        classes = tuple(sorted(set(texts)))
        return np.array([classes.index(text) for text in texts], np.int64), classes
    return (numbers.astype(np.int64) if (numbers == np.rint(numbers)).all() else numbers), ()
