# SPDX-License-Identifier: Apache-2.0
"""Data sets by the names that commands take, as uint8 images."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import data
from ..data.arrays import TEST_EVERY, every_fifth_of_each_class
from ..data.cifar import CLASSES


@dataclass(frozen=True)
class Images:
    """Train and test images (n, channels, height, width), uint8, with class numbers."""

    name: str
    train: tuple[NDArray[np.uint8], NDArray[np.int64]]
    test: tuple[NDArray[np.uint8], NDArray[np.int64]]
    classes: tuple[str, ...]


def read(name: str, options: argparse.Namespace, size: tuple[int, int] | None = None) -> Images:
    """Return a data set by its name or path.

    Args:
        name: "digits", "mnist", "cifar10", or a folder or zip file.
        options: `data` and `download` as on the command line.
        size: (height, width) for images in folders.

    Raises:
        ValueError, OSError: it cannot be read, or is no data set.
    """
    if name == "digits":
        return _images(name, data.digits(dtype="uint8"), _numbered(10))
    if name in ("mnist", "cifar10"):
        if options.data is None:
            raise ValueError(
                f"{name} is read from a folder: say which with --data DIR (--download fetches it there)"
            )
        if name == "mnist":
            split = data.mnist(options.data, download=options.download, dtype="uint8")
            return _images(name, split, _numbered(int(max(split[0][1].max(), split[1][1].max())) + 1))
        split = data.cifar10(options.data, download=options.download, dtype="uint8")
        return _images(name, split, CLASSES)
    if not os.path.exists(name):
        raise ValueError(f"expected digits, mnist, cifar10 or a folder or zip file of images, got {name!r}")
    found: Any = data.image_folder(name, size=size, dtype="uint8")
    if isinstance(found, data.ImageArrays):
        return _images(name, _split(found.x, found.y), found.classes)
    return _images(name, found, found[0].classes)


def _images(name: str, split: Any, classes: tuple[str, ...]) -> Images:
    train, test = split
    return Images(name, (train[0], train[1]), (test[0], test[1]), classes)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
    """Return train and test: every fifth image of each class is for the test."""
    test = every_fifth_of_each_class(labels)
    if not test.any():
        raise ValueError(f"expected at least {TEST_EVERY} images of some class, one of them for the test")
    return (images[~test], labels[~test]), (images[test], labels[test])
