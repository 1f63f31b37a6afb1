# SPDX-License-Identifier: Apache-2.0
"""Images in folders named by their class, on disk or inside a zip file."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import as_dtype, check_dtype
from .images import EXTENSIONS, decode_fitted, missing_codec, with_channels
from .resizing import check_size
from .sources import Source, open_source

_IMAGES_PER_TASK = 128
_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("test", "testing")
_VALIDATION_NAMES = ("val", "valid", "validation")


class _Arrays(NamedTuple):
    x: NDArray[Any]
    y: NDArray[np.int64]


class ImageArrays(_Arrays):
    """The tuple ``(x, y)`` with the names of the classes.

    Attributes:
        x: images (samples, channels, height, width).
        y: class numbers (samples,), int64.
        classes: the classes' names; class number i is ``classes[i]``.

    >>> images = ImageArrays(np.zeros((2, 1, 4, 4)), np.array([0, 1]))
    >>> images.classes = ("cat", "dog")
    >>> x, y = images
    >>> [images.classes[number] for number in y]
    ['cat', 'dog']
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
    place. Files are decoded in threads; formats other than PGM, PPM and NPY need Pillow, HEIC also
    pillow-heif. A warning names folders beside the classes that hold no images, and images of a format that
    cannot be read.

    Args:
        path: a folder or a zip file; one folder around the whole is passed over.
        size: (height, width) to resize every image to; without it all must have the size of the first.
        channels: 1 or 3; by default 1 if all images are grey, else 3.
        dtype: "float32" (0 to 1) or "uint8" (0 to 255).

    Returns:
        An `ImageArrays` ``(x, y)``, or ``(train, test)``, two of them, where the path has those folders:
        "train" or "training", and "test", "testing" or, where there is none, "val", "valid" or "validation",
        in upper or lower case. Where it has only one of them, ``(x, y)`` of that.

    Raises:
        FileNotFoundError: no such folder or file.
        OSError: a folder or file that cannot be read.
        ValueError: no images, one class, images of different sizes, damaged files, test classes unknown to
            train.

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("cat", "dog"):
    ...     os.mkdir(os.path.join(folder, name))
    ...     np.save(os.path.join(folder, name, "1.npy"), np.zeros((4, 4), np.uint8))
    >>> images = image_folder(folder)
    >>> images.x.shape, images.y.tolist(), images.classes
    ((2, 1, 4, 4), [0, 1], ('cat', 'dog'))
    """
    dtype = check_dtype(dtype)
    size = None if size is None else check_size(size)
    parts, classes = labelled_files(path)
    with open_source(path) as source:
        files = [image.name for part in parts for image in part]
        images = as_dtype(_read_all(source, files, size, channels), dtype)
    numbers = {label: number for number, label in enumerate(classes)}
    result: list[ImageArrays] = []
    start = 0
    for part in parts:
        labels = np.array([numbers[image.label] for image in part], dtype=np.int64)
        arrays = ImageArrays(images[start : start + len(part)], labels)
        arrays.classes = tuple(classes)
        result.append(arrays)
        start += len(part)
    return tuple(result) if len(result) > 1 else result[0]


def labelled_files(path: str | os.PathLike[str]) -> tuple[list[list[LabelledFile]], list[str]]:
    """Return the images of a folder or zip file, or those of train and those of test, and the classes' names.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no images, one class, test classes unknown to train.
    """
    with open_source(path) as source:
        name = os.fsdecode(path)
        parts = image_parts(source, name)
    test = parts.get("test", parts.get("validation"))
    files = [parts["train"]] if test is None else [parts["train"], test]
    return files, check_classes(name, files)


def check_classes(name: str, parts: Sequence[Sequence[LabelledFile]]) -> list[str]:
    """Return the classes of the first of several parts, or raise where there is one, or others know more."""
    classes = sorted({image.label for image in parts[0]})
    for part in parts[1:]:
        for image in part:
            if image.label not in classes:
                raise ValueError(f"{name}: expected test classes among {classes}, got {image.label!r}")
    if len(classes) < 2:
        raise ValueError(
            f"{name}: expected a folder for each of at least two classes, got only {classes[0]!r}"
        )
    return classes


def image_split(path: str | os.PathLike[str], channels: int, dtype: str) -> tuple[ImageArrays, ImageArrays]:
    """Return train and test of a folder or zip file that must have both."""
    parts = image_folder(path, channels=channels, dtype=dtype)
    if isinstance(parts, ImageArrays):
        raise ValueError(f"{os.fspath(path)}: expected train|test/<class>/<image>, got <class>/<image>")
    train, test = parts
    return train, test


class LabelledFile(NamedTuple):
    """An image file."""

    name: str
    """The path inside the folder or zip file."""
    label: str
    """The class."""


def _part_name(name: str) -> str:
    """Return "train" or the kind of test that a folder's name says, "" for another name.

    >>> _part_name("Training"), _part_name("VAL"), _part_name("cat")
    ('train', 'val', '')
    """
    lower = name.lower()
    return "train" if lower in _TRAIN_NAMES else lower if lower in (*_TEST_NAMES, *_VALIDATION_NAMES) else ""


def image_parts(source: Source, path: str) -> dict[str, list[LabelledFile]]:
    """Return the images of "train", "test" and "validation"; warn of what is left out.

    Where there is but one of them, or none, all images are those of "train".
    """
    files, folders = source.names()
    paths = [(name, PurePosixPath(name).parts) for name in _readable(files, path)]
    around = _wrappers([parts for _, parts in paths])
    inside = [(name, parts[around:]) for name, parts in paths]
    nested = {_part_name(parts[0]) for _, parts in inside if len(parts) >= 3} - {""}
    kinds = {"train": "train"} if "train" in nested else {}
    for part, names in (("test", _TEST_NAMES), ("validation", _VALIDATION_NAMES)):
        found = [name for name in names if name in nested]
        if found:
            kinds[part] = found[0]
    only_parts = all(_part_name(parts[0]) for _, parts in inside)
    if len(kinds) > 1 and "train" in kinds:
        depth = 1
        groups = {
            part: [
                (name, parts) for name, parts in inside if len(parts) >= 3 and _part_name(parts[0]) == kind
            ]
            for part, kind in kinds.items()
        }
    else:
        depth = 1 if only_parts else 0
        groups = {"train": [(name, parts) for name, parts in inside if len(parts) >= depth + 2]}
    if not groups["train"]:
        raise ValueError(
            f"{path}: expected images as <class>/<image> or train|test/<class>/<image>, got "
            + (f"{paths[0][0]!r} outside any class" if paths else "no images")
        )
    classes = {
        PurePosixPath(name).parts[: around + depth + 1] for group in groups.values() for name, _ in group
    }
    tops = {place[:-1] for place in classes}
    empty = [
        folder
        for folder in folders
        if (place := PurePosixPath(folder).parts)[:-1] in tops and place not in classes
    ]
    if empty:
        _warn(
            f"{path}: no images in {_some(empty)}, which {'are no classes' if empty[1:] else 'is no class'}",
            frames=2,
        )
    return {
        part: [LabelledFile(name, parts[depth]) for name, parts in group] for part, group in groups.items()
    }


def _readable(files: list[str], path: str) -> list[str]:
    """Return the names of images; warn of those of a format that cannot be read here."""
    images = [name for name in files if _is_image(name)]
    codecs = {name: codec for name in images if (codec := missing_codec(_extension(name)))}
    if codecs:
        needed = " ".join(f"'{codec}'" for codec in sorted(set(codecs.values())))
        _warn(
            f"{path}: {len(codecs)} of {len(images)} images are left out, since their format cannot be read "
            f"here: {_some(list(codecs))}; pip install {needed}, or convert them to JPEG",
            frames=3,
        )
    return [name for name in images if name not in codecs]


def _warn(text: str, frames: int) -> None:
    """Warn at the line that called the public function, so many frames above the caller."""
    warnings.warn(text, UserWarning, stacklevel=2 + frames)


def _some(names: list[str]) -> str:
    """Return at most three names as text."""
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_image(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return _extension(name) in EXTENSIONS and not hidden


def _wrappers(paths: list[tuple[str, ...]]) -> int:
    """Return how many folders enclose everything and are no class or part.

    >>> _wrappers([("pets", "cat", "1.png"), ("pets", "dog", "1.png")])
    1
    """
    if not paths:
        return 0
    first, last = min(paths), max(paths)
    count = 0
    for one, other in zip(first[: max(0, min(map(len, paths)) - 2)], last, strict=False):
        if one != other or _part_name(one):
            break
        count += 1
    return count


def _read_all(
    source: Source, files: list[str], size: tuple[int, int] | None, channels: int | None
) -> NDArray[np.uint8]:
    first = _read_one(source, files[0], size)
    if channels is not None:
        return _read_into(source, files, first.shape[1:], channels, size is not None)
    try:
        return _read_into(source, files, first.shape[1:], first.shape[0], size is not None, keep_colour=True)
    except _Colour:
        return _read_into(source, files, first.shape[1:], 3, size is not None)


def _read_one(source: Source, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    return decode_fitted(source.read(name), source.label(name), size, "stretch")


def _read_into(
    source: Source,
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
                    f"first image, got {image.shape[1]} x {image.shape[2]}; size=(height, width) resizes all "
                    "(--size HEIGHTxWIDTH on the command line)"
                )
            images[index] = with_channels(image, channels)

    with ThreadPoolExecutor(decoding_threads(), thread_name_prefix="cnncore-images") as pool:
        try:
            for future in [pool.submit(read, start) for start in range(0, len(files), _IMAGES_PER_TASK)]:
                future.result()
        except BaseException:
            failed.set()
            raise
    return images


def decoding_threads() -> int:
    """Return how many threads decode images."""
    try:
        return max(1, min(16, len(os.sched_getaffinity(0))))
    except AttributeError:
        return max(1, min(16, os.cpu_count() or 1))
