# SPDX-License-Identifier: Apache-2.0
"""PNG files, read back by Pillow."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest

from cnncore.viz.png import data_uri, encode

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (7, 5, 3)])
def test_pillow_reads_the_same_pixels(shape: tuple[int, ...]) -> None:
    image_module: Any = pytest.importorskip("PIL.Image")
    pixels = RNG.integers(0, 256, shape).astype(np.uint8)
    for content in (encode(pixels), base64.b64decode(data_uri(pixels, level=1).partition(",")[2])):
        with image_module.open(io.BytesIO(content)) as image:
            image.load()
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)]
)
def test_other_arrays(image: Any) -> None:
    with pytest.raises(ValueError, match="expected an image of uint8"):
        encode(image)
