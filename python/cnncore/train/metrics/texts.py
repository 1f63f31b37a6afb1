# SPDX-License-Identifier: Apache-2.0
"""Error rates of texts and other sequences, by edit distance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .base import Metric, ratio


def edit_distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return the least number of insertions, deletions and substitutions between sequences (Levenshtein,
    1966).

    Raises:
        TypeError: something that is no sequence.

    >>> edit_distance("kitten", "sitting")
    3
    """
    numbers: dict[Any, int] = {}
    a, b = (
        np.array([numbers.setdefault(item, len(numbers)) for item in sequence], np.int64)
        for sequence in (_items(first), _items(second))
    )
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for item in a:
        least = row + 1  # without the item
        np.minimum(least[1:], row[:-1] + (b != item), out=least[1:])
        # Insertions cost 1 for each place further on: a running minimum once places are subtracted.
        row = np.minimum.accumulate(least - steps) + steps
    return int(row[-1])


def _items(sequence: Any) -> Iterable[Any]:
    items = sequence.tolist() if hasattr(sequence, "tolist") else sequence
    if not isinstance(items, Iterable):
        raise TypeError(f"expected a text or a sequence of items, got {sequence!r}")
    return [tuple(item) if isinstance(item, list) else item for item in items]


def _texts(values: Any) -> list[Any]:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes)):
        raise TypeError(f"expected texts as a list, one for each sample, got {values!r}")
    return list(values)


class _ErrorRate(Metric):
    counted = ("errors", "length")
    additive = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.errors, self.length = 0, 0

    def update(self, output: Any, target: Any) -> None:
        pair = ([output], [target]) if isinstance(target, str) else (_texts(output), _texts(target))
        if len(pair[0]) != len(pair[1]):
            raise ValueError(
                f"{self.name}: expected as many texts as references, got {len(pair[0])} and {len(pair[1])}"
            )
        for found, reference in zip(*pair, strict=True):
            parts = self.split(found), self.split(reference)
            self.errors += edit_distance(*parts)
            self.length += len(parts[1])

    def split(self, text: Any) -> Sequence[Any]:
        """Return the parts that are compared."""
        found: Sequence[Any] = text
        return found

    def result(self) -> float:
        return ratio(self.errors, self.length)


class CharacterErrorRate(_ErrorRate):
    """See `character_error_rate`.

    >>> CharacterErrorRate()(["cat"], ["cart"])
    0.25
    """

    name = "cer"


class WordErrorRate(_ErrorRate):
    """See `word_error_rate`.

    >>> WordErrorRate()(["the cat"], ["the cat sat down"])
    0.5
    """

    name = "wer"

    def split(self, text: Any) -> Sequence[Any]:
        return text.split() if isinstance(text, str) else text


def character_error_rate(output: Any, target: Any) -> float:
    """Return the edits from texts to references, by the characters of all references.

    Args:
        output: a text or several; or sequences of class numbers, such as decoded outputs of a CTC network.
        target: as many references.

    Returns:
        A number of at least 0, which may exceed 1; NaN where the references are empty.

    >>> character_error_rate(["kitten", "abc"], ["sitting", "abc"])
    0.3
    """
    return float(CharacterErrorRate()(output, target))


def word_error_rate(output: Any, target: Any) -> float:
    """Return the edits of words, parted by white space, by the words of all references.

    Arguments and result are those of `character_error_rate`.

    >>> word_error_rate("the cat sat", "the cat sat down")
    0.25
    """
    return float(WordErrorRate()(output, target))
