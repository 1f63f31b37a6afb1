# SPDX-License-Identifier: Apache-2.0
"""Images in folders named by their class, on disk or inside a zip file."""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import as_dtype, check_dtype
from .images import EXTENSIONS, decode, resize, with_channels

MAX_FILE_BYTES = 1 << 28
"""Larger files inside a zip are refused: a few bytes can unpack to gigabytes."""

_IMAGES_PER_TASK = 128
_TEST_NAMES = ("test", "val", "valid", "validation")


class _Arrays(NamedTuple):
    x: NDArray[Any]
    y: NDArray[np.int64]


class ImageArrays(_Arrays):
    """The tuple ``(x, y)`` with the names of the classes.

    Attributes:
        x: images (samples, channels, height, width).
        y: class numbers (samples,), int64.
        classes: the classes' names; class number i is ``classes[i]``.
    """

    classes: tuple[str, ...] = ()


class _Colour(Exception):  # noqa: N818 - a signal, not an error
    """A colour image came where all before were grey."""


def image_folder(
    path: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    dtype: Any = "float32",
) -> Any:
    """Read images from folders named by their class: ``<class>/<image>`` or ``train|test/<class>/<image>``.

    Classes are numbered in alphabetical order, images are in the order of their paths. A zip file is read in
    place. Files are decoded in threads; formats other than PGM, PPM and NPY need Pillow.

    Args:
        path: a folder or a zip file; one folder around the whole is passed over.
        size: (height, width) to resize every image to; without it all must have the size of the first.
        channels: 1 or 3; by default 1 if all images are grey, else 3.
        dtype: "float32" (0 to 1) or "uint8" (0 to 255).

    Returns:
        An `ImageArrays` ``(x, y)``, or ``(train, test)``, two of them, where the path has those folders.
        "val", "valid" and "validation" stand for "test" where there is none.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no images, images of different sizes, damaged files, test classes unknown to train.
    """
    dtype = check_dtype(dtype)
    source = _open(path)
    with source:
        names = _without_wrapper([name for name in source.names() if _is_image(name)])
        parts = _split([(name, PurePosixPath(short).parts) for name, short in names], os.fspath(path))
        classes = sorted({entry[1] for entry in parts[0]})
        for _, label in parts[-1]:
            if label not in classes:
                raise ValueError(f"{os.fspath(path)}: expected test classes among {classes}, got {label!r}")
        files = [name for part in parts for name, _ in part]
        images = as_dtype(_read_all(source, files, size, channels), dtype)
    numbers = {label: number for number, label in enumerate(classes)}
    result: list[ImageArrays] = []
    start = 0
    for part in parts:
        labels = np.array([numbers[label] for _, label in part], dtype=np.int64)
        arrays = ImageArrays(images[start : start + len(part)], labels)
        arrays.classes = tuple(classes)
        result.append(arrays)
        start += len(part)
    return tuple(result) if len(result) > 1 else result[0]


def image_split(path: str | os.PathLike[str], channels: int, dtype: str) -> tuple[ImageArrays, ImageArrays]:
    """Return train and test of a folder or zip file that must have both."""
    parts = image_folder(path, channels=channels, dtype=dtype)
    if isinstance(parts, ImageArrays):
        raise ValueError(f"{os.fspath(path)}: expected train|test/<class>/<image>, got <class>/<image>")
    train, test = parts
    return train, test


class _Folder:
    """Files under a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def names(self) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.path, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = Path(folder).relative_to(self.path)
            found += [(inside / name).as_posix() for name in files]
        return sorted(found)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def label(self, name: str) -> str:
        """Return what to call a file in errors."""
        return str(self.path / name)


class _Zip:
    """Files inside a zip file. Any number of threads may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: not a valid zip file: {error}") from None

    def __enter__(self) -> _Zip:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def names(self) -> list[str]:
        return sorted({info.filename for info in self.file.infolist() if not info.is_dir()})

    def read(self, name: str) -> bytes:
        info = self.file.getinfo(name)
        if info.file_size > MAX_FILE_BYTES:
            raise ValueError(
                f"{self.label(name)}: expected at most {MAX_FILE_BYTES} bytes, got {info.file_size}"
            )
        try:
            return self.file.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"{self.label(name)}: damaged in the zip file: {error}") from None

    def label(self, name: str) -> str:
        """Return what to call a file in errors."""
        return f"{self.path}:{name}"


