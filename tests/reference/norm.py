# SPDX-License-Identifier: Apache-2.0
"""Batch norm and its gradient, and the norms of each sample by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, along_channels, float64


def _all_but_channels(rank: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis != 1)


def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any = None, variance: Any = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Normalised output, and the mean and biased variance it took: the batch's unless given others."""
    x = float64(x)
    axes = _all_but_channels(x.ndim)
    mean = x.mean(axes) if mean is None else float64(mean)
    variance = x.var(axes) if variance is None else float64(variance)
    normalised = (x - along_channels(mean, x.ndim)) / np.sqrt(along_channels(variance, x.ndim) + eps)
    return normalised * along_channels(weight, x.ndim) + along_channels(bias, x.ndim), mean, variance


def batch_norm_running(
    running_mean: Any, running_variance: Any, mean: Any, variance: Any, count: int, momentum: float = 0.1
) -> tuple[Array, Array]:
    """Running statistics after a batch of `count` values a channel, its variance unbiased as in torch."""
    unbiased = float64(variance) * count / max(count - 1, 1)
    new_mean = (1 - momentum) * float64(running_mean) + momentum * float64(mean)
    return new_mean, (1 - momentum) * float64(running_variance) + momentum * unbiased


def batch_norm_backward(
    grad: Any, x: Any, weight: Any, eps: float = 1e-5, mean: Any = None, variance: Any = None
) -> tuple[Array, Array, Array]:
    """Gradients by input, weight and bias; with given statistics these are constants (evaluation mode)."""
    grad, x = float64(grad), float64(x)
    axes = _all_but_channels(x.ndim)
    training = mean is None
    mean = x.mean(axes) if training else float64(mean)
    variance = x.var(axes) if training else float64(variance)
    inverse = 1 / np.sqrt(along_channels(variance, x.ndim) + eps)
    normalised = (x - along_channels(mean, x.ndim)) * inverse
    grad_weight = (grad * normalised).sum(axes)
    grad_bias = grad.sum(axes)
    scaled = grad * along_channels(weight, x.ndim)
    if training:
        scaled = scaled - scaled.mean(axes, keepdims=True)
        scaled = scaled - normalised * (scaled * normalised).mean(axes, keepdims=True)
    return scaled * inverse, grad_weight, grad_bias


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Each group of channels of each sample with mean 0 and variance 1, then scaled and shifted."""
    x = float64(x)
    rows = x.reshape(x.shape[0], groups, -1)
    rows = (rows - rows.mean(2, keepdims=True)) / np.sqrt(rows.var(2, keepdims=True) + eps)
    y = rows.reshape(x.shape)
    y = y if weight is None else y * along_channels(weight, x.ndim)
    return y if bias is None else y + along_channels(bias, x.ndim)
