# SPDX-License-Identifier: Apache-2.0
"""Texts and sequences of letters as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data
from cnncore.data import transforms as t

TEXTS = ["The cat sat.", "the dog, the CAT", ""]


def test_the_most_frequent_words_have_the_first_numbers() -> None:
    tokenizer = data.Tokenizer().fit(TEXTS)
    assert tokenizer.vocabulary == ["", "?", "the", "cat", ",", ".", "dog", "sat"]
    assert tokenizer(TEXTS).tolist() == [[2, 3, 7, 5, 0], [2, 6, 4, 2, 3], [0] * 5]
    assert tokenizer(["a bird, the cat"], length=3).tolist() == [[1, 1, 4]]
    assert tokenizer.decode([2, 3, 0, 0]) == "the cat"
    assert len(tokenizer) == 8


def test_sizes_and_counts() -> None:
    assert data.Tokenizer(size=4).fit(TEXTS).vocabulary == ["", "?", "the", "cat"]
    assert data.Tokenizer(min_count=2).fit(TEXTS).vocabulary == ["", "?", "the", "cat"]
    assert data.Tokenizer(lower=False).fit(TEXTS).vocabulary[2:4] == ["the", ","]


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5))
def test_characters_come_back(texts: list[str]) -> None:
    tokenizer = data.Tokenizer("char", lower=False).fit(texts)
    assert [tokenizer.decode(row) for row in tokenizer(texts)] == texts


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.Tokenizer("line"), "level 'word' or 'char'"),
        (lambda: data.Tokenizer(size=2), "size of at least 3"),
        (lambda: data.Tokenizer()(["a"]), r"call fit\(texts\) first"),
        (lambda: data.Tokenizer().fit(["a"]).decode([3]), "numbers from 0 to 2"),
        (lambda: data.hash_tokens(["a"], 1), "buckets of at least 2, got 1"),
        (lambda: data.pad_sequences([[1]], side="top"), "'right' or 'left'"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_one_text_is_no_sequence_of_texts() -> None:
    for make in (lambda: data.Tokenizer().fit("a b"), lambda: data.one_hot_sequences("ACG")):
        with pytest.raises(TypeError, match=r"expected (texts|sequences) to be several texts"):
            make()
    with pytest.raises(TypeError, match="expected a text, got int"):
        data.Tokenizer().fit([1])  # type: ignore[list-item]


def test_hashes_stay() -> None:
    rows = data.hash_tokens(["wort wort wörter", "x"], buckets=50)
    assert rows[0, 0] == rows[0, 1]
    assert rows.min() == 0
    assert rows[0].min() > 0
    assert rows.max() < 50
    assert np.array_equal(rows, data.hash_tokens(["wort wort wörter", "x"], buckets=50))


def test_rows_of_one_length() -> None:
    rows: list[list[float]] = [[1, 2, 3], [], [4]]
    assert data.pad_sequences(rows).tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert data.pad_sequences(rows, 2, value=-1, side="left").tolist() == [[2, 3], [-1, -1], [-1, 4]]
    assert data.pad_sequences([[0.5], [1]]).dtype == np.float32
    assert data.pad_sequences([], 3).shape == (0, 3)


def test_bases() -> None:
    x = data.one_hot_sequences(["ACGTN", "rn", ""])
    assert x.shape == (3, 4, 5)
    assert np.array_equal(x[0, :, :4], np.eye(4))
    assert x[0, :, 4].tolist() == [0.25] * 4
    assert x[1, :, 0].tolist() == [0.5, 0, 0.5, 0]
    assert not x[1:, :, 2:].any()
    assert data.one_hot_sequences(["U"])[0, :, 0].tolist() == [0, 0, 0, 1]
    assert data.one_hot_sequences(["U"], data.RNA)[0, :, 0].tolist() == [0, 0, 0, 1]
    assert data.one_hot_sequences(["MKé*"], data.PROTEIN).sum() == 2


@given(st.text("ACGT", min_size=1, max_size=20))
def test_the_other_strand(text: str) -> None:
    x = data.one_hot_sequences([text])
    (other,) = data.sequence_letters(data.reverse_complement(x))
    assert other == text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert np.array_equal(data.reverse_complement(data.reverse_complement(x)), x)
    assert np.array_equal(t.RandomReverseComplement(1.0)(x[0]), data.reverse_complement(x[0]))
