# SPDX-License-Identifier: Apache-2.0
"""`cnncore evaluate`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import data
from ..data.folder import LabelledFile, image_parts
from ..data.sources import open_source
from ..train.metrics import ConfusionMatrix
from . import datasets, model_file
from .answers import answers, reason
from .datasets import Images
from .model_file import Description
from .output import UsageError, print_result
from .photos import Wanted, left_out_rows, read_photos, report_left_out
from .report import class_rows, class_table, matrix_text, mean_row

_BATCH = 256


@dataclass
class Score:
    """What a model answers on labelled images."""

    what: str
    matrix: NDArray[np.int64]
    """(classes, classes), true class by answer."""
    seconds: float
    left_out: Sequence[tuple[str, str]] = ()
    mistakes: Sequence[tuple[str, str, str]] = ()
    """File, true class and answer of each image that was taken for another class."""
    of_classes: bool = True
    """Whether the figures of classes are shown."""


def run(options: argparse.Namespace) -> None:
    """Print the accuracy of a saved model on images, and the figures of each class."""
    model, description = model_file.load(options.model)
    if options.dataset is not None and options.dataset not in datasets.NAMES:
        datasets.check_folder(options.dataset)
        score = _folder(options, model, description)
    else:
        score = _test_images(options, model, description)
    count, right = int(score.matrix.sum()), int(np.trace(score.matrix))
    rows = class_rows(score.matrix, description.classes)
    lines = [
        f"accuracy {right / count:.2%} ({right:,} of {count:,} {score.what}), "
        f"{count / score.seconds:,.0f} images/s"
    ]
    if score.of_classes:
        lines[:0] = [class_table(rows), "", matrix_text(score.matrix, description.classes), ""]
    if options.mistakes:
        lines[:0] = [*(f"{file}: {true}, taken for {said}" for file, true, said in score.mistakes), ""]
    result = {
        "model": options.model,
        "dataset": options.dataset or description.dataset,
        "accuracy": right / count,
        "images": count,
        "images_per_second": count / score.seconds,
        "classes": rows,
        "mean": mean_row(rows),
        "confusion_matrix": score.matrix.tolist(),
        "left_out": left_out_rows(score.left_out),
    }
    if options.mistakes:
        result["mistakes"] = [
            {"file": file, "class": true, "answer": said} for file, true, said in score.mistakes
        ]
    print_result(options, "\n".join(lines), result)


def _test_images(options: argparse.Namespace, model: Any, description: Description) -> Score:
    """Score the test images of a data set with a name, or of the folder the model was trained on."""
    name = options.dataset or description.dataset
    if not name:
        raise ValueError(f"{options.model} does not name its data: say which, cnncore evaluate MODEL DATASET")
    if options.mistakes:
        raise UsageError("--mistakes names the files of a folder: cnncore evaluate MODEL FOLDER --mistakes")
    if name in datasets.NAMES:
        images = datasets.read(name, options)
    elif not os.path.exists(name):
        raise ValueError(
            f"{name}, which {options.model} was trained on, is not here: say which images to score"
        )
    else:
        mean, std = description.mean, description.std
        size, channels = description.image[1:], description.image[0]
        images = read_photos(name, Wanted(size, description.fit, channels, mean, std), quiet=True)
    _check(images, description)
    loader = data.DataLoader(images.test, _BATCH, transform=description.normalise, workers=1)
    counted = ConfusionMatrix(len(images.classes))
    started = time.perf_counter()
    for x, y in loader:
        counted.update(np.asarray(model(x)), y)
    seconds = time.perf_counter() - started
    is_folder = name not in datasets.NAMES
    return Score(f"test images of {name}", counted.result(), seconds, images.left_out, of_classes=is_folder)


def _folder(options: argparse.Namespace, model: Any, description: Description) -> Score:
    """Score all images of a folder, or those of its test part, file by file."""
    name = options.dataset
    numbers = {label: number for number, label in enumerate(description.classes)}
    matrix = np.zeros((len(numbers), len(numbers)), np.int64)
    left_out: list[tuple[str, str]] = []
    mistakes: list[tuple[str, str, str]] = []
    with open_source(name) as source:
        parts = image_parts(source, name)
        part = next(kind for kind in ("test", "validation", "train") if kind in parts)
        _check_classes(name, {file.label for file in parts[part]}, description)

        def read(file: LabelledFile) -> tuple[bytes, str]:
            return source.read(file.name), source.label(file.name)

        started = time.perf_counter()
        for file, output in answers(model, description, parts[part], read, options.batch_size):
            path = source.label(file.name)
            if isinstance(output, Exception):
                left_out.append((path, reason(output, path)))
                continue
            true, said = numbers[file.label], int(output.argmax())
            matrix[true, said] += 1
            if true != said:
                mistakes.append((path, file.label, description.classes[said]))
        seconds = time.perf_counter() - started
    report_left_out(left_out, len(parts[part]))
    if not matrix.any():
        raise ValueError(f"{name}: expected images that can be read, got none")
    if part != "train":
        print(f"{name}: scored are the images in its {part} folder", file=sys.stderr)
    elif os.path.abspath(name) == os.path.abspath(description.dataset):
        print(
            f"{name}: the model was trained on most of these images; those that were kept for the test are "
            f"scored by `cnncore evaluate {options.model}`",
            file=sys.stderr,
        )
    return Score(f"images of {name}", matrix, seconds, left_out, mistakes)


def _check_classes(name: str, found: set[str], description: Description) -> None:
    unknown = sorted(found - set(description.classes))
    if unknown:
        raise ValueError(
            f"{name}: expected the model's classes {', '.join(description.classes)}; {name} has "
            f"{', '.join(unknown)}"
        )


def _check(images: Images, description: Description) -> None:
    if images.classes != description.classes:
        raise ValueError(
            f"expected the model's classes {', '.join(description.classes)}; "
            f"{images.name} has {', '.join(images.classes)}"
        )
    if images.image != description.image:
        raise ValueError(
            f"expected images (channels, height, width) of {description.image}, "
            f"{images.name} has {images.image}"
        )
