# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/scikit-learn.md run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytest.importorskip("sklearn.base", reason="needs scikit-learn")
pytest.importorskip("pandas", reason="the page shows columns of a DataFrame")


def test_examples() -> None:
    page = Path(__file__).parents[2] / "docs" / "scikit-learn.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
