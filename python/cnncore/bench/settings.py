# SPDX-License-Identifier: Apache-2.0
"""Checks of what measurements are given, made before the first of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..nn.arguments import positive, several

MOST = 2**31 - 1
"""Of the images in a batch, of the rounds of a measurement."""


def words(name: str, value: Any, known: Iterable[str]) -> list[str]:
    """Return at least one of the words that are known as a list, or raise naming the argument and them."""
    known = list(known)
    found = several(name, value, "words")
    for each in found or (None,):
        if not isinstance(each, str) or each not in known:
            raise ValueError(f"expected {name} among {', '.join(known)}, got {each!r}")
    return list(found)


def sizes(name: str, value: Any) -> list[int]:
    """Return at least one batch size as a list, or raise naming the argument."""
    found = several(name, value)
    if not found:
        raise ValueError(f"expected {name} as a list of integers, got {value!r}")
    return [positive(f"each of {name}", each, MOST) for each in found]
