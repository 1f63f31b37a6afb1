# SPDX-License-Identifier: Apache-2.0
"""Every public name says what it is, and shows it by an example that runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
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


def functions(value: Any) -> Iterator[tuple[str, FunctionType, str]]:
    """A function, or what a class defines and users call: name, function, and what describes it.

    A method without a docstring of its own is described where its class is.
    """
    if not inspect.isclass(value):
        function = inspect.unwrap(value)
        if isinstance(function, FunctionType):
            yield value.__name__, function, value.__doc__ or ""
        return
    for name, member in vars(value).items():
        function = inspect.unwrap(getattr(member, "__func__", member))
        called = not name.startswith("_") or name in ("__init__", "__new__", "__call__", "__getitem__")
        if isinstance(function, FunctionType) and called and function.__module__.startswith("cnncore."):
            yield f"{value.__name__}.{name}", function, f"{value.__doc__} {function.__doc__}"


REFUSALS = {"ValueError", "TypeError", "IndexError", "ImportError", "shape_error", "dtype_error"}


def refuses(function: Any, others: bool = True) -> bool:
    """Whether a function has a `raise` of its own, or calls a private one of its own file that has."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if getattr(node.exc.func, "id", "") in REFUSALS:
                return True
        elif others and isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            helper = inspect.unwrap(function.__globals__.get(node.func.id) or print)
            own = isinstance(helper, FunctionType) and helper.__module__ == function.__module__
            if own and helper.__name__.startswith("_") and refuses(helper, others=False):
                return True
    return False


@pytest.mark.parametrize("name", MODULES)
def test_what_raises_says_so(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    silent = [
        own
        for each in documented(module)
        if not is_network(each, getattr(module, each))
        for own, function, described in functions(getattr(module, each))
        if "Raises:" not in described and refuses(function)
    ]
    assert silent == []


def test_what_a_function_refuses_is_found() -> None:
    from cnncore import ops

    assert refuses(inspect.unwrap(ops.full))  # by itself
    assert refuses(inspect.unwrap(ops.lp_pool1d))  # by a function of its file
    assert not refuses(inspect.unwrap(ops.relu))


def test_the_reference_has_all_modules() -> None:
    assert {"cnncore", "cnncore.nn", "cnncore.ops", "cnncore.data", "cnncore.optim"} < set(MODULES)
