# SPDX-License-Identifier: Apache-2.0
"""Features of sound: other rates, spectra, mel bands, cepstral coefficients.

Signals are (..., time); results are float32, computed in float64.
"""

from __future__ import annotations

from math import ceil, gcd
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .settings import finite, flag, natural, one_of

__all__ = ["mel_filters", "mel_spectrogram", "mfcc", "resample", "spectrogram", "stft"]

_ZEROS = 6
_ROLLOFF = 0.99
_MOST_TAPS = 2**25
"""Of all filters of a `resample`: 256 MB of float64."""
_MOST_BANDS, _LONGEST_FRAME = 2**16, 2**24


def resample(signal: Any, old: int, new: int) -> NDArray[np.float32]:
    """Return a signal at another rate: windowed sinc interpolation (Smith, 1984), low-passed for less.

    Args:
        signal: (..., time).
        old, new: samples a second, integers.

    Returns:
        (..., ceil(time * new / old)).

    Raises:
        ValueError: a signal without samples, or a rate below 1.

    >>> resample(np.ones(6), 3, 2).shape
    (4,)
    """
    x = _signal(signal)
    old, new = natural("old", old, 1), natural("new", new, 1)
    divisor = gcd(old, new)
    old, new = old // divisor, new // divisor
    if old == new:
        return x.astype(np.float32)
    # One filter for each of the `new` phases; the cut-off is a little below the lower rate's half.
    cut = min(old, new) * _ROLLOFF
    reach = ceil(_ZEROS * old / cut)
    if new * (2 * reach + old) > _MOST_TAPS:
        raise ValueError(f"expected old and new in the ratio of smaller integers, got {old} to {new}")
    taps = np.arange(-reach, reach + old) / old
    phase = -np.arange(new)[:, None] / new
    t = np.clip((taps + phase) * cut, -_ZEROS, _ZEROS)
    kernels = np.sinc(t) * np.cos(np.pi * t / (2 * _ZEROS)) ** 2 * cut / old
    length = ceil(x.shape[-1] * new / old)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(reach, reach + old)])
    windows = sliding_window_view(padded, kernels.shape[1], axis=-1)[..., ::old, :]
    result = (windows @ kernels.T).reshape(*x.shape[:-1], -1)
    return np.ascontiguousarray(result[..., :length], np.float32)


def stft(
    signal: Any,
    n_fft: int = 400,
    hop_length: int | None = None,
    win_length: int | None = None,
    center: bool = True,
) -> NDArray[np.complex64]:
    """Return the short-time Fourier transform with a Hann window.

    Args:
        signal: (..., time).
        n_fft: times of a frame's transform.
        hop_length: times from frame to frame; n_fft // 4 by default.
        win_length: times of the window, in the middle of the frame; n_fft by default.
        center: frame i has its middle at time i * hop_length; the signal is mirrored at its ends.

    Returns:
        (..., n_fft // 2 + 1, frames), complex64.

    Raises:
        ValueError: a window longer than `n_fft`, or fewer times than it needs.

    >>> stft(np.zeros((2, 16000)), n_fft=512, hop_length=160).shape
    (2, 257, 101)
    """
    x = _signal(signal)
    n_fft, center = natural("n_fft", n_fft, 1, _LONGEST_FRAME), flag("center", center)
    hop = n_fft // 4 if hop_length is None else natural("hop_length", hop_length, 1)
    width = n_fft if win_length is None else natural("win_length", win_length, 1)
    if width > n_fft:
        raise ValueError(f"expected win_length up to n_fft {n_fft}, got {win_length}")
    if center:
        if x.shape[-1] <= n_fft // 2:
            raise ValueError(f"expected more than {n_fft // 2} times to mirror, got {x.shape[-1]}")
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode="reflect")
    if x.shape[-1] < n_fft:
        raise ValueError(f"expected at least n_fft {n_fft} times, got {x.shape[-1]}")
    window = np.zeros(n_fft)
    begin = (n_fft - width) // 2
    window[begin : begin + width] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    frames = sliding_window_view(x, n_fft, axis=-1)[..., ::hop, :]
    spectra = np.fft.rfft(frames * window, axis=-1)
    return np.ascontiguousarray(np.moveaxis(spectra, -1, -2), np.complex64)


def spectrogram(signal: Any, power: float = 2.0, **settings: Any) -> NDArray[np.float32]:
    """Return the magnitudes of `stft` to a power.

    Args:
        signal: (..., time).
        power: 2 for energies, 1 for magnitudes.
        settings: of `stft`.

    Returns:
        (..., n_fft // 2 + 1, frames).

    Raises:
        ValueError: a signal without samples, or a setting out of its range.

    >>> spectrogram(np.zeros(1600), n_fft=64, hop_length=32).shape
    (33, 51)
    """
    exponent = np.float32(finite("power", power))
    return np.asarray(np.abs(stft(signal, **settings)) ** exponent)


