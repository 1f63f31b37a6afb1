# SPDX-License-Identifier: Apache-2.0
"""Random changes of colours, sharpness and noise; pixels stay where they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._checks import is_integer
from . import colours
from .arguments import around, finite, interval
from .draws import Draws
from .samples import Samples, to_colours, white
from .transform import Transform, probability

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue at random, in a random order.

    Args:
        brightness, contrast, saturation: factors (from, to), or the most to either side of 1.
        hue: shares of the circle of hues (from, to), or the most to either side of 0; within -0.5 to 0.5.

    Raises:
        ValueError: a strength that is negative or no number, or a hue beyond -0.5 to 0.5.

    >>> ColorJitter(brightness=(2, 2))(np.full((3, 1, 1), 10, np.uint8)).ravel().tolist()
    [20, 20, 20]
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = around(brightness, "brightness", 1.0, 0.0)
        self.contrast = around(contrast, "contrast", 1.0, 0.0)
        self.saturation = around(saturation, "saturation", 1.0, 0.0)
        self.hue = around(hue, "hue", 0.0)
        if self.hue[0] < -0.5 or self.hue[1] > 0.5:
            raise ValueError(f"expected hue within -0.5 to 0.5, got {hue}")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        steps = [
            (colours.adjust_brightness, self.brightness, 1.0),
            (colours.adjust_contrast, self.contrast, 1.0),
            (colours.adjust_saturation, self.saturation, 1.0),
            (colours.adjust_hue, self.hue, 0.0),
        ]
        order = np.argsort(draws.words((len(steps),)), axis=1, kind="stable")
        values = [draws.uniform(*bounds) for _, bounds, _ in steps]
        images = samples.images
        for place in range(len(steps)):
            for i, (adjust, bounds, neutral) in enumerate(steps):
                chosen = np.flatnonzero(order[:, place] == i)
                if len(chosen) == 0 or bounds == (neutral, neutral):
                    continue
                if images is samples.images:
                    images = images.copy()
                images[chosen] = adjust(images[chosen], values[i][chosen])
        return samples.with_images(images)


class Grayscale(Transform):
    """Replace colours by their brightness (ITU-R BT.601).

    Args:
        num_output_channels: 1, or 3 equal ones.

    Raises:
        ValueError: `num_output_channels` is neither 1 nor 3.

    >>> Grayscale()(np.array([255, 0, 0], np.uint8).reshape(3, 1, 1)).tolist()
    [[[76]]]
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(f"expected 1 or 3 channels, got num_output_channels={num_output_channels}")
        self.num_output_channels = num_output_channels

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        images = to_colours(colours.grey(samples.images), samples.images)[:, None]
        return samples.with_images(np.repeat(images, self.num_output_channels, 1))


class _Some(Transform):
    """A change that a sample gets with probability `p`."""

    p: float

    def change(self, samples: Samples, draws: Draws) -> Any:
        """Return the changed images."""
        raise NotImplementedError

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        chosen = np.flatnonzero(draws.chance(self.p))
        if len(chosen) == 0:
            return samples
        images = samples.images.copy()
        images[chosen] = self.change(samples.take(chosen), draws.fork(0).take(chosen))
        return samples.with_images(images)


class RandomGrayscale(_Some):
    """Replace colours by their brightness with probability `p`; the number of channels stays.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> RandomGrayscale(p=1.0)(np.array([255, 0, 0], np.uint8).reshape(3, 1, 1)).ravel().tolist()
    [76, 76, 76]
    """

    def __init__(self, p: float = 0.1) -> None:
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return to_colours(colours.grey(samples.images), samples.images)[:, None]


class RandomInvert(_Some):
    """Turn colours into white minus themselves with probability `p`.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> RandomInvert(p=1.0)(np.array([[[10]]], np.uint8)).item()
    245
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.invert(samples.images)


class RandomPosterize(_Some):
    """Keep the highest `bits` of each colour's eight with probability `p`.

    Raises:
        ValueError: `bits` is no integer from 0 to 8.

    >>> RandomPosterize(2, p=1.0)(np.array([[[200]]], np.uint8)).item()
    192
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        if not is_integer(bits) or not 0 <= bits <= 8:
            raise ValueError(f"expected bits from 0 to 8, got {bits!r}")
        self.bits = int(bits)
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.posterize(samples.images, self.bits)


