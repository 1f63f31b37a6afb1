# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a layer is refused by its name when the layer is made."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest

from cnncore import nn
from nn.test_every_layer import ENTRIES

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


def made() -> list[tuple[Any, dict[str, Any]]]:
    """Each layer with arguments by name: those of the texts, and the others of the table."""
    found = [arguments(line.split(" => ")[0]) for line in LINES]
    seen = {kind.__name__ for kind, _ in found}
    for name, (given, _) in ENTRIES.items():
        if name not in seen:
            kind = getattr(nn, name)
            found.append((kind, dict(inspect.signature(kind).bind(*given).arguments)))
    return found


def rows() -> list[Any]:
    found = []
    for kind, given in made():
        for parameter in inspect.signature(kind).parameters.values():
            name, value = parameter.name, given.get(parameter.name, parameter.default)
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if isinstance(value, bool) or isinstance(parameter.default, bool) or variadic:
                continue
            if name.startswith("_") or parameter.annotation in ("bool", "bool | None"):
                continue
            if not (name in TAKEN and kind.__name__.startswith("Embedding")):
                numbers = isinstance(value, (int, float))
                wrong = ["no such word", {}, Nonsense(), *[math.nan] * numbers]
                wrong += [[1, 2, 3, 4, 5, 6, 7]] * (parameter.annotation in ("int", "float"))
                found += [(kind, given, name, each) for each in wrong]
    return found


@pytest.mark.parametrize(
    ("kind", "given", "name", "wrong"),
    rows(),
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_settings_of_layers(kind: Any, given: dict[str, Any], name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        kind(**{**given, name: wrong})


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss, nn.SoftmaxFocalLoss, nn.CTCLoss])
@pytest.mark.parametrize("wrong", [0.5, math.inf, None, True, "1"])
def test_labels_are_whole_numbers(kind: Any, wrong: Any) -> None:
    name = "blank" if kind is nn.CTCLoss else "ignore_index"
    with pytest.raises(TypeError, match=f"expected an integer {name}"):
        kind(**{name: wrong})


@pytest.mark.parametrize("name", ["custom_encoder", "custom_decoder"])
def test_own_parts_of_a_transformer(name: str) -> None:
    sizes = {"d_model": 4, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 4}
    for wrong in (7, 0, "text"):
        with pytest.raises(TypeError, match=f"expected {name} to be a Module or a function"):
            nn.Transformer(**sizes, **{name: wrong})
    empty = nn.ModuleList()
    assert getattr(nn.Transformer(**sizes, **{name: empty}), name.removeprefix("custom_")) is empty
