# SPDX-License-Identifier: Apache-2.0
"""DNA, RNA and proteins as arrays with a channel for each letter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .settings import MOST_SAMPLES, natural, several

__all__ = ["DNA", "PROTEIN", "RNA", "one_hot_sequences", "reverse_complement", "sequence_letters"]

DNA = "ACGT"
"""The order makes the complement of a letter the one at the mirrored place."""
RNA = "ACGU"
"""DNA's order, with U for T."""
PROTEIN = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty amino acids."""
_CODES = {
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
    "N": "ACGT",
}
"""Letters for several bases (IUPAC, 1984)."""


def one_hot_sequences(
    sequences: Iterable[str], alphabet: str = DNA, length: int | None = None
) -> NDArray[np.float32]:
    """Return sequences with a channel for each letter of the alphabet.

    Args:
        sequences: texts; lower-case letters count as upper-case ones.
        alphabet: the letters in the order of their channels. With `DNA` and `RNA` a letter for several bases
            (N, R, Y, ...) has equal shares of them; other letters have zeros.
        length: letters of each; longer ones are cut at the end, zeros follow shorter ones. By default that of
            the longest.

    Returns:
        (sequences, letters, length), float32.

    Raises:
        TypeError: one text instead of several.
        ValueError: an alphabet with a letter twice.

    >>> one_hot_sequences(["ACN"])[0].T.tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]
    """
    given = several("sequences", sequences, "texts")
    if not all(isinstance(text, str) for text in given):
        raise TypeError(f"expected sequences as texts, got {given!r}")
    _check_alphabet(alphabet)
    texts = [text.upper() for text in given]
    longest = max(map(len, texts), default=0)
    width = longest if length is None else natural("length", length, 0, MOST_SAMPLES)
    table = _table(alphabet)
    result = np.zeros((len(texts), len(alphabet), width), np.float32)
    for target, text in zip(result, texts, strict=True):
        codes = np.frombuffer(text[:width].encode("latin-1", "replace"), np.uint8)
        target[:, : len(codes)] = table[codes].T
    return result


def sequence_letters(x: Any, alphabet: str = DNA) -> list[str]:
    """Return the texts of arrays (sequences, letters, length): the largest channel, N where all are equal.

    Raises:
        ValueError: another shape.

    >>> sequence_letters(one_hot_sequences(["ACGTN"]))
    ['ACGTN']
    """
    array = np.asarray(x)
    _check_alphabet(alphabet)
    if array.ndim != 3 or array.shape[1] != len(alphabet):
        raise ValueError(f"expected (sequences, {len(alphabet)}, length), got shape {array.shape}")
    equal = array.max(1) == array.min(1)
    letters = np.where(equal, "N", np.array(list(alphabet))[array.argmax(1)])
    return ["".join(row) for row in letters]


def reverse_complement(x: Any) -> NDArray[Any]:
    """Return the other strand of DNA or RNA: (..., 4, length) in the order A, C, G, T, turned over both ways.

    Raises:
        ValueError: another shape.

    >>> sequence_letters(reverse_complement(one_hot_sequences(["AACG"])))
    ['CGTT']
    """
    array = np.asarray(x)
    if array.ndim < 2 or array.shape[-2] != 4:
        raise ValueError(f"expected (..., 4, length), got shape {array.shape}")
    return np.ascontiguousarray(array[..., ::-1, ::-1])


def _check_alphabet(alphabet: str) -> None:
    if not isinstance(alphabet, str):
        raise TypeError(f"expected alphabet as a text, got {alphabet!r}")
    if not alphabet or len(set(alphabet)) != len(alphabet) or max(map(ord, alphabet)) > 255:
        raise ValueError(f"expected an alphabet of different letters of Latin-1, got {alphabet!r}")


def _table(alphabet: str) -> NDArray[np.float32]:
    """(256, letters): the channels of each byte."""
    table = np.zeros((256, len(alphabet)), np.float32)
    for channel, letter in enumerate(alphabet):
        table[ord(letter), channel] = 1
    if alphabet in (DNA, RNA):
        for letter, bases in _CODES.items():
            for base in bases.replace("T", alphabet[3]):
                table[ord(letter), alphabet.index(base)] = 1 / len(bases)
        table[ord("U" if alphabet == DNA else "T")] = table[ord(alphabet[3])]
    return table
