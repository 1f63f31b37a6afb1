# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms, windows and mel weights, outside of programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bounds import require_result
from ..dtypes import numpy_type
from ..graph import Node
from ..table import host
from .shaping import axis_of, ints

Array = Any


@host("DFT")
def dft(node: Node, x: Array, length: Any = None, axis: Any = None) -> Array:
    along = node.attr("axis", 1) if node.opset < 20 else (-2 if axis is None else ints(axis)[0])
    along = axis_of(along, x.ndim)
    values = x[..., 0]
    if x.shape[-1] == 2:
        values = values + x.dtype.type(1) * 1j * x[..., 1]
    count = x.shape[along] if length is None else ints(length)[0]
    inverse, onesided = node.attr("inverse", 0), node.attr("onesided", 0)
    if inverse and onesided:
        real = np.fft.irfft(values, count if length is not None else None, along)
        return real[..., None].astype(x.dtype)
    result = (np.fft.ifft if inverse else np.fft.fft)(values, count, along)
    if onesided:
        result = np.take(result, range(count // 2 + 1), along)
    return np.stack([result.real, result.imag], -1).astype(x.dtype)


@host("STFT")
def stft(node: Node, signal: Array, step: Array, window: Any = None, length: Any = None) -> Array:
    hop = ints(step)[0]
    size = window.shape[0] if length is None else ints(length)[0]
    values = signal.astype(np.float64)
    is_complex = signal.ndim == 3 and signal.shape[-1] == 2
    if signal.ndim == 3:
        values = values[..., 0] + (1j * values[..., 1] if is_complex else 0)
    frames = np.lib.stride_tricks.sliding_window_view(values, size, 1)[:, ::hop]
    if window is not None:
        frames = frames * window
    result = np.fft.fft(frames, axis=-1)
    if node.attr("onesided", 1) and not is_complex:
        result = result[..., : size // 2 + 1]
    return np.stack([result.real, result.imag], -1).astype(signal.dtype)


def _window(node: Node, size: Array, weights: tuple[float, ...]) -> Array:
    count = ints(size)[0]
    require_result([count], np.dtype(np.float64).itemsize)
    period = count if node.attr("periodic", 1) else count - 1
    angle = 2 * np.pi * np.arange(count) / max(period, 1)
    total = sum(weight * np.cos(i * angle) for i, weight in enumerate(weights))
    return np.asarray(total).astype(numpy_type(node.output_types[0] or "float32"))


@host("HannWindow")
def hann(node: Node, size: Array) -> Array:
    return _window(node, size, (0.5, -0.5))


@host("HammingWindow")
def hamming(node: Node, size: Array) -> Array:
    return _window(node, size, (25 / 46, -21 / 46))


@host("BlackmanWindow")
def blackman(node: Node, size: Array) -> Array:
    return _window(node, size, (0.42, -0.5, 0.08))


@host("MelWeightMatrix")
def mel_weights(node: Node, bands: Array, length: Array, rate: Array, low: Array, high: Array) -> Array:
    """Triangles on the mel scale 2595 log10(1 + f / 700), from the spectrum's bins to the bands."""
    count, bins = ints(bands)[0], ints(length)[0] // 2 + 1
    require_result([bins, count], np.dtype(np.float64).itemsize)
    edges = np.array([float(low.reshape(-1)[0]), float(high.reshape(-1)[0])])
    mel = 2595 * np.log10(1 + edges / 700)
    step = (mel[1] - mel[0]) / (count + 2)
    points = mel[0] + np.arange(count + 2) * step
    places = ((ints(length)[0] + 1) * (700 * (10 ** (points / 2595) - 1)) // ints(rate)[0]).astype(np.int64)
    result = np.zeros((bins, count))
    for i in range(count):
        first, center, last = places[i : i + 3]
        if center == first:
            result[center, i] = 1.0
        for j in range(first, center + 1):
            if center > first:
                result[j, i] = (j - first) / (center - first)
        for j in range(center, last):
            if last > center:
                result[j, i] = (last - j) / (last - center)
    return result.astype(numpy_type(node.output_types[0] or "float32"))
