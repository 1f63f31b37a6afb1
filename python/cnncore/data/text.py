# SPDX-License-Identifier: Apache-2.0
"""Texts as numbers: words or characters by a vocabulary or by hashing, rows of equal length."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .settings import MOST_SAMPLES, flag, integer, natural, one_of, several

__all__ = ["Tokenizer", "hash_tokens", "pad_sequences"]

_WORD = re.compile(r"\w+|[^\w\s]")


class Tokenizer:
    """Words or characters of texts as numbers of a vocabulary.

    Number 0 fills rows up, number 1 stands for what the vocabulary does not have.

    Args:
        level: "word" (runs of letters and digits, and single marks) or "char".
        size: the most frequent tokens that get numbers, the two above counted; None for all.
        min_count: occurrences below which a token gets no number.
        lower: whether upper-case letters count as lower-case ones.

    Attributes:
        vocabulary: the tokens in the order of their numbers, after `fit`.

    Raises:
        ValueError: another level than "word" and "char", a size below 3, or a call before `fit`.
        TypeError: one text where several are expected, or something else than text.

    >>> tokenizer = Tokenizer().fit(["the cat", "the dog"])
    >>> tokenizer(["the dog sleeps", "a cat"], length=4).tolist()
    [[2, 4, 1, 0], [1, 3, 0, 0]]
    >>> tokenizer.decode([2, 3])
    'the cat'
    """

    def __init__(
        self, level: str = "word", size: int | None = None, min_count: int = 1, lower: bool = True
    ) -> None:
        self.level = one_of("level", level, ("word", "char"))
        self.size = None if size is None else natural("size", size, 3)
        self.min_count, self.lower = integer("min_count", min_count), flag("lower", lower)
        self.vocabulary: list[str] = ["", "?"]
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def tokens(self, text: str) -> list[str]:
        """Return a text's tokens.

        Raises:
            TypeError: `text` is no str.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text, got {type(text).__name__}")
        text = text.lower() if self.lower else text
        return _WORD.findall(text) if self.level == "word" else list(text)

    def fit(self, texts: Iterable[str]) -> Tokenizer:
        """Number the tokens of texts: the most frequent first, equally frequent ones by their letters.

        Raises:
            TypeError: one text instead of a sequence of them.
        """
        texts = several("texts", texts, "texts")
        counts = Counter(token for text in texts for token in self.tokens(text))
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        kept = [token for token in ordered if counts[token] >= self.min_count]
        self.vocabulary = ["", "?", *kept[: None if self.size is None else self.size - 2]]
        self._numbers = {token: i for i, token in enumerate(self.vocabulary) if i > 1}
        return self

    def __call__(self, texts: Iterable[str], length: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of texts, (texts, length).

        Args:
            texts: a sequence of texts.
            length: numbers of each; longer texts are cut at the end. By default that of the longest.
        """
        texts = several("texts", texts, "texts")
        if not self._numbers:
            raise ValueError("expected a vocabulary: call fit(texts) first")
        return pad_sequences([[self._numbers.get(t, 1) for t in self.tokens(text)] for text in texts], length)

    def decode(self, numbers: Iterable[Any]) -> str:
        """Return the text of numbers; zeros are left out.

        Raises:
            ValueError: a number outside the vocabulary.
        """
        found = [int(number) for number in numbers]
        if found and not 0 <= min(found) <= max(found) < len(self.vocabulary):
            raise ValueError(f"expected numbers from 0 to {len(self.vocabulary) - 1}, got {found}")
        between = " " if self.level == "word" else ""
        return between.join(self.vocabulary[number] for number in found if number)


def hash_tokens(
    texts: Iterable[str], buckets: int, length: int | None = None, level: str = "word"
) -> NDArray[np.int64]:
    """Return numbers of tokens without a vocabulary: 1 + CRC-32 modulo (buckets - 1); 0 fills rows up.

    Args:
        texts: a sequence of texts.
        buckets: numbers in use, 0 included.
        length: numbers of each text; by default that of the longest.
        level: "word" or "char".

    Returns:
        (texts, length).

    Raises:
        ValueError: fewer than 2 buckets.

    >>> hash_tokens(["a b a"], buckets=100).tolist()
    [[46, 30, 46]]
    """
    buckets, texts = natural("buckets", buckets, 2), several("texts", texts, "texts")
    split = Tokenizer(level).tokens
    return pad_sequences(
        [[1 + crc32(token.encode()) % (buckets - 1) for token in split(text)] for text in texts], length
    )


def pad_sequences(
    sequences: Iterable[Sequence[Any]], length: int | None = None, value: Any = 0, side: str = "right"
) -> NDArray[Any]:
    """Return sequences as rows of one length.

    Args:
        sequences: of numbers, each of any length.
        length: numbers of each row; longer ones are cut at `side`. By default that of the longest.
        value: what fills the rest.
        side: "right" or "left".

    Returns:
        (sequences, length), int64 where all are integers, else float32.

    Raises:
        ValueError: another side, or a negative length.

    >>> pad_sequences([[1, 2, 3], [4]], length=2, side="left").tolist()
    [[2, 3], [0, 4]]
    """
    one_of("side", side, ("right", "left"))
    given = several("sequences", sequences, "rows of numbers")
    rows = [np.asarray(sequence).reshape(-1) for sequence in given]
    if any(row.size and row.dtype.kind not in "biuf" for row in rows):
        raise TypeError("expected sequences of numbers, got others")
    longest = max((len(row) for row in rows), default=0)
    width = longest if length is None else natural("length", length, 0, MOST_SAMPLES)
    whole = all(row.dtype.kind in "biu" or row.size == 0 for row in rows)
    result = np.full((len(rows), width), _fill(value, whole), np.int64 if whole else np.float32)
    for target, row in zip(result, rows, strict=True):
        if side == "right":
            target[: len(row)] = row[:width]
        elif width:
            kept = row[-width:]
            target[width - len(kept) :] = kept
    return result


def _fill(value: Any, whole: bool) -> Any:
    """Return what rows are filled up with, or raise where it is no number of theirs."""
    kind = np.asarray(value)
    if kind.shape != () or kind.dtype.kind not in "biuf":
        raise TypeError(f"expected value to be a number, got {value!r}")
    fits = not whole or (-(2**63) <= value < 2**63 and float(value).is_integer())
    if not fits:
        raise ValueError(f"expected value to be an integer of 64 bits, as the sequences' are, got {value}")
    return value
