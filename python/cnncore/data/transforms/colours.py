# SPDX-License-Identifier: Apache-2.0
"""Functions of the colours of a batch of images, each image with a setting of its own.

Images are (samples, channels, *extents), uint8 from 0 to 255 or floats from 0 to 1; settings are (samples,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from .samples import Images, to_colours, white

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Of ITU-R BT.601."""


def _scaled(images: Images, factors: Any, offsets: Any) -> Images:
    """factors * images + offsets, cut to the range of colours."""
    factors, offsets = (np.broadcast_to(np.asarray(x, np.float32), len(images)) for x in (factors, offsets))
    if images.dtype == np.uint8:
        # Halves are rounded up, as `mix_colours` has it.
        return each_value(images, lambda x: (_each(factors, x) * x + _each(offsets, x)).clip(0, 255) + 0.5)
    if images.shape[1] == 3:
        matrices = np.zeros((len(images), 3, 4), np.float32)
        matrices[:, [0, 1, 2], [0, 1, 2]] = factors[:, None]
        matrices[:, :, 3] = offsets[:, None]
        return _mixed(images, matrices)
    return to_colours(images * _each(factors, images) + _each(offsets, images), images)


def _each(settings: NDArray[Any], images: Images) -> NDArray[Any]:
    """(samples,) as (samples, 1, ...), to be computed with images or tables."""
    return settings.reshape(-1, *(1,) * (images.ndim - 1))


def each_value(images: Images, change: Callable[[Images], NDArray[Any]]) -> Images:
    """Change values one by one; of uint8 a table (samples, 1 or channels, 256) is changed and looked up."""
    if images.dtype != np.uint8 or images.size == 0:
        return np.asarray(change(images), images.dtype)
    values = np.arange(256, dtype=np.uint8)[None, None]
    shape = (*images.shape[:2], 256)
    tables = np.broadcast_to(change(values).astype(np.uint8), shape)
    return np.asarray(_core.look_up(_planes(images), tables)).reshape(images.shape)


def _planes(images: Images) -> Images:
    """Images of any extents as (samples, channels, rows, columns)."""
    return images.reshape(*images.shape[:2], -1, images.shape[-1])


def _mixed(images: Images, matrices: NDArray[np.float32]) -> Images:
    return np.asarray(_core.mix_colours(_planes(images), matrices)).reshape(images.shape)


def grey(images: Images) -> NDArray[np.float32]:
    """The brightness of images of 3 channels, the mean of the channels of others: (samples, *extents)."""
    if images.shape[1] == 3:
        grey: NDArray[np.float32] = np.einsum("nc...,c->n...", images.astype(np.float32), LUMA)
        return grey
    return np.asarray(images.mean(1, dtype=np.float32))


def adjust_brightness(images: Images, factors: Any) -> Images:
    """0 gives black, 1 the image."""
    return _scaled(images, factors, 0.0)


def adjust_contrast(images: Images, factors: Any) -> Images:
    """0 gives the image's mean brightness everywhere, 1 the image."""
    factors = np.broadcast_to(np.asarray(factors, np.float32), len(images))
    means = images.reshape(*images.shape[:2], -1).mean(2, dtype=np.float32)
    brightness = means @ LUMA if images.shape[1] == 3 else means.mean(1)
    return _scaled(images, factors, (1 - factors) * brightness)


def adjust_saturation(images: Images, factors: Any) -> Images:
    """0 gives grey, 1 the image; images of one channel stay."""
    if not _has_colours(images, "saturation"):
        return images
    factors = np.broadcast_to(np.asarray(factors, np.float32), len(images))[:, None, None]
    matrices = np.zeros((len(images), 3, 4), np.float32)
    matrices[:, :, :3] = factors * np.eye(3, dtype=np.float32) + (1 - factors) * LUMA
    return _mixed(images, matrices)


