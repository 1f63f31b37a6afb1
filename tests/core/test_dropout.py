# SPDX-License-Identifier: Apache-2.0
"""dropout against Philox4x32-10 written out in Python integers (Salmon et al. 2011)."""

from __future__ import annotations

import numpy as np
import pytest

from core.helpers import Array, assert_same_bits_on_any_threads, random_floats, run_step

WORD = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four random words of a counter."""
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = (
            (second >> 32) ^ counter[1] ^ key[0],
            second & WORD,
            (first >> 32) ^ counter[3] ^ key[1],
            first & WORD,
        )
        key = ((key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD)
    return counter


def random_words(count: int, seed: int, step: int, key: int) -> Array:
    """The words of elements 0 ... count - 1: element 64 b + 16 w + i is word w of counter 16 b + i."""
    blocks = -(-count // 64)
    words = np.empty((blocks, 4, 16), np.uint64)
    for block in range(blocks):
        for i in range(16):
            counter = (16 * block + i, key, step & WORD, step >> 32)
            words[block, :, i] = philox(counter, (seed & WORD, seed >> 32))
    return words.reshape(-1)[:count]


def dropout(x: Array, p: float, key: int = 3, seed: int = 1, step: int = 2) -> Array:
    rng = np.array([seed, step], np.int64)
    return run_step("dropout", [x, rng], [(x.shape, "float32")], {"p": p, "key": key})[0]


def test_the_reference_gives_the_published_answer() -> None:
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)


@pytest.mark.parametrize("count", [1, 4, 15, 16, 17, 63, 64, 65, 129, 1009])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.999, 1.0])
def test_the_mask_is_that_of_the_reference(count: int, p: float) -> None:
    seed, step, key = 0x123456789ABCDEF, 2**33 + 7, 9
    x = random_floats(0, count)
    keep = (random_words(count, seed, step, key) >> np.uint64(8)) >= round(p * 2**24)
    scale = np.float32(1 / (1 - p) if p < 1 else 0)
    np.testing.assert_array_equal(dropout(x, p, key, seed, step), np.where(keep, x * scale, 0))


def test_everything_but_the_element_changes_the_mask() -> None:
    x = np.ones(4096, np.float32)
    masks = [
        dropout(x, 0.5) != 0,
        dropout(x, 0.5, key=4) != 0,
        dropout(x, 0.5, seed=2) != 0,
        dropout(x, 0.5, seed=1 + 2**32) != 0,
        dropout(x, 0.5, step=3) != 0,
        dropout(x, 0.5, step=2 + 2**32) != 0,
    ]
    for i, first in enumerate(masks):
        for second in masks[:i]:
            # 4096 fair coins agree in 2048 +- 32 places; 6 deviations.
            assert abs(np.count_nonzero(first == second) - 2048) < 192
    np.testing.assert_array_equal(dropout(x, 0.5) != 0, masks[0])


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_of_kept_elements(p: float) -> None:
    count = 1 << 20
    kept = np.count_nonzero(dropout(np.ones(count, np.float32), p))
    assert abs(kept - (1 - p) * count) < 5 * np.sqrt(count * p * (1 - p))


def test_a_dropped_nan_is_dropped() -> None:
    x = np.full(256, np.nan, np.float32)
    kept = dropout(np.ones(256, np.float32), 0.5) != 0
    np.testing.assert_array_equal(np.isnan(dropout(x, 0.5)), kept)


def test_same_bits_on_any_threads() -> None:
    x = random_floats(0, 30, 64, 24, 24)
    assert_same_bits_on_any_threads(lambda: [dropout(x, 0.3)])


@pytest.mark.parametrize("count", [1, 15, 17, 64, 65, 1009, 40000])
def test_uniform_numbers_are_the_reference_s_bits(count: int) -> None:
    seed, step, key = 0x123456789ABCDEF, 2**33 + 7, 9
    rng = np.array([seed, step], np.int64)
    (y,) = run_step("uniform", [rng], [((count,), "float32")], {"key": key})
    shown = min(count, 1009)
    bits = random_words(shown, seed, step, key) >> np.uint64(9)
    np.testing.assert_array_equal(y[:shown], (bits + 0.5) / 2**23)
    assert y.min() > 0
    assert y.max() < 1
    # A mean's six standard deviations.
    assert abs(y.mean() - 0.5) < 6 / np.sqrt(12 * count)


def test_uniform_numbers_are_the_same_on_any_threads() -> None:
    rng = np.array([1, 2], np.int64)
    assert_same_bits_on_any_threads(
        lambda: [run_step("uniform", [rng], [((3, 5, 70, 70), "float32")], {"key": 0})[0]]
    )


def test_wrong_specifications_are_refused() -> None:
    x, rng = random_floats(0, 8), np.zeros(2, np.int64)
    like_x = [((8,), "float32")]
    with pytest.raises(ValueError, match="probability"):
        run_step("dropout", [x, rng], like_x, {"p": 1.5, "key": 0})
    with pytest.raises(ValueError, match="seed and step"):
        run_step("dropout", [x, rng[:1]], like_x, {"p": 0.5, "key": 0})
    with pytest.raises(ValueError, match="missing attribute 'key'"):
        run_step("dropout", [x, rng], like_x, {"p": 0.5})
    with pytest.raises(ValueError, match="seed and step"):
        run_step("uniform", [rng[:1]], like_x, {"key": 0})
