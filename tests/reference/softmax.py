# SPDX-License-Identifier: Apache-2.0
"""Softmax, its logarithm, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, float64


def softmax(x: Any, axis: int = -1) -> Array:
    """exp(x) over its sum along `axis`."""
    x = float64(x)
    powers = np.exp(x - x.max(axis, keepdims=True))
    result: Array = powers / powers.sum(axis, keepdims=True)
    return result


def log_softmax(x: Any, axis: int = -1) -> Array:
    """Logarithm of `softmax`."""
    x = float64(x)
    shifted = x - x.max(axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return result


def softmax_backward(grad: Any, y: Any, axis: int = -1) -> Array:
    """Gradient by the input, from the output `y`."""
    grad, y = float64(grad), float64(y)
    return y * (grad - (grad * y).sum(axis, keepdims=True))


def log_softmax_backward(grad: Any, y: Any, axis: int = -1) -> Array:
    """Gradient by the input, from the output `y`."""
    grad, y = float64(grad), float64(y)
    return grad - np.exp(y) * grad.sum(axis, keepdims=True)
