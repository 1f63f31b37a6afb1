# SPDX-License-Identifier: Apache-2.0
"""Examples in documents run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import cnncore as cc

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["training.md"])
def test_examples_run(name: str) -> None:
    cc.manual_seed(0)
    found = doctest.testfile(str(DOCS / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
