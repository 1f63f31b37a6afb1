# SPDX-License-Identifier: Apache-2.0
"""Model files: weights, and what is needed to build the network again and feed it images."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import io, model_file, nn
from ..data.preparation import ImagePreprocessing
from ..data.resizing import MAX_PIXELS, check_fit
from . import onnx_file
from .networks import build

_KEY = "cnncore"
SPEED = ("seconds", "images_per_second")
"""Figures of a training that differ between two runs of the same."""


@dataclass(frozen=True)
class Description:
    """What the weights belong to."""

    model: str
    classes: tuple[str, ...]
    image: tuple[int, int, int]
    """Channels, height and width."""
    mean: tuple[float, ...]
    """Of each channel, of pixels from 0 to 1."""
    std: tuple[float, ...]
    dataset: str
    test_accuracy: float
    fit: str = "stretch"
    """How images of other proportions become so: see `ImagePreprocessing`."""

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """What images, uint8 or from 0 to 1, go through before the network."""
        return ImagePreprocessing(self.image[1:], self.mean, self.std, self.fit)

    def normalise(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return images (n, channels, height, width) as the network takes them."""
        return self.preprocessing(images)


def channel_moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of uint8 images, as pixels from 0 to 1.

    >>> channel_moments(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    means, stds = [], []
    levels = np.arange(256) / 255
    for channel in range(images.shape[1]):
        shares = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean = float(shares @ levels)
        means.append(mean)
        # An image set of one colour would have 0, by which nothing can be divided.
        stds.append(float(np.sqrt(shares @ (levels - mean) ** 2)) or 1.0)
    return tuple(means), tuple(stds)


def save(
    path: str,
    model: nn.Module | Mapping[str, Any],
    description: Description,
    history: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Write a model file, from a model or its arrays, with the figures of its epochs for `cnncore report`.

    Those of speed are left out: the same training writes the same bytes. What was at `path` is replaced only
    once the new one is complete.
    """
    metadata = {_KEY: json.dumps(asdict(description))}
    if history:
        from ..train.callbacks.logs import scalars

        tables = {name: scalars({str(i): v for i, v in enumerate(rows)}) for name, rows in history.items()}
        figures = {name: [*rows.values()] for name, rows in tables.items() if rows and name not in SPEED}
        metadata["history"] = json.dumps(figures)
    io.save(model, path, metadata=metadata)


def keep_older(path: str) -> str | None:
    """Give the file at `path`, if there is one, a second name with a number, and return that.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> open(path, "w").close()
    >>> os.path.basename(keep_older(path))
    'm-1.safetensors'
    """
    if not os.path.isfile(path):
        return None
    stem, extension = os.path.splitext(path)
    for number in itertools.count(1):
        name = f"{stem}-{number}{extension}"
        if os.path.lexists(name):
            continue
        try:
            # A second name of the same contents: at no moment is there none.
            os.link(path, name)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            os.rename(path, name)
        return name
    return None


def load(path: str) -> tuple[nn.Module, Description]:
    """Return the network of a model file, in eval mode, and its description.

    Raises:
        ValueError: no model file of the command line or of `cc.save`, no ONNX file, or a damaged one.
    """
    if onnx_file.is_onnx(path):
        network, classes, image, mean, std = onnx_file.load(path)
        return network, Description("", classes, image, mean, std, "", float("nan"))
    about = model_file.read_about(path)
    if about is not None and "format" in about:
        return _from_python(path)
    description = describe(path)
    try:
        model = build(description.model, len(description.classes), description.image[0])
    except (ValueError, MemoryError) as error:
        raise ValueError(f"{path}: damaged description: {error}") from None
    io.load_into(model, path)
    model.eval()
    return model, description


def _from_python(path: str) -> tuple[nn.Module, Description]:
    """Return what `cc.save` wrote; commands need to know what images look like."""
    model: Any = model_file.load_model(path)
    prepare = model.preprocessing
    if not isinstance(prepare, ImagePreprocessing) or prepare.size is None:
        raise ValueError(
            f"{path}: does not say what images the model takes: cc.save(model, path, preprocessing="
            "cnncore.data.ImagePreprocessing(size=(32, 32), mean=[...], std=[...]))"
        )
    image = (prepare.channels, *prepare.size)
    classes = model.class_names
    if classes is None:
        output = np.asarray(model.predict(np.zeros((1, *image), np.float32)))
        classes = tuple(map(str, range(output.shape[1] if output.ndim > 1 else 0)))
    return model, Description("", classes, image, prepare.mean, prepare.std, "", float("nan"), prepare.fit)


def describe(path: str) -> Description:
    """Return what a file of `cnncore train` says about its model.

    Raises:
        ValueError: it says nothing, or is damaged.
    """
    text = io.load_metadata(path).get(_KEY)
    if text is None:
        raise ValueError(
            f"{path}: expected a model that `cnncore train` wrote or cc.save(model, path, classes=..., "
            "preprocessing=...), got a file without its description"
        )
    try:
        fields = json.loads(text)
        description = Description(
            model=str(fields["model"]),
            classes=tuple(str(name) for name in fields["classes"]),
            image=_three(fields["image"]),
            mean=tuple(float(value) for value in fields["mean"]),
            std=tuple(float(value) for value in fields["std"]),
            dataset=str(fields["dataset"]),
            test_accuracy=float(fields["test_accuracy"]),
            fit=check_fit(fields.get("fit", "stretch")),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: damaged description: {type(error).__name__}: {error}") from None
    channels, height, width = description.image
    if channels not in (1, 3) or height * width > MAX_PIXELS:
        raise ValueError(
            f"{path}: damaged description: expected images of 1 or 3 channels and at most {MAX_PIXELS} "
            f"pixels, got {description.image}"
        )
    moments = np.array([*description.mean, *description.std])
    if not len(description.mean) == len(description.std) == channels or not (
        np.isfinite(moments).all() and (moments[channels:] > 0).all()
    ):
        raise ValueError(
            f"{path}: damaged description: expected {channels} means and deviations, finite and those above 0"
        )
    return description


def _three(values: Sequence[Any]) -> tuple[int, int, int]:
    channels, height, width = (int(value) for value in values)
    if min(channels, height, width) < 1:
        raise ValueError(f"expected an image size of at least 1, got {values}")
    return channels, height, width
