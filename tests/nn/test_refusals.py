# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a layer is refused by its name when the layer is made."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest

from cnncore import nn

LINES = Path(__file__).with_name("representations.txt").read_text().splitlines()[1:]
TAKEN = {"norm_type"}
"""Of embeddings, as in torch: it matters only beside max_norm, which is refused."""


class Nonsense:
    """What no argument may be."""


def arguments(expression: str) -> tuple[Any, dict[str, Any]]:
    """The class of an expression and its arguments by name."""
    kind, text = getattr(nn, expression.partition("(")[0]), expression[expression.index("(") :]
    given, named = eval(f"(lambda *a, **k: (a, k)){text}")
    bound = inspect.signature(kind).bind(*given, **named).arguments
    return kind, {**bound, **bound.pop("settings", {})}


def rows() -> list[Any]:
    found = []
    for line in LINES:
        kind, given = arguments(line.split(" => ")[0])
        for parameter in inspect.signature(kind).parameters.values():
            name, value = parameter.name, given.get(parameter.name, parameter.default)
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if isinstance(parameter.default, bool) or variadic or name.startswith("_"):
                continue
            if not (name in TAKEN and kind.__name__.startswith("Embedding")):
                numbers = isinstance(value, (int, float))
                found += [(kind, given, name, wrong) for wrong in [Nonsense(), math.nan][: 1 + numbers]]
    return found


@pytest.mark.parametrize(
    ("kind", "given", "name", "wrong"),
    rows(),
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_settings_of_layers(kind: Any, given: dict[str, Any], name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        kind(**{**given, name: wrong})
