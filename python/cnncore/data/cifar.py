# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 from its binary or Python files, from their archives, or from images."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import check_path, open_regular
from .arrays import Pair, Split, as_dtype, check_dtype
from .fetch import fetch
from .folder import image_split

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_PIXELS = 3 * 32 * 32
_PARTS = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"])
_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_INSIDE = (".", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar10", "cifar-10")
_MAX_BYTES = 1 << 28
"""More than the data set: 184 million bytes."""


def cifar10(root: str | os.PathLike[str], download: bool = False, dtype: Any = "float32") -> Split:
    """Return CIFAR-10: 50,000 and 10,000 colour images of 32x32 pixels in ten classes.

    Args:
        root: a folder with the binary files (``data_batch_1.bin``, ...), the Python files (``data_batch_1``,
            ...), one of the two original archives, or a zip file with "cifar" in its name; or such an archive
            or zip file itself; or a folder of images. Zip files and folders of images hold
            ``train|test/<class>/<image>``.
        download: fetch the binary archive into `root` if nothing is there, and check its digest.
        dtype: "float32" (0 to 1) or "uint8" (0 to 255).

    Returns:
        ``(x, y), (x, y)``: train and test; x (samples, 3, 32, 32), y (samples,) int64, classes in the order
        of `CLASSES`, which is alphabetical.

    Raises:
        FileNotFoundError: the data are not there; says where to fetch them.
        ValueError: a damaged or different file; names it, what was expected and what came.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for part in ("train", "test"):
    ...     for name in CLASSES:
    ...         os.makedirs(os.path.join(folder, part, name))
    ...         np.save(os.path.join(folder, part, name, "1.npy"), np.zeros((3, 32, 32), np.uint8))
    >>> (x, y), (x_test, y_test) = cifar10(folder)
    >>> x.shape, CLASSES[y[9]]
    ((10, 3, 32, 32), 'truck')
    """
    name = check_dtype(dtype)
    root = Path(check_path(root, "the path of a folder or archive"))
    place = _locate(root)
    if place is None and download:
        place = root / _ARCHIVES[0]
        fetch(ADDRESS, place, SHA256)
    if place is None:
        raise FileNotFoundError(
            f"{root}: CIFAR-10 is not there. Fetch {ADDRESS} into it or pass download=True"
        )
    if place.is_dir() and not (place / "train").is_dir():
        files = {part: _file_in(place, part) for parts in _PARTS for part in parts}
        return _from_batches(lambda part: (str(files[part]), _content(files[part])), name)
    if place.is_file() and not zipfile.is_zipfile(place):
        return _from_batches(_archive(place), name)
    return _from_images(place, name)


def _locate(root: Path) -> Path | None:
    """Return the folder, archive or zip file that holds the data."""
    if root.is_file():
        return root
    for folder in (root / inside for inside in _INSIDE):
        if any((folder / f"data_batch_1{suffix}").is_file() for suffix in ("", ".bin")):
            return folder
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return folder
        for archive in _ARCHIVES:
            if (folder / archive).is_file():
                return folder / archive
    zips = sorted(root.glob("*[cC][iI][fF][aA][rR]*.zip"))
    return zips[0] if zips else None


def _file_in(folder: Path, part: str) -> Path:
    for path in (folder / f"{part}.bin", folder / part):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder / part}[.bin]: this file of CIFAR-10 is missing. Fetch {ADDRESS}")


def _content(path: Path) -> bytes:
    with open_regular(path) as file:
        return _limited(file.read(_MAX_BYTES + 1), path)


def _limited(content: bytes, path: Path) -> bytes:
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path}: expected at most {_MAX_BYTES} bytes of CIFAR-10, got more")
    return content