class RandomSolarize(_Some):
    """Invert the colours of at least a threshold, in the image's own unit, with probability `p`.

    Raises:
        ValueError: `p` is not from 0 to 1, or a threshold that is not finite.

    >>> RandomSolarize(128, p=1.0)(np.array([[[100, 200]]], np.uint8)).tolist()
    [[[100, 55]]]
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        self.threshold = finite(threshold, "threshold")
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.solarize(samples.images, self.threshold)


class RandomAutocontrast(_Some):
    """Stretch each channel from black to white with probability `p`.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> RandomAutocontrast(p=1.0)(np.array([[[100, 200]]], np.uint8)).tolist()
    [[[0, 255]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.autocontrast(samples.images)


class RandomEqualize(_Some):
    """Make all brightnesses about equally frequent with probability `p`.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> RandomEqualize(p=1.0)(np.zeros((1, 2, 2), np.uint8)).sum()
    np.uint64(0)
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.equalize(samples.images)


class RandomAdjustSharpness(_Some):
    """Change the sharpness with probability `p`.

    Args:
        sharpness_factor: 0 gives a smoothed image, 1 the image, 2 twice the difference.
        p: the probability.

    Raises:
        ValueError: a factor below 0, or a `p` that is not from 0 to 1.

    >>> RandomAdjustSharpness(2, p=1.0)(np.ones((1, 3, 3), np.uint8)).sum()
    np.uint64(9)
    """

    spatial = (2, 3)

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        self.sharpness_factor = finite(sharpness_factor, "sharpness_factor", 0)
        self.p = probability(p)

    def change(self, samples: Samples, draws: Draws) -> Any:
        return colours.adjust_sharpness(samples.images, self.sharpness_factor)


class GaussianBlur(Transform):
    """Smooth images with a Gaussian of random width.

    Args:
        kernel_size: pixels of the kernel, odd.
        sigma: standard deviations in pixels, (from, to) or one number.

    Raises:
        ValueError: a kernel size that is even, below 1 or no integer, or a sigma of 0.

    >>> GaussianBlur(3, sigma=1.0)(np.ones((1, 3, 3), np.uint8)).sum()
    np.uint64(9)
    """

    spatial = (2, 3)

    def __init__(self, kernel_size: int, sigma: Any = (0.1, 2.0)) -> None:
        if not is_integer(kernel_size) or kernel_size % 2 != 1:
            raise ValueError(f"expected kernel_size to be an odd integer, got {kernel_size!r}")
        if kernel_size < 1:
            raise ValueError(f"expected kernel_size of at least 1, got {kernel_size}")
        self.kernel_size = int(kernel_size)
        self.sigma = interval(sigma if isinstance(sigma, (tuple, list)) else (sigma, sigma), "sigma", 0)
        if self.sigma[0] == 0:
            raise ValueError(f"expected sigma above 0, got {sigma}")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        sigmas = draws.uniform(*self.sigma)
        return samples.with_images(colours.gaussian_blur(samples.images, sigmas, self.kernel_size))


class GaussianNoise(Transform):
    """Add noise to every element.

    Args:
        mean, sigma: of the noise, as shares of white.
        clip: whether the result is cut to the range of colours; uint8 always is.

    Raises:
        ValueError: a mean that is not finite, or a sigma below 0.

    >>> GaussianNoise(mean=0.5, sigma=0.0)(np.zeros((1, 1, 1), np.float32)).item()
    0.5
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean = finite(mean, "mean")
        self.sigma = finite(sigma, "sigma", 0)
        self.clip = bool(clip)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        images = samples.images
        noise = draws.noise(images.shape[1:]) * np.float32(self.sigma) + np.float32(self.mean)
        noisy = images + noise * np.float32(white(images))
        if images.dtype != np.uint8 and not self.clip:
            return samples.with_images(noisy.astype(np.float32))
        return samples.with_images(to_colours(noisy, images))
