# SPDX-License-Identifier: Apache-2.0
"""`cnncore predict`."""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

from .. import data, ops
from . import model_file
from .output import print_result


def run(options: argparse.Namespace) -> None:
    """Print the likeliest classes of image files."""
    model, description = model_file.load(options.model)
    channels, height, width = description.image
    told = options.json
    for path in options.images:
        if os.path.isdir(path):
            raise ValueError(f"{path}: expected an image file, got a folder; name its files: {path}/*")
        image = data.read_image(path)
        if image.shape != description.image and not told:
            told = True
            print(
                f"{path}: {_size(image.shape)} is converted to the network's {_size(description.image)}; "
                "so are others that differ",
                file=sys.stderr,
            )
        fitted = data.with_channels(data.resize(image, (height, width)), channels)
        logits = model.predict(description.normalise(fitted[None]))
        probabilities = np.asarray(ops.softmax(logits, 1))[0]
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        ranked = [(description.classes[index], float(probabilities[index])) for index in best]
        print_result(
            options,
            f"{path}: " + ", ".join(f"{name} {probability:.2%}" for name, probability in ranked),
            {
                "file": path,
                "class": ranked[0][0],
                "probability": ranked[0][1],
                "top": [{"class": name, "probability": probability} for name, probability in ranked],
            },
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{'grey' if shape[0] == 1 else 'colour'} {shape[1]}x{shape[2]}"
