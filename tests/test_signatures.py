# SPDX-License-Identifier: Apache-2.0
"""Arguments and defaults of public functions and classes stay as `signatures.txt` has them.

A script that runs with one version runs with the next. `python tests/test_signatures.py` writes the file
anew; its difference is what a change asks of users.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(__file__).with_name("signatures.txt")
MODULES = [
    "cnncore",
    "cnncore.nn",
    "cnncore.nn.init",
    "cnncore.nn.utils",
    "cnncore.nn.utils.rnn",
    "cnncore.ops",
    "cnncore.optim",
    "cnncore.optim.lr_scheduler",
    "cnncore.optim.swa_utils",
    "cnncore.train",
    "cnncore.train.metrics",
    "cnncore.data",
    "cnncore.data.transforms",
    "cnncore.models",
    "cnncore.models.detection",
    "cnncore.models.segmentation",
    "cnncore.models.video",
    "cnncore.io",
]


def signature(value: Any) -> str:
    """The arguments with their defaults; those that are no plain values by their type."""
    parts, kinds = [], inspect.Parameter
    for parameter in inspect.signature(value).parameters.values():
        prefix = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind is kinds.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        text = prefix + parameter.name
        if parameter.default is not kinds.empty:
            plain = repr(parameter.default)
            text += f"={plain if ' at 0x' not in plain else type(parameter.default).__name__}"
        parts.append(text)
    return f"({', '.join(parts)})"


def members(name: str, value: Any) -> list[str]:
    """The lines of a function, or of a class and the methods that it defines itself."""
    try:
        lines = [f"{name}{signature(value)}"]
    except ValueError:  # no arguments are known of exceptions and types in C
        lines = [name]
    if inspect.isclass(value):
        for key, method in sorted(vars(value).items()):
            if not key.startswith("_") and key != "extra_repr" and inspect.isfunction(method):
                lines.append(f"{name}.{key}{signature(method)}")
    return lines


def signatures() -> list[str]:
    lines = []
    for module in map(import_module, MODULES):
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
        for name in sorted(getattr(module, "__all__", own)):
            value = getattr(module, name)
            if callable(value) and not isinstance(value, ModuleType) and not name.startswith("_"):
                lines += members(f"{module.__name__}.{name}", value)
    methods = import_module("cnncore.ops.methods").Methods
    lines += members("Tensor", methods)
    return lines


def test_arguments_and_defaults_are_those_of_the_last_version() -> None:
    before, now = FILE.read_text().splitlines(), signatures()
    gone, new = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    assert not gone, "these have changed or are gone"
    assert not new, "these are new: python tests/test_signatures.py writes them down"


def test_modules_show_the_arguments_of_their_class() -> None:
    from cnncore import nn

    assert str(inspect.signature(nn.MaxPool2d)).startswith("(kernel_size")
    assert list(inspect.signature(nn.ReLU).parameters) == ["inplace"]
    assert list(inspect.signature(nn.Linear(2, 1)).parameters) == ["inputs", "kwargs"]


if __name__ == "__main__":
    FILE.write_text("\n".join(signatures()) + "\n")
