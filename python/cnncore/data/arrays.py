# SPDX-License-Identifier: Apache-2.0
"""The forms in which data sets are returned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[Any], NDArray[np.int64]]
Split = tuple[Pair, Pair]

DTYPES = ("float32", "uint8")


def check_dtype(dtype: Any) -> str:
    """Return "float32" or "uint8" for what means it."""
    try:
        name = str(np.dtype(dtype))
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise ValueError(f"expected dtype 'float32' (0 to 1) or 'uint8' (0 to 255), got {dtype!r}")
    return name


def as_dtype(images: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Return images of 0 to 255 as they are, or as float32 from 0 to 1."""
    if dtype == "uint8":
        return images
    scaled: NDArray[np.float32] = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
    return scaled


TEST_EVERY = 5


def every_fifth_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the mask of the samples kept for the test: the fifth, tenth, ... of each class.

    >>> every_fifth_of_each_class(np.array([7, 7, 7, 7, 7, 3, 7])).tolist()
    [False, False, False, False, True, False, False]
    """
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return chosen
