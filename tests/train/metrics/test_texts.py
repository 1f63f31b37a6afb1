# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.train.metrics import (
    WordErrorRate,
    character_error_rate,
    edit_distance,
    word_error_rate,
)


def by_recursion(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return by_recursion(a[1:], b[1:])
    return 1 + min(by_recursion(a[1:], b), by_recursion(a, b[1:]), by_recursion(a[1:], b[1:]))


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edit_distance(a: str, b: str) -> None:
    assert edit_distance(a, b) == edit_distance(list(a), tuple(b)) == by_recursion(a, b)


def test_rates_are_of_all_texts_together() -> None:
    found, reference = ["the cat", "on mat"], ["the cat sat", "on the mat"]
    assert word_error_rate(found, reference) == 2 / 6
    assert character_error_rate(["ab", ""], ["abcd", "xy"]) == 4 / 6
    assert character_error_rate("ab", "ab") == 0.0
    counted = WordErrorRate()
    for pair in zip(found, reference, strict=True):
        counted.update(*pair)
    assert counted.result() == 2 / 6
    assert word_error_rate("a b c", "a") == 2.0


def test_sequences_of_numbers() -> None:
    assert character_error_rate([np.array([1, 2, 3])], [[1, 3]]) == 0.5
    assert word_error_rate([[1, 2]], [(1, 2)]) == 0.0


def test_nothing_and_too_much() -> None:
    assert math.isnan(word_error_rate([], []))
    assert math.isnan(character_error_rate("a", ""))
    assert edit_distance("", "abc") == 3
    with pytest.raises(ValueError, match="wer: expected as many texts as references, got 1 and 2"):
        word_error_rate(["a"], ["a", "b"])
