# SPDX-License-Identifier: Apache-2.0
"""How layers show themselves: in torch's words where it has the layer, but tuples for sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnncore import nn

LINES = Path(__file__).with_name("representations.txt").read_text().splitlines()[1:]


@pytest.mark.parametrize("line", LINES)
def test_repr(line: str) -> None:
    expression, shown = line.split(" => ")
    assert repr(eval(f"nn.{expression}", {"nn": nn})) == shown
