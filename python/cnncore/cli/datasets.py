# SPDX-License-Identifier: Apache-2.0
"""Data sets by the names that commands take, as uint8 images."""

from __future__ import annotations

import argparse
import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import data
from ..data.cifar import CLASSES
from .model_file import channel_moments


class Part(data.Dataset):
    """Some of the samples of a data set of images and labels.

    Args:
        samples: whose batches begin with images.
        labels: the class numbers of all of them.
        chosen: the numbers of the samples, or a mask; None for all.
    """

    def __init__(self, samples: data.Dataset, labels: NDArray[np.int64], chosen: Any = None) -> None:
        super().__init__()
        mask = np.ones(len(labels), bool) if chosen is None else np.asarray(chosen)
        self.samples, self.all_labels = samples, labels
        self.numbers = np.flatnonzero(mask) if mask.dtype == bool else mask
        self.labels = labels[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.samples[int(self.numbers[index])][0], self.labels[index]

    def batch(self, indices: Any) -> tuple[NDArray[Any], ...]:
        return self.samples.batch(self.numbers[indices])[0], self.labels[indices]

    def take(self, mask: NDArray[np.bool_]) -> Part:
        """Return the part of this part that a mask chooses."""
        return Part(self.samples, self.all_labels, self.numbers[mask])


@dataclass(frozen=True)
class Images:
    """Images (channels, height, width), uint8, with class numbers."""

    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part
    image: tuple[int, int, int]
    """Channels, height and width."""
    mean: tuple[float, ...]
    """Of each channel of the training images, of pixels from 0 to 1."""
    std: tuple[float, ...]
    validation: Part | None = None
    """A part that is neither trained nor tested on, where there is one."""
    fit: str = "stretch"
    """How images of other proportions become so."""
    prepared: bool = True
    """Whether they had this size, and so may be other than photos."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Files that could not be read, and why."""

    @property
    def parts(self) -> list[Part]:
        """The parts that there are: train, test, validation."""
        return [part for part in (self.train, self.test, self.validation) if part is not None]


def read(name: str, options: argparse.Namespace) -> Images:
    """Return one of the data sets that have names.

    Args:
        name: "digits", "mnist" or "cifar10".
        options: `data` and `download` as on the command line.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    if name == "digits":
        return _images(name, data.digits(dtype="uint8"), _numbered(10))
    if options.data is None:
        raise ValueError(
            f"{name} is read from a folder: say which with --data DIR (--download fetches it there)"
        )
    if name == "mnist":
        split = data.mnist(options.data, download=options.download, dtype="uint8")
        return _images(name, split, _numbered(int(max(split[0][1].max(), split[1][1].max())) + 1))
    return _images(name, data.cifar10(options.data, download=options.download, dtype="uint8"), CLASSES)


NAMES = ("digits", "mnist", "cifar10")


def check_folder(name: str) -> None:
    """Raise where there is neither a data set of that name nor a folder or file."""
    if name not in NAMES and not os.path.exists(name):
        raise ValueError(f"expected digits, mnist, cifar10 or a folder or zip file of images, got {name!r}")
    is_zip = os.path.isfile(name) and zipfile.is_zipfile(name)  # what has no end would be read for ever
    if name not in NAMES and not os.path.isdir(name) and not is_zip:
        raise ValueError(
            f"{name}: expected a folder or zip file of images in folders by class, got another file"
        )


def _images(name: str, split: Any, classes: tuple[str, ...]) -> Images:
    (x, y), test = split
    channels, height, width = x.shape[1:]
    mean, std = channel_moments(x)
    parts = [Part(data.Dataset(*arrays), arrays[1]) for arrays in ((x, y), test)]
    return Images(name, classes, parts[0], parts[1], (channels, height, width), mean, std)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