def _archive(path: Path) -> Callable[[str], tuple[str, bytes]]:
    """Return a function from a part's name to (what to call it, its content)."""
    contents: dict[str, bytes] = {}
    wanted = {part for parts in _PARTS for part in parts}
    try:
        with open_regular(path) as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            with gzip.GzipFile(fileobj=plain) if packed else plain as file:
                # Unpacked as a whole: tarfile alone would read headers of any length into memory.
                content = file.read(_MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a valid archive of CIFAR-10: {error}") from None
    _limited(content, path)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                part = PurePosixPath(member.name).name.removesuffix(".bin")
                if part in wanted and member.isreg():
                    extracted = archive.extractfile(member)
                    contents[part] = extracted.read() if extracted else b""
    except Exception as error:  # a damaged header can make tarfile raise anything
        raise ValueError(f"{path}: not a valid archive of CIFAR-10: {error}") from None
    missing = sorted(wanted - set(contents))
    if missing:
        raise ValueError(f"{path}: expected CIFAR-10's files, missing {', '.join(missing)}")
    return lambda part: (f"{path}:{part}", contents[part])


def _from_batches(read: Callable[[str], tuple[str, bytes]], dtype: str) -> Split:
    def join(parts: list[str]) -> Pair:
        images, labels = zip(*(_parse(*read(part)) for part in parts), strict=True)
        return as_dtype(np.concatenate(images), dtype), np.concatenate(labels)

    return join(_PARTS[0]), join(_PARTS[1])


def _parse(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    is_pickle = content[:1] in (b"\x80", b"(") and len(content) % (1 + _PIXELS) != 0
    images, labels = _parse_python(name, content) if is_pickle else _parse_binary(name, content)
    if labels.size and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ValueError(f"{name}: expected labels from 0 to 9, got {labels.min()} to {labels.max()}")
    return images.reshape(-1, 3, 32, 32), labels


def _parse_binary(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not content or len(content) % (1 + _PIXELS):
        raise ValueError(
            f"{name}: expected records of {1 + _PIXELS} bytes (a label and {_PIXELS} pixels), "
            f"got {len(content)} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.int64)


def _parse_python(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        _check_pickle(content)
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except MemoryError:
        raise ValueError(
            f"{name}: not a valid Python batch of CIFAR-10: sizes beyond this machine's memory"
        ) from None
    except Exception as error:  # a hostile pickle can make the unpickler raise anything
        raise ValueError(f"{name}: not a valid Python batch of CIFAR-10: {error}") from None
    fields = {_text(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
    images, labels = fields.get("data"), fields.get("labels")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (_PIXELS,):
        raise ValueError(
            f"{name}: expected 'data' to be uint8 rows of {_PIXELS} pixels, got {_describe(images)}"
        )
    if not isinstance(labels, list) or len(labels) != len(images) or not all(type(n) is int for n in labels):
        raise ValueError(f"{name}: expected 'labels' to be {len(images)} integers, got {_describe(labels)}")
    if labels and not 0 <= min(labels) <= max(labels) < len(CLASSES):
        raise ValueError(f"{name}: expected labels from 0 to 9, got others")
    return images, np.array(labels, dtype=np.int64)


def _check_pickle(content: bytes) -> None:
    """Raise for a pickle that could take memory or time out of proportion to its length.

    The unpickler makes room for every number that an object is remembered by, and a tuple that is remembered
    can be made to hold itself twice over and over: its hash would take 2**n steps.
    """
    before, index = "", 0
    tuples: set[int] = set()
    for operations, (operation, value, _) in enumerate(pickletools.genops(content)):
        name = operation.name
        if name in ("DUP", "POP", "POP_MARK"):
            raise pickle.UnpicklingError(f"expected a dict of arrays and lists, got the operation {name}")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = index if name == "MEMOIZE" else int(value or 0)
            if index > operations:
                raise pickle.UnpicklingError(f"expected object {index} to be among {operations}")
            if before.startswith("TUPLE"):
                tuples.add(index)
            index += 1
        if name in ("GET", "BINGET", "LONG_BINGET") and int(value or 0) in tuples:
            raise pickle.UnpicklingError("expected a dict of arrays and lists, got a tuple used twice")
        before = name


class _Unpickler(pickle.Unpickler):
    """Makes dicts, lists, numbers, texts and numpy arrays, and calls nothing else, whatever the file says."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if module == "numpy" and name == "dtype":
            return np.dtype
        if module == "numpy" and name == "ndarray":
            return "ndarray"  # an argument of _reconstruct; a class here could be called with any size
        raise pickle.UnpicklingError(f"expected only numpy arrays, got {module}.{name}, which is not loaded")


def _empty_array(*_: Any) -> NDArray[Any]:
    """Return the array that its pickled state then fills."""
    return np.empty(0, np.uint8)


def _text(key: Any) -> str:
    return key.decode("ascii", "replace") if isinstance(key, bytes) else str(key)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__


def _from_images(root: Path, dtype: str) -> Split:
    train, test = image_split(root, 3, dtype)
    if train.classes != CLASSES or train.x.shape[2:] != (32, 32):
        raise ValueError(
            f"{root}: expected 32 x 32 images of {', '.join(CLASSES)}; "
            f"got {train.x.shape[2]} x {train.x.shape[3]} of {', '.join(train.classes)}"
        )
    return train, test
