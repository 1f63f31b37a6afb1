# SPDX-License-Identifier: Apache-2.0
"""What of a model's answer is explained: the score of a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn.module import Module
from .probe import Array, Shape, look, outline


def target_weights(model: Module, x: Array, target: Any) -> Array:
    """Return weights of the model's output whose weighted sum is the score to explain.

    Args:
        model: a Module whose output is (rows, classes, ...), (rows, 1) or (rows,).
        x: its input, (rows, ...).
        target: None for the class that the model prefers, a class number for all rows or one for each, or an
            array of the output's shape, which is returned.
    """
    shape = outline(model, x.shape, str(x.dtype)).output_shape
    if len(shape) == 0 or shape[0] != len(x):
        raise ValueError(f"expected a model that returns a row for each of x, got an output of shape {shape}")
    if target is not None and np.ndim(target) > 1:
        given = np.asarray(target, np.float32)
        if given.shape != shape:
            raise ValueError(
                f"expected target as class numbers or weights of the output, {shape}, got {given.shape}"
            )
        return given
    weights = np.zeros(shape, np.float32)
    if len(shape) == 1:
        weights[:] = 1.0
        if target is not None and np.any(np.asarray(target) != 0):
            raise ValueError(
                f"the model returns one number for a row: expected target None or 0, got {target!r}"
            )
        return weights
    if target is None:
        output = look(model, x).output
        # Of pixels, the class that has the most of them is explained.
        classes = output.argmax(1) if output.ndim == 2 else output.reshape(*shape[:2], -1).sum(2).argmax(1)
    else:
        classes = _classes(target, shape)
    weights[np.arange(len(x)), classes] = 1.0
    return weights


def _classes(target: Any, shape: Shape) -> Array:
    classes = np.asarray(target)
    if classes.dtype.kind not in "iu" or (classes.ndim == 1 and len(classes) != shape[0]):
        raise ValueError(
            f"expected target as a class number, or one for each of {shape[0]} rows, got {target!r}"
        )
    classes = np.broadcast_to(classes, shape[:1])
    if classes.min() < 0 or classes.max() >= shape[1]:
        raise ValueError(f"expected a target from 0 to {shape[1] - 1}, the model's classes, got {target!r}")
    return classes


def scores(output: Array, weights: Array) -> Array:
    """Return the score of each row, in float64."""
    result: Array = (output.astype(np.float64) * weights).reshape(len(output), -1).sum(1)
    return result