def adjust_hue(images: Images, shifts: Any) -> Images:
    """Turn the hue by a share of the circle, -0.5 to 0.5; images of one channel stay."""
    if not _has_colours(images, "hue"):
        return images
    turned = _core.shift_hue(_planes(images), np.broadcast_to(np.asarray(shifts, np.float32), len(images)))
    return np.asarray(turned).reshape(images.shape)


def _has_colours(images: Images, what: str) -> bool:
    if images.shape[1] not in (1, 3):
        raise ValueError(f"expected images of 1 or 3 channels to change {what}, got {images.shape[1]}")
    return bool(images.shape[1] == 3)


def invert(images: Images) -> Images:
    """White minus the image."""
    return each_value(images, lambda x: white(images) - x)


def solarize(images: Images, thresholds: Any) -> Images:
    """Invert the colours of at least a threshold, in the images' own unit."""
    limits = np.broadcast_to(np.asarray(thresholds, np.float32), len(images))
    return each_value(images, lambda x: np.where(x >= _each(limits, x), white(images) - x, x))


def posterize(images: Images, bits: Any) -> Images:
    """Keep the highest bits of each colour's eight; floats are rounded to eight bits first."""
    kept = np.broadcast_to(np.asarray(bits), len(images)).astype(np.int64)
    masks = (255 >> (8 - kept) << (8 - kept)).astype(np.uint8)
    return _by_bytes(images, lambda bytes_: each_value(bytes_, lambda x: x & _each(masks, x)))


def equalize(images: Images) -> Images:
    """Make all brightnesses of each channel about equally frequent; floats are rounded to 8 bits first."""
    return _by_bytes(images, _equalized)


def _equalized(images: Images) -> Images:
    counts = _core.count_values(_planes(images))
    above_zero = counts > 0
    last = np.take_along_axis(counts, 255 - above_zero[..., ::-1].argmax(-1)[..., None], -1)
    step = (counts.sum(-1, keepdims=True) - last) // 255
    before = np.cumsum(counts, -1) - counts
    tables = np.minimum((before + step // 2) // np.maximum(step, 1), 255)
    tables = np.where(step > 0, tables, np.arange(256)).astype(np.uint8)
    return np.asarray(_core.look_up(_planes(images), tables)).reshape(images.shape)


def autocontrast(images: Images) -> Images:
    """Stretch each channel so that its darkest pixel is black and its brightest white."""
    planes = images.reshape(*images.shape[:2], -1)
    low, high = (extreme(2, keepdims=True).astype(np.float32) for extreme in (planes.min, planes.max))
    flat = low == high
    scale = white(images) / np.where(flat, 1, high - low)
    scale, low = np.where(flat, 1, scale), np.where(flat, 0, low)
    changed = each_value(planes, lambda x: to_colours((x.astype(np.float32) - low) * scale, images))
    return changed.reshape(images.shape)


def adjust_sharpness(images: Images, factors: Any) -> Images:
    """0 gives a smoothed image, 1 the image, 2 twice the difference."""
    factors = np.broadcast_to(np.asarray(factors, np.float32), len(images))
    planes = images.reshape(len(images), -1, *images.shape[-2:])
    return np.asarray(_core.sharpen_images(planes, factors)).reshape(images.shape)


def gaussian_kernels(sigmas: NDArray[Any], size: int) -> NDArray[np.float32]:
    """(samples, size): normal densities that sum to 1."""
    places = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (places / np.asarray(sigmas, np.float64)[:, None]) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def gaussian_blur(images: Images, sigmas: Any, size: int) -> Images:
    """Smooth the last two axes with kernels of `size` pixels."""
    planes = images.reshape(len(images), -1, *images.shape[-2:])
    kernels = gaussian_kernels(np.broadcast_to(sigmas, len(images)), size)
    return np.asarray(_core.filter_images(planes, kernels)).reshape(images.shape)


def _by_bytes(images: Images, run: Any) -> Images:
    if images.dtype == np.uint8:
        return np.asarray(run(images))
    done = run(np.rint(images * 255).clip(0, 255).astype(np.uint8))
    return np.asarray(done / np.float32(255))
