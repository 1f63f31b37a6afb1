# SPDX-License-Identifier: Apache-2.0
"""ONNX files as models that classify images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn, ops

CLASSES, MEAN, STD = "cnncore.classes", "cnncore.mean", "cnncore.std"
"""Names of what `cnncore export` stores in a file: JSON lists of classes' names and channels' moments."""


def is_onnx(path: str) -> bool:
    """Whether a path is that of an ONNX file."""
    return path.lower().endswith(".onnx")


class Classifier(nn.Module):
    """An ONNX model called with images (batch, channels, height, width); returns logits.

    Args:
        network: the model, of one input and one output (batch, classes).
        channels_last: whether it takes (batch, height, width, channels).
        batch: the only batch it takes; None where it takes any.
        probabilities: whether it gives probabilities, whose logarithms are returned.
    """

    def __init__(self, network: Any, channels_last: bool, batch: int | None, probabilities: bool) -> None:
        super().__init__()
        self.network = network
        self._channels_last, self._batch, self._probabilities = channels_last, batch, probabilities
        self.eval()

    def forward(self, x: Any) -> Any:
        y = self.network(ops.permute(x, (0, 2, 3, 1)) if self._channels_last else x)
        y = ops.reshape(y, (y.shape[0], -1))
        return ops.log(ops.clamp(y, 1e-30, 1.0)) if self._probabilities else y

    def __call__(self, *inputs: Any) -> Any:
        (x,) = inputs
        if self._batch is None or not isinstance(x, np.ndarray) or len(x) == self._batch:
            return super().__call__(x)
        return np.concatenate([self._padded(x[i : i + self._batch]) for i in range(0, len(x), self._batch)])

    def _padded(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the results of fewer images than the model takes."""
        missing = (self._batch or len(x)) - len(x)
        wide = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
        results: NDArray[Any] = super().__call__(wide)[: len(x)]
        return results

    def predict(self, *inputs: Any, **_: Any) -> Any:
        """Return logits of images."""
        return self(*inputs)


def load(path: str) -> tuple[Classifier, tuple[str, ...], tuple[int, int, int], Any, Any]:
    """Return a classifier, its classes' names, and channels, height, width, mean and deviation of its images.

    Raises:
        ValueError: the model is not one that classifies images of a fixed size.
    """
    from .. import onnx

    model = onnx.load(path)
    inputs, outputs = model.graph.inputs, model.graph.outputs
    single = len(inputs) == len(outputs) == 1
    if not single or len(inputs[0].shape or ()) != 4 or inputs[0].dtype != "float32":
        raise ValueError(
            f"{path}: expected a model that classifies images: one float32 input (batch, channels, height, "
            f"width) and one output; got inputs {_shown(inputs)} and outputs {_shown(outputs)}"
        )
    batch, *extents = inputs[0].shape or ()
    channels_last = extents[0] not in (1, 3) and extents[2] in (1, 3)
    image = (extents[2], *extents[:2]) if channels_last else tuple(extents)
    if image[0] not in (1, 3) or not all(isinstance(n, int) for n in image):
        raise ValueError(
            f"{path}: expected images of 1 or 3 channels and a fixed size, got an input {_shown(inputs)}; "
            "`cnncore export` writes such files"
        )
    last = next((n for n in model.graph.nodes if outputs[0].name in n.outputs), None)
    soft = last is not None and last.op == "Softmax"
    network = Classifier(model, channels_last, batch if isinstance(batch, int) else None, soft)
    channels, height, width = (int(n) for n in image if isinstance(n, int))
    scores = network(np.zeros((1, channels, height, width), np.float32))
    classes = _texts(model.metadata, CLASSES, scores.shape[1]) or [str(i) for i in range(scores.shape[1])]
    mean = _numbers(model.metadata, MEAN, channels) or (0.0,) * channels
    std = _numbers(model.metadata, STD, channels) or (1.0,) * channels
    return network, tuple(classes), (channels, height, width), mean, std


def _shown(values: Any) -> str:
    return ", ".join(f"{v.name} {v.dtype}{list(v.shape or ())}" for v in values)


def _texts(metadata: Mapping[str, str], key: str, count: int) -> list[str]:
    values = _list(metadata, key)
    return [str(value) for value in values] if len(values) == count else []


def _numbers(metadata: Mapping[str, str], key: str, count: int) -> tuple[float, ...]:
    values = _list(metadata, key)
    numbers = tuple(float(v) for v in values if isinstance(v, (int, float)) and np.isfinite(v))
    usable = len(numbers) == count and (key != STD or min(numbers) > 0)
    return numbers if usable else ()


def _list(metadata: Mapping[str, str], key: str) -> list[Any]:
    """Return a list that a file holds as JSON; an empty one for anything else."""
    try:
        found = json.loads(metadata.get(key, "[]"))
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
