# SPDX-License-Identifier: Apache-2.0
"""Every public name of torch's namespaces is here, or on the page that says what is other."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import cnncore.nn
import cnncore.optim
from cnncore.nn import functional
from cnncore.optim import lr_scheduler

PAGE = Path(__file__).parent.parent / "docs" / "differences-from-torch.md"

SPACES = {
    "torch.nn": cnncore.nn,
    "torch.nn.functional": functional,
    "torch.optim": cnncore.optim,
    "torch.optim.lr_scheduler": lr_scheduler,
}


def public(space: str) -> list[str]:
    """Classes and functions that a user of torch meets in a namespace."""
    module = importlib.import_module(space)
    kinds = inspect.isroutine if space == "torch.nn.functional" else inspect.isclass
    own = getattr(module, "__all__", dir(module)) if space.endswith("lr_scheduler") else dir(module)
    found = [(name, getattr(module, name)) for name in own if not name.startswith("_")]
    return [
        name
        for name, value in found
        if kinds(value) and str(getattr(value, "__module__", None) or "torch").startswith("torch")
    ]


def on_page() -> set[str]:
    return set(re.findall(r"`([A-Za-z_]\w*)`", PAGE.read_text()))


@pytest.mark.parametrize("space", SPACES)
def test_every_name_is_here_or_on_the_page(space: str) -> None:
    pytest.importorskip("torch")
    names = public(space)
    assert len(names) > 10
    missing = {name for name in names if not hasattr(SPACES[space], name)}
    assert sorted(missing - on_page()) == []


@pytest.mark.parametrize("space", SPACES)
def test_names_that_are_not_there_yet_are_not_there(space: str) -> None:
    listed = PAGE.read_text().partition("## Not yet")[2]
    sections = dict(re.findall(r"^\* ([\w.]+): (.*?)(?=^\* |\Z)", listed, re.MULTILINE | re.DOTALL))
    assert set(sections) <= set(SPACES)
    names = re.findall(r"`(\w+)`", sections.get(space, ""))
    assert [name for name in names if hasattr(SPACES[space], name)] == []
