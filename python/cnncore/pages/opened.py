# SPDX-License-Identifier: Apache-2.0
"""A model from a file, with all that is needed to show it images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import io
from ..data.preparation import ImagePreprocessing
from ..model_file import load_model, read_about
from ..nn.module import Module
from ..viz.arrays.probe import outline

Array = NDArray[Any]


class Opened(NamedTuple):
    """A model and what it takes.

    Fields:
        model: in eval mode.
        name: of the file.
        classes: names of the outputs, in their order; empty where the output is not (rows, classes).
        image: (channels, height, width) of what the network takes.
        prepare: from an image (1 or 3 channels, any size), uint8 or of 0 to 1, to what the network takes.
        mean, std: of each channel, by which values of 0 to 1 were normalised.
        batch: rows that the model takes at once, where the file fixes them; else 64.
        fixed: whether the file fixes them.
        dataset: that the file says it was trained on, "" where it does not.
        history: figures of the training by name, where the file has them.
    """

    model: Module
    name: str
    classes: tuple[str, ...]
    image: tuple[int, int, int]
    prepare: Callable[[Any], Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch: int = 64
    fixed: bool = False
    dataset: str = ""
    history: Mapping[str, list[float]] = MappingProxyType({})

    def shown(self, x: Array) -> Array:
        """Return inputs of the network (..., channels, height, width) as images of 0 to 1."""
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        result: Array = np.clip(x * std + mean, 0, 1)
        return result

    def outputs(self, x: Array) -> Array:
        """Return the model's outputs for any number of rows."""
        if not self.fixed:
            return np.asarray(self.model.predict(x, batch_size=self.batch))
        missing = -len(x) % self.batch
        padded = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
        parts = [self.model(padded[i : i + self.batch]) for i in range(0, len(padded), self.batch)]
        return np.concatenate(parts)[: len(x)]

    def probabilities(self, x: Array) -> Array:
        """Return the probability of each class, (rows, classes), float64."""
        return as_probabilities(self.outputs(x))


def as_probabilities(outputs: Array) -> Array:
    """Return outputs (rows, classes) as probabilities: as they are where they are such, else by softmax.

    >>> as_probabilities(np.array([[0.25, 0.75]])).tolist(), as_probabilities(np.array([[0.0, 0.0]])).tolist()
    ([[0.25, 0.75]], [[0.5, 0.5]])
    """
    values = outputs.astype(np.float64)
    if values.min(initial=0.0) >= 0 and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def open_model(path: str, input_shape: tuple[int, ...] | None = None) -> Opened:
    """Return the model of a file that `cnncore train`, `cc.save` or an exporter of ONNX wrote.

    Args:
        path: the file; a name that ends in ".onnx" is that of an ONNX model.
        input_shape: (batch, channels, height, width), where the file does not say it.

    Raises:
        ValueError: no model, or one that does not take images of 1 or 3 channels, or whose image size nobody
            said.
        ImportError: an ONNX model, and onnx is not installed.
        OSError: the file cannot be read.
    """
    shape = None if input_shape is None else _checked(path, input_shape)
    opened = _onnx(path, shape) if path.lower().endswith(".onnx") else _own(path, shape)
    rows = opened.batch if opened.fixed else 1
    output = outline(opened.model, (rows, *opened.image)).output_shape
    if len(output) != 2:
        return opened._replace(classes=())
    names = opened.classes or tuple(map(str, range(output[1])))
    if len(names) != output[1]:
        raise ValueError(f"{path}: expected names of {output[1]} classes, as the model has, got {len(names)}")
    return opened._replace(classes=names)


def _checked(path: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if len(shape) != 4 or shape[1] not in (1, 3) or min(shape) < 1:
        raise ValueError(
            f"{path}: expected an input of (batch, 1 or 3 channels, height, width), got {tuple(shape)}"
        )
    return shape[0], shape[1], shape[2], shape[3]


def _own(path: str, shape: tuple[int, int, int, int] | None) -> Opened:
    model: Any = load_model(path)
    prepare = model.preprocessing
    about = read_about(path) or {}
    if prepare is None or (getattr(prepare, "size", True) is None and shape is not None):
        if shape is None:
            raise ValueError(
                f"{path}: does not say what images the model takes: say it with --input 1,3,32,32, or "
                "cc.save(model, path, preprocessing=cnncore.data.ImagePreprocessing(size=(32, 32)))"
            )
        channels = shape[1]
        moments = ([0.0] * channels, [1.0] * channels) if prepare is None else (prepare.mean, prepare.std)
        prepare = ImagePreprocessing(shape[2:], *moments)
    if getattr(prepare, "size", True) is None or getattr(prepare, "video", False):
        raise ValueError(f"{path}: does not say the size of the images: --input 1,3,32,32 does")
    example = prepare(np.zeros((len(prepare.mean), 256, 256), np.float32))
    if shape is not None and shape[1:] != example.shape:
        told = ",".join(map(str, shape))
        raise ValueError(f"{path}: says that the model takes images of {example.shape}, got --input {told}")
    return Opened(
        model,
        os.path.basename(path),
        model.class_names or (),
        (example.shape[0], example.shape[1], example.shape[2]),
        prepare,
        prepare.mean,
        prepare.std,
        dataset=str(about.get("dataset") or ""),
        history=_history(io.load_metadata(path).get("history")),
    )


def _onnx(path: str, shape: tuple[int, int, int, int] | None) -> Opened:
    import cnncore

    model = cnncore.onnx.load(path)
    if len(model.graph.inputs) != 1:
        raise ValueError(f"{path}: expected a model of one input, got {len(model.graph.inputs)}")
    declared = model.graph.inputs[0].shape or ()
    known = [extent if isinstance(extent, int) else None for extent in declared]
    if shape is None:
        if len(known) != 4 or None in known[1:]:
            raise ValueError(
                f"{path}: expected images of a known size, its input is {declared or 'of any shape'}: say "
                "it with --input 1,3,224,224"
            )
        shape = _checked(path, tuple(extent or 1 for extent in known))
    channels, height, width = shape[1:]
    mean, std = (0.0,) * channels, (1.0,) * channels
    prepare: Any = ImagePreprocessing((height, width), mean, std)
    fixed = len(known) == 4 and known[0] is not None
    return Opened(
        model.eval(),
        os.path.basename(path),
        (),
        (channels, height, width),
        prepare,
        mean,
        std,
        batch=shape[0] if fixed else 64,
        fixed=fixed,
    )


def _history(text: str | None) -> dict[str, list[float]]:
    """Return the figures of a training that a file's metadata has; none where they are no numbers."""
    try:
        figures = json.loads(text or "{}")
        return {str(name): [float(value) for value in values] for name, values in figures.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
