# SPDX-License-Identifier: Apache-2.0
"""Data of the examples: real sets from the folder that CNNCORE_DATA names, else the digits of the package.

Also their options, and the pictures that they write.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from cnncore import data
from cnncore.viz import png

Split = tuple[tuple[Any, Any], tuple[Any, Any]]


def quick_option() -> bool:
    """Whether the command line has --quick: the digits of the package, and seconds of training."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="some seconds on the digits of the package")
    return bool(parser.parse_args().quick)


def options(epochs: int | None = None) -> dict[str, Any]:
    """The command line as arguments of `main`: --quick, --picture and, beside a number of them, --epochs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="some seconds, without files of data")
    parser.add_argument("--picture", metavar="FILE", help="write what is found as a PNG file")
    if epochs is not None:
        parser.add_argument("--epochs", type=int, default=epochs, help=f"by default {epochs}")
    return vars(parser.parse_args())


def mnist(quick: bool) -> Split:
    """Images (samples, 1, 28, 28) from 0 to 1 and class numbers, for training and test."""
    folder = None if quick else located("mnist")
    return digits(28) if folder is None else data.mnist(folder)


def cifar10(quick: bool) -> Split:
    """Images (samples, 3, 32, 32), uint8, and class numbers, for training and test."""
    folder = None if quick else located("cifar10-jpeg.zip")
    if folder is not None:
        return data.cifar10(folder, dtype="uint8")
    (x, y), (x_test, y_test) = digits(32)
    colours = [np.repeat(np.uint8(np.rint(255 * images)), 3, 1) for images in (x, x_test)]
    return (colours[0], y), (colours[1], y_test)


def digits(size: int) -> Split:
    """The digits of the package, enlarged to `size` x `size`."""
    (x, y), (x_test, y_test) = data.digits()
    return (data.resize(x, (size, size)), y), (data.resize(x_test, (size, size)), y_test)


def located(name: str) -> Path | None:
    """The file or folder of this name in the folder that CNNCORE_DATA names; None where there is none."""
    root = os.environ.get("CNNCORE_DATA")
    path = Path(root) / name if root else None
    return path if path is not None and path.exists() else None


def save_picture(path: str | None, images: Any, columns: int = 8, scale: int = 2, right: Any = None) -> None:
    """Write a sheet of images as a PNG file; without a path, nothing.

    Args:
        path: of the file.
        images: (count, 1 or 3, height, width) from 0 to 1.
        columns: images of a row.
        scale: pixels on each axis for one of an image.
        right: (count,), True for those that have a green frame instead of a red one; None: white ones.
    """
    if path is None:
        return
    count, _, height, width = images.shape
    rows, border = -(-count // columns), 2
    sheet = np.ones((rows * columns, 3, scale * height + 2 * border, scale * width + 2 * border), np.float32)
    if right is not None:
        colours = np.where(np.asarray(right)[:, None], [0.1, 0.6, 0.2], [0.9, 0.1, 0.1])
        sheet[:count] = colours[:, :, None, None]
    sheet[:count, :, border:-border, border:-border] = images.repeat(scale, 2).repeat(scale, 3)
    height, width = sheet.shape[2:]
    pixels = sheet.reshape(rows, columns, 3, height, width).transpose(0, 3, 1, 4, 2)
    pixels = pixels.reshape(rows * height, columns * width, 3).clip(0, 1)
    Path(path).write_bytes(png.encode(np.rint(255 * pixels).astype(np.uint8)))
