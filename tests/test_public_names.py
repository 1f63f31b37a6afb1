# SPDX-License-Identifier: Apache-2.0
"""Every public name says what it is, and shows it by an example that runs."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from cnncore import models, nn

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {"cnncore.onnx": "onnx", "cnncore.sklearn": "sklearn.base", "cnncore.torch_backend": "torch"}
"""What modules import that may be absent."""

MODULES = [
    module
    for path in sorted((DOCS / "reference").glob("*.md"))
    for module in re.findall(r"public-names:: (\S+)", path.read_text())
]


def documented(module: Any) -> list[str]:
    """The functions and classes that the reference has of a module."""
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    names = [name for name in getattr(module, "__all__", own) if not name.startswith("_")]
    return [
        name
        for name in names
        if inspect.isclass(getattr(module, name)) or inspect.isroutine(getattr(module, name))
    ]


def is_network(name: str, value: Any) -> bool:
    """Networks of the zoo and their classes, which are all used as the example of `models.get` shows."""
    home = getattr(value, "__module__", "")
    return home.startswith("cnncore.models.") and (
        any(each.rpartition(".")[2] == name for each in models.list())
        or (isinstance(value, type) and issubclass(value, nn.Module))
    )


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_an_example(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    values = {each: getattr(module, each) for each in documented(module)}
    assert values
    without = [each for each, value in values.items() if ">>> " not in (value.__doc__ or "")]
    assert [each for each in without if not is_network(each, values[each])] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_and_method_has_a_docstring(name: str) -> None:
    """Methods count where they are defined; `forward` is described where its class is."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    without = []
    for each in documented(module):
        value = getattr(module, each)
        methods = vars(value).items() if inspect.isclass(value) else ()
        for own, method in [("", value), *methods]:
            described = own.startswith("_") or own in ("forward", "extra_repr", "apply")
            if inspect.isroutine(method) and not described and not (inspect.getdoc(method) or "").strip():
                without.append(f"{each}.{own}".removesuffix("."))
    assert without == []


def test_the_reference_has_all_modules() -> None:
    assert {"cnncore", "cnncore.nn", "cnncore.ops", "cnncore.data", "cnncore.optim"} < set(MODULES)