def _open(path: str | os.PathLike[str]) -> _Folder | _Zip:
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a folder or zip file of images, there is none")
    return _Zip(path)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def _without_wrapper(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, name without a folder that encloses everything and is no class or part)."""
    short = list(names)
    while short and all(name.count("/") >= 2 for name in short):
        first = short[0].split("/", 1)[0]
        if first in ("train", *_TEST_NAMES) or any(name.split("/", 1)[0] != first for name in short):
            break
        short = [name.split("/", 1)[1] for name in short]
    return list(zip(names, short, strict=True))


def _split(entries: list[tuple[str, tuple[str, ...]]], path: str) -> list[list[tuple[str, str]]]:
    """Return (name, class) of all images, or those of train and those of test."""
    nested = [(name, parts) for name, parts in entries if len(parts) >= 3]
    tops = {parts[0] for _, parts in nested}
    test = next((name for name in _TEST_NAMES if name in tops), None)
    if "train" in tops and test:
        return [[(name, parts[1]) for name, parts in nested if parts[0] == top] for top in ("train", test)]
    flat = [(name, parts[0]) for name, parts in entries if len(parts) >= 2]
    if not flat:
        raise ValueError(
            f"{path}: expected images as <class>/<image> or train|test/<class>/<image>, got "
            + (f"{entries[0][0]!r} outside any class" if entries else "no images")
        )
    return [flat]


def _read_all(
    source: _Folder | _Zip, files: list[str], size: tuple[int, int] | None, channels: int | None
) -> NDArray[np.uint8]:
    first = _read_one(source, files[0], size)
    if channels is not None:
        return _read_into(source, files, first.shape[1:], channels, size is not None)
    try:
        return _read_into(source, files, first.shape[1:], first.shape[0], size is not None, keep_colour=True)
    except _Colour:
        return _read_into(source, files, first.shape[1:], 3, size is not None)


def _read_one(source: _Folder | _Zip, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    image = decode(source.read(name), source.label(name))
    if image.dtype != np.uint8:
        image = np.rint(image * 255).astype(np.uint8)
    return resize(image, size) if size is not None else image


def _read_into(
    source: _Folder | _Zip,
    files: list[str],
    extents: tuple[int, ...],
    channels: int,
    resized: bool,
    keep_colour: bool = False,
) -> NDArray[np.uint8]:
    """Decode all files, in threads; raise `_Colour` where colours would be lost and `keep_colour` is set."""
    images = np.empty((len(files), channels, *extents), dtype=np.uint8)
    failed = threading.Event()

    def read(start: int) -> None:
        for index in range(start, min(start + _IMAGES_PER_TASK, len(files))):
            if failed.is_set():
                return
            image = _read_one(source, files[index], (extents[0], extents[1]) if resized else None)
            if keep_colour and image.shape[0] > channels:
                raise _Colour
            if image.shape[1:] != extents:
                raise ValueError(
                    f"{source.label(files[index])}: expected {extents[0]} x {extents[1]} pixels like the "
                    f"first image, got {image.shape[1]} x {image.shape[2]}; size=(height, width) resizes all"
                )
            images[index] = with_channels(image, channels)

    with ThreadPoolExecutor(_threads(), thread_name_prefix="cnncore-images") as pool:
        try:
            for future in [pool.submit(read, start) for start in range(0, len(files), _IMAGES_PER_TASK)]:
                future.result()
        except BaseException:
            failed.set()
            raise
    return images


def _threads() -> int:
    try:
        return max(1, min(16, len(os.sched_getaffinity(0))))
    except AttributeError:
        return max(1, min(16, os.cpu_count() or 1))
