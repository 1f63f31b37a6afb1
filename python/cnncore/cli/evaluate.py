# SPDX-License-Identifier: Apache-2.0
"""`cnncore evaluate`."""

from __future__ import annotations

import argparse
import time

import numpy as np

from .. import data
from . import model_file
from .datasets import Images, read
from .output import print_result


def run(options: argparse.Namespace) -> None:
    """Print the accuracy of a saved model on a data set's test images."""
    model, description = model_file.load(options.model)
    name = options.dataset or description.dataset
    if not name:
        raise ValueError(f"{options.model} does not name its data: say which, cnncore evaluate MODEL DATASET")
    images = read(name, options, description.image[1:])
    _check(images, description)
    loader = data.DataLoader(images.test, options.batch_size, transform=description.normalise, workers=1)
    right = 0
    started = time.perf_counter()
    for x, y in loader:
        right += int(np.count_nonzero(np.asarray(model(x)).argmax(axis=1) == y))
    seconds = time.perf_counter() - started
    count = len(images.test[1])
    print_result(
        options,
        f"accuracy {right / count:.2%} ({right:,} of {count:,} test images of {name}), "
        f"{count / seconds:,.0f} images/s",
        {
            "model": options.model,
            "dataset": name,
            "accuracy": right / count,
            "images": count,
            "images_per_second": count / seconds,
        },
    )


def _check(images: Images, description: model_file.Description) -> None:
    if images.classes != description.classes:
        raise ValueError(
            f"expected the model's classes {', '.join(description.classes)}; "
            f"{images.name} has {', '.join(images.classes)}"
        )
    if images.test[0].shape[1:] != description.image:
        raise ValueError(
            f"expected images (channels, height, width) of {description.image}, "
            f"{images.name} has {images.test[0].shape[1:]}"
        )
