# SPDX-License-Identifier: Apache-2.0
"""Step place_indices: places within an axis and the count of indices outside, for every integer type."""

from __future__ import annotations

import numpy as np
import pytest

from core.helpers import assert_same_bits_on_any_threads, run_step


def placed(indices: np.ndarray, least: int, most: int, extent: int) -> list[np.ndarray]:
    places = (indices.shape, "int64", "c") if extent else None
    attrs = {"least": least, "most": most, "extent": extent}
    return run_step("place_indices", [(indices, "c")], [places, ((), "int64")], attrs)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
@pytest.mark.parametrize("size", [1, 511, 513, 20000])
def test_places_and_count(dtype: str, size: int) -> None:
    """Blocks and tasks end inside of the sizes."""
    info = np.iinfo(dtype)
    indices = np.random.default_rng(size).integers(max(info.min, -60), min(info.max, 90), size).astype(dtype)
    wide = indices.astype(np.int64)
    for least in (0, -50):
        places, count = placed(indices, least, 49, 50)
        wrapped = np.where(wide < 0, wide + 50, wide) if least else wide
        assert np.array_equal(places, np.clip(wrapped, 0, 49))
        assert count == ((wide < least) | (wide > 49)).sum()


def test_the_largest_integers_are_outside() -> None:
    extremes = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    places, count = placed(extremes, -3, 2, 3)
    assert count == 2
    assert places.tolist() == [0, 2, 0]


def test_a_count_alone() -> None:
    (count,) = placed(np.arange(-5, 20000), 0, 9999, 0)
    assert count == 5 + 10000


def test_threads() -> None:
    indices = np.random.default_rng(0).integers(-9, 300, 100000)
    assert_same_bits_on_any_threads(lambda: placed(indices, 0, 255, 256))


def test_what_the_step_refuses() -> None:
    attrs = {"least": 0, "most": 1, "extent": 0}
    count = ((), "int64")
    with pytest.raises(ValueError, match="integers or booleans"):
        run_step("place_indices", [np.ones(3, np.float32)], [None, count], attrs)
    with pytest.raises(ValueError, match="extent of at least 1"):
        run_step("place_indices", [np.arange(3)], [((3,), "int64"), count], attrs)
