# SPDX-License-Identifier: Apache-2.0
"""Data of the examples: real sets from the folder that CNNCORE_DATA names, else the digits of the package."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from cnncore import data

Split = tuple[tuple[Any, Any], tuple[Any, Any]]


def quick_option() -> bool:
    """Whether the command line has --quick: the digits of the package, and seconds of training."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="some seconds on the digits of the package")
    return bool(parser.parse_args().quick)


def mnist(quick: bool) -> Split:
    """Images (samples, 1, 28, 28) from 0 to 1 and class numbers, for training and test."""
    folder = None if quick else _folder("mnist")
    return digits(28) if folder is None else data.mnist(folder)


def cifar10(quick: bool) -> Split:
    """Images (samples, 3, 32, 32), uint8, and class numbers, for training and test."""
    folder = None if quick else _folder("cifar10-jpeg.zip")
    if folder is not None:
        return data.cifar10(folder, dtype="uint8")
    (x, y), (x_test, y_test) = digits(32)
    colours = [np.repeat(np.uint8(np.rint(255 * images)), 3, 1) for images in (x, x_test)]
    return (colours[0], y), (colours[1], y_test)


def digits(size: int) -> Split:
    """The digits of the package, enlarged to `size` x `size`."""
    (x, y), (x_test, y_test) = data.digits()
    return (data.resize(x, (size, size)), y), (data.resize(x_test, (size, size)), y_test)


def _folder(name: str) -> Path | None:
    root = os.environ.get("CNNCORE_DATA")
    path = Path(root) / name if root else None
    return path if path is not None and path.exists() else None
