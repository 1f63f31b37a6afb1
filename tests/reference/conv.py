# SPDX-License-Identifier: Apache-2.0
"""Convolution and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, Ints, along_channels, float64, output_extents, pad, taps, window


def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of (N, C, ...) with (O, C / groups, ...)."""
    x, weight = float64(x), float64(weight)
    kernel = weight.shape[2:]
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, dilation)
    padded = pad(x, begin, end)
    outputs = weight.shape[0] // groups
    inputs = weight.shape[1]
    result = np.zeros((x.shape[0], weight.shape[0], *extents))
    for tap in taps(kernel):
        seen = padded[(slice(None), slice(None), *window(tap, extents, stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            part = seen[:, g * inputs : (g + 1) * inputs]
            product = np.tensordot(weight[(own, slice(None), *tap)], part, (1, 1))
            result[:, own] += np.moveaxis(product, 0, 1)
    return result if bias is None else result + along_channels(bias, result.ndim)


def conv_backward_data(
    grad: Any,
    weight: Any,
    input_size: Ints,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Gradient of `conv` by its input, which has spatial extents `input_size`."""
    grad, weight = float64(grad), float64(weight)
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    padded_size = [n + b + e for n, b, e in zip(input_size, begin, end, strict=True)]
    padded = np.zeros((grad.shape[0], inputs * groups, *padded_size))
    for tap in taps(weight.shape[2:]):
        seen = padded[(slice(None), slice(None), *window(tap, grad.shape[2:], stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            product = np.tensordot(weight[(own, slice(None), *tap)], grad[:, own], (0, 1))
            seen[:, g * inputs : (g + 1) * inputs] += np.moveaxis(product, 0, 1)
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def conv_backward_weight(
    x: Any,
    grad: Any,
    kernel: Ints,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Gradient of `conv` by its weight, which has spatial extents `kernel`."""
    x, grad = float64(x), float64(grad)
    padded = pad(x, begin, end)
    outputs, inputs = grad.shape[1] // groups, x.shape[1] // groups
    result = np.zeros((grad.shape[1], inputs, *kernel))
    summed = [0, *range(2, x.ndim)]
    for tap in taps(kernel):
        seen = padded[(slice(None), slice(None), *window(tap, grad.shape[2:], stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            part = seen[:, g * inputs : (g + 1) * inputs]
            result[(own, slice(None), *tap)] = np.tensordot(grad[:, own], part, (summed, summed))
    return result


def conv_backward_bias(grad: Any) -> Array:
    """Gradient of `conv` by its bias."""
    grad = float64(grad)
    return grad.sum(axis=tuple(i for i in range(grad.ndim) if i != 1))
