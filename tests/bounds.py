# SPDX-License-Identifier: Apache-2.0
"""Which numbers a setting of a layer, an optimiser or a schedule takes, to be recorded."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

NUMBERS = (-1, 0, 0.5, 1, 1.5, 2, 7)


def taken(make: Callable[..., Any], given: dict[str, Any]) -> list[str]:
    """A line for each setting that takes some of the numbers and others not.

    Where the usual value is a pair, one of its numbers is another at a time.

    Args:
        make: a class, or a function with its arguments.
        given: settings that others need.
    """
    lines = []
    for parameter in inspect.signature(make).parameters.values():
        usual, name = parameter.default, parameter.name
        if isinstance(usual, bool) or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        pair = isinstance(usual, tuple) and len(usual) == 2
        tried = [(n, usual[1]) for n in NUMBERS] + [(usual[0], n) for n in NUMBERS] if pair else [*NUMBERS]
        found = []
        for value in tried:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    make(**{**given, name: value})
            except (TypeError, ValueError):
                continue
            found.append(str(value).replace(" ", ""))
        if 0 < len(found) < len(tried):
            lines.append(f"{make.__name__}.{name}: {' '.join(found)}")
    return lines