def mel_filters(
    n_mels: int, n_fft: int, rate: int, f_min: float = 0.0, f_max: float | None = None, scale: str = "htk"
) -> NDArray[np.float32]:
    """Return triangles over frequencies that are equally wide in mels.

    Args:
        n_mels: bands.
        n_fft: of the `stft`.
        rate: times a second.
        f_min, f_max: limits in Hz; rate / 2 by default.
        scale: "htk": 2595 log10(1 + f / 700), or "slaney": linear up to 1 kHz, logarithmic above, with
            triangles of equal area.

    Returns:
        (n_mels, n_fft // 2 + 1).

    Raises:
        ValueError: frequencies that are not 0 <= f_min < f_max <= rate / 2, or another scale.

    >>> mel_filters(4, 64, 8000).shape
    (4, 33)
    """
    f_min, half = finite("f_min", f_min), finite("rate", rate) / 2
    top = half if f_max is None else finite("f_max", f_max)
    n_mels, n_fft = natural("n_mels", n_mels, 1, _MOST_BANDS), natural("n_fft", n_fft, 1, _LONGEST_FRAME)
    if not 0 <= f_min < top <= half:
        raise ValueError(f"expected 0 <= f_min < f_max <= {half:g}, half the rate, got {f_min}, {f_max}")
    one_of("scale", scale, ("htk", "slaney"))
    low, high = _to_mels(np.array([f_min, top]), scale).tolist()
    edges = _to_hertz(np.linspace(low, high, n_mels + 2), scale)
    frequencies = np.linspace(0, half, n_fft // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(filters, np.float32)


def mel_spectrogram(
    signal: Any,
    rate: int,
    n_mels: int = 64,
    n_fft: int = 400,
    f_min: float = 0.0,
    f_max: float | None = None,
    scale: str = "htk",
    log: bool = False,
    **settings: Any,
) -> NDArray[np.float32]:
    """Return energies in mel bands.

    Args:
        signal: (..., time).
        rate: times a second.
        n_mels, n_fft, f_min, f_max, scale: of `mel_filters`.
        log: take the logarithm of energies, of at least 1e-10.
        settings: further ones of `spectrogram`.

    Returns:
        (..., n_mels, frames).

    Raises:
        ValueError: a signal without samples, or a setting out of its range.

    >>> mel_spectrogram(np.zeros((1, 8000)), 8000, n_mels=40, n_fft=256, hop_length=80, log=True).shape
    (1, 40, 101)
    """
    log = flag("log", log)
    bands = mel_filters(n_mels, n_fft, rate, f_min, f_max, scale) @ spectrogram(
        signal, n_fft=n_fft, **settings
    )
    return np.log(np.maximum(bands, np.float32(1e-10))) if log else bands


def mfcc(signal: Any, rate: int, n_mfcc: int = 40, n_mels: int = 128, **settings: Any) -> NDArray[np.float32]:
    """Return mel-frequency cepstral coefficients: the orthonormal DCT-II of logarithms of mel energies.

    Args:
        signal: (..., time).
        rate: times a second.
        n_mfcc: coefficients, up to n_mels.
        n_mels: bands.
        settings: further ones of `mel_spectrogram`.

    Returns:
        (..., n_mfcc, frames).

    Raises:
        ValueError: `n_mfcc` above `n_mels`.

    >>> mfcc(np.zeros(8000), 8000, n_mfcc=13, n_mels=40, n_fft=256).shape
    (13, 126)
    """
    n_mels, n_mfcc = natural("n_mels", n_mels, 1, _MOST_BANDS), natural("n_mfcc", n_mfcc, 1)
    if n_mfcc > n_mels:
        raise ValueError(f"expected n_mfcc from 1 to n_mels {n_mels}, got {n_mfcc}")
    bands = mel_spectrogram(signal, rate, n_mels, log=True, **settings)
    angles = np.pi / n_mels * (np.arange(n_mels) + 0.5) * np.arange(n_mfcc)[:, None]
    basis = np.cos(angles) * np.sqrt(2 / n_mels)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis.astype(np.float32) @ bands)


def _to_mels(hertz: NDArray[Any], scale: str) -> NDArray[Any]:
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hertz / 700))
    linear = hertz * 3 / 200
    return np.where(hertz < 1000, linear, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))


def _to_hertz(mels: NDArray[Any], scale: str) -> NDArray[Any]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mels / 2595) - 1))
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


def _signal(signal: Any) -> NDArray[np.float64]:
    x = np.asarray(signal)
    if x.dtype.kind not in "iuf":
        raise TypeError(f"expected a signal of real numbers, got {x.dtype}")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"expected a signal (..., time) with at least one time, got shape {x.shape}")
    return x.astype(np.float64)
