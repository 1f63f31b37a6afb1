# SPDX-License-Identifier: Apache-2.0
"""From image files to what a network takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._files import check_path, open_regular
from .images import EXTENSIONS, decode_fitted, read_image, with_channels
from .resizing import check_fit, check_size, fit_image
from .settings import finite


class _Fields(NamedTuple):
    size: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    items = values if isinstance(values, (list, tuple, np.ndarray)) else (values,)
    return tuple(finite(name, item) for item in items)


class ImagePreprocessing(_Fields):
    """Resizes images, makes them grey or coloured, and normalises each channel: (x - mean) / std.

    Args:
        size: (height, width) that images are resized to; None keeps theirs.
        mean: of each channel, of pixels from 0 to 1; their number is that of the channels.
        std: likewise.
        fit: for images of other proportions than the size: "stretch" changes theirs, "crop" takes the largest
            part in the middle that has the size's, "letterbox" takes all, with a grey border.

    Called with an image or images (..., channels, height, width), uint8 or floats from 0 to 1; returns
    float32.

    Raises:
        ValueError: mean and std of neither 1 nor 3 channels, or not finite, or a std of 0 or below; in a
            call, an array that is no (..., channels, height, width).
        TypeError: images of another dtype than uint8 or floats.

    >>> prepare = ImagePreprocessing((4, 4), [0.5], [0.25])
    >>> prepare(np.full((3, 8, 6), 255, np.uint8)).shape, float(prepare(np.ones((1, 4, 4))).max())
    ((1, 4, 4), 2.0)
    """

    __slots__ = ()

    def __new__(
        cls, size: Any = None, mean: Any = (0.0,), std: Any = (1.0,), fit: str = "stretch"
    ) -> ImagePreprocessing:
        means, stds = (_numbers(name, values) for name, values in (("mean", mean), ("std", std)))
        if len(means) not in (1, 3) or len(means) != len(stds):
            raise ValueError(f"expected mean and std of 1 or 3 channels, got {means} and {stds}")
        if not np.isfinite([*means, *stds]).all() or min(stds) <= 0:
            raise ValueError(f"expected finite means and a std above 0, got {means} and {stds}")
        return super().__new__(cls, None if size is None else check_size(size), means, stds, check_fit(fit))

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        return len(self.mean)

    def __call__(self, images: Any) -> NDArray[np.float32]:
        array = np.asarray(images)
        if array.ndim < 3 or 0 in array.shape:
            raise ValueError(f"expected images (..., channels, height, width), got shape {array.shape}")
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise TypeError(f"expected images of uint8 or floats from 0 to 1, got dtype {array.dtype}")
        flat = array.reshape(-1, *array.shape[-3:])
        if flat.shape[1] != self.channels or self.size not in (None, flat.shape[2:]):
            flat = np.stack([self._fitted(image) for image in flat])
        # Scale and shift in one multiplication and one subtraction.
        unit = 1 / 255 if flat.dtype == np.uint8 else 1.0
        std = np.array(self.std)
        scale, shift = unit / std, np.array(self.mean) / std
        normalised: NDArray[np.float32] = flat * scale.astype(np.float32)[:, None, None]
        normalised = normalised.astype(np.float32, copy=False)
        normalised -= shift.astype(np.float32)[:, None, None]
        return normalised.reshape(*array.shape[:-3], *normalised.shape[1:])

    def _fitted(self, image: NDArray[Any]) -> NDArray[Any]:
        if self.size is not None and image.shape[1:] != self.size:
            image = fit_image(image, self.size, self.fit)
        return with_channels(image, self.channels)


def image_files(path: str | os.PathLike[str]) -> list[str]:
    """Return the image files in a folder and the folders below it, in order; of a file its own name.

    Hidden files and folders are passed over.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: a folder without images.

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("b.npy", "a.npy"):
    ...     np.save(os.path.join(folder, name), np.zeros((4, 4), np.uint8))
    >>> [os.path.basename(path) for path in image_files(folder)]
    ['a.npy', 'b.npy']
    """
    name = check_path(path, "the path of a file or folder")
    if not os.path.exists(name):
        raise FileNotFoundError(2, "no such file or folder", name)
    if not os.path.isdir(name):
        return [name]
    found = []
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        found += [
            os.path.join(folder, file)
            for file in sorted(files)
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in EXTENSIONS
        ]
    if not found:
        raise ValueError(f"{name}: expected image files, got a folder without any")
    return sorted(found)


def read_fitted(path: str, size: tuple[int, int] | None, fit: str) -> NDArray[np.uint8]:
    """Return the image of a file, uint8 (1 or 3, height, width), in a size; JPEGs decoded no larger."""
    with open_regular(path) as file:
        return decode_fitted(file.read(), path, size, fit)


class ImageReader:
    """Reads files as a network takes them.

    Args:
        prepare: function of an image (channels, height, width), uint8, such as an `ImagePreprocessing`.
    """

    def __init__(self, prepare: Callable[[Any], Any]) -> None:
        self.prepare = prepare

    def files(self, paths: Any) -> list[str]:
        """Return the image files that a name, or several, of files and folders stand for."""
        several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        return [file for path in several for file in image_files(path)]

    def read(self, files: Sequence[str]) -> NDArray[np.float32]:
        """Return images as (files, channels, height, width)."""
        channels = len(getattr(self.prepare, "mean", ())) or None
        images = [self._prepared(file, channels) for file in files]
        shapes = {image.shape: file for image, file in zip(images, files, strict=True)}
        if len(shapes) > 1:
            (first, one), (second, other) = list(shapes.items())[:2]
            raise ValueError(
                f"expected images of one size, got {first} of {one} and {second} of {other}: the model's "
                "preprocessing names no size"
            )
        return np.stack(images)

    def _prepared(self, file: str, channels: int | None) -> Any:
        try:
            if isinstance(self.prepare, ImagePreprocessing):
                return self.prepare(read_fitted(file, self.prepare.size, self.prepare.fit))
            return self.prepare(read_image(file, channels, dtype="uint8"))
        except ValueError as error:
            text = str(error)
            raise ValueError(text if file in text else f"{file}: {text}") from None
