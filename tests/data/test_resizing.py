# SPDX-License-Identifier: Apache-2.0
"""Images of any proportions in a size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data
from cnncore.data.resizing import FITS, fit_image

RNG = np.random.default_rng(0)


def test_crop_takes_the_middle_part() -> None:
    image = RNG.integers(0, 256, (3, 20, 50)).astype(np.uint8)
    # A whole number of pixels at either side: the same as resizing the part that is cut out, but for the
    # pixels at its edges, whose filter sees what was cut off.
    part = data.resize(np.ascontiguousarray(image[:, :, 15:35]), (10, 10))
    np.testing.assert_array_equal(fit_image(image, (10, 10), "crop")[:, :, 1:-1], part[:, :, 1:-1])
    tall = np.ascontiguousarray(image.transpose(0, 2, 1))
    part = data.resize(np.ascontiguousarray(tall[:, 20:30]), (10, 20))
    np.testing.assert_array_equal(fit_image(tall, (10, 20), "crop")[:, 1:-1], part[:, 1:-1])


def test_letterbox_takes_all_in_a_border() -> None:
    image = RNG.integers(0, 256, (1, 20, 40)).astype(np.uint8)
    found = fit_image(image, (20, 20), "letterbox")
    np.testing.assert_array_equal(found[:, 5:15], data.resize(image, (10, 20)))
    assert (found[:, :5] == 128).all()
    assert (found[:, 15:] == 128).all()
    floats = fit_image(image.astype(np.float32) / 255, (20, 20), "letterbox")
    np.testing.assert_allclose(floats[:, 0], np.float32(128 / 255))


def test_the_same_proportions_are_only_resized() -> None:
    image = RNG.integers(0, 256, (3, 12, 18)).astype(np.uint8)
    for fit in FITS:
        np.testing.assert_array_equal(fit_image(image, (8, 12), fit), data.resize(image, (8, 12)))
    with pytest.raises(ValueError, match="'stretch', 'crop', 'letterbox', got 'pad'"):
        fit_image(image, (8, 8), "pad")
    with pytest.raises(ValueError, match="got 'pad'"):
        data.ImagePreprocessing((8, 8), fit="pad")


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(FITS),
)
def test_any_image_fits_any_size(extents: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    image = np.full((1, *extents), 200, np.uint8)
    found = fit_image(image, size, fit)
    assert found.shape == (1, *size)
    colours = set(np.unique(found).tolist())
    assert colours <= ({200, 128} if fit == "letterbox" else {200})
    assert 200 in colours
