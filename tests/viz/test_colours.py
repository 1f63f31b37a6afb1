# SPDX-License-Identifier: Apache-2.0
"""Numbers as colours."""

from __future__ import annotations

import numpy as np

from cnncore.viz import colours


def lightness(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB."""
    share = rgb / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_larger_numbers_are_lighter() -> None:
    ramp = colours.sequential(np.linspace(0, 1, 100))
    assert (np.diff(lightness(ramp)) > 0).all()


def test_signs_are_apart_and_symmetric_in_lightness() -> None:
    below, zero, above = colours.signed(np.array([-1.0, 0.0, 1.0]))
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert lightness(zero) > 0.9
    assert abs(lightness(below) - lightness(above)) < 0.1


def test_numbers_that_are_none() -> None:
    found = colours.scaled(np.array([np.nan, np.inf, -np.inf, 2.0]))
    assert found.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert colours.scaled(np.full(3, 7.0)).tolist() == [0.0, 0.0, 0.0]
    assert colours.sequential(np.array([np.nan])).shape == (1, 3)


def test_pictures() -> None:
    grey = colours.picture(np.array([[[0.0, 0.5, 2.0]]]))
    assert grey.tolist() == [[0, 128, 255]]
    assert colours.picture(np.zeros((3, 2, 4))).shape == (2, 4, 3)


def test_where_there_is_no_heat_the_image_shows() -> None:
    image = np.array([[[0.0, 1.0]]])
    found = colours.overlaid(image, np.array([[0.0, 1.0]]))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1].tolist() == np.rint(0.4 * 255 + 0.6 * np.array([253, 231, 37])).tolist()


def test_tiles_and_gaps() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    whole = colours.tiled(images, columns=2, gap=1, shade=9)
    assert whole.tolist() == [
        [0, 0, 9, 1, 1],
        [0, 0, 9, 1, 1],
        [9, 9, 9, 9, 9],
        [2, 2, 9, 9, 9],
        [2, 2, 9, 9, 9],
    ]


def test_maps_of_every_rank() -> None:
    assert colours.maps_picture(np.zeros((4, 3, 3))).shape == (7, 7, 3)
    assert colours.maps_picture(np.zeros((100, 3, 3)), most=4).shape == (7, 7, 3)
    assert colours.maps_picture(np.zeros((2, 2, 3, 3))).shape == (6, 7, 3)
    assert colours.maps_picture(np.zeros((5, 9))).shape == (5, 9, 3)
    features = colours.maps_picture(np.arange(5.0), columns=3)
    assert features.shape == (2, 3, 3)
    assert features[1, 2].tolist() == [255, 255, 255]  # there is no sixth
