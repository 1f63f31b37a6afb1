# SPDX-License-Identifier: Apache-2.0
"""The handwritten digits that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Pair, Split, check_dtype, every_fifth_of_each_class


def digits(dtype: Any = "float32") -> Split:
    """Return 1,797 real handwritten digits of 8x8 pixels.

    The test images are every fifth image of each class, in the order of the source: 355; the other 1,442
    are for training. Both keep the source's order.

    Args:
        dtype: "float32" (0 to 1) or "uint8" (0 to 255, in the source's 17 levels).

    Returns:
        ``(x, y), (x, y)``: train and test; x (samples, 1, 8, 8), y (samples,) int64 from 0 to 9.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, the test part; licence CC BY 4.0.

    Raises:
        ValueError: another dtype than "float32" and "uint8".

    >>> (x, y), (x_test, y_test) = digits()
    >>> x.shape, x_test.shape, y[:10].tolist()
    ((1442, 1, 8, 8), (355, 1, 8, 8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    name = check_dtype(dtype)
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        levels = np.ascontiguousarray(file["images"])[:, None]  # in the file pixel by pixel, which packs best
        labels = file["labels"].astype(np.int64)
    images = (
        levels * np.float32(1 / 16) if name == "float32" else np.rint(levels * (255 / 16)).astype(np.uint8)
    )
    test = every_fifth_of_each_class(labels)
    return _pair(images, labels, ~test), _pair(images, labels, test)


def _pair(images: NDArray[Any], labels: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Pair:
    return images[chosen], labels[chosen]
