# SPDX-License-Identifier: Apache-2.0
"""The numbers that settings of layers take are those of `bounds.txt`.

`python -m nn.test_bounds` in `tests` writes the file anew; its difference is what layers take that
they did not, or the other way round.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bounds import taken
from cnncore import nn
from nn.test_every_layer import ENTRIES

FILE = Path(__file__).with_name("bounds.txt")


def lines(name: str) -> list[str]:
    kind = getattr(nn, name)
    return taken(kind, dict(inspect.signature(kind).bind(*ENTRIES[name][0]).arguments))


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_numbers_that_layers_take(name: str) -> None:
    recorded = [line for line in FILE.read_text().splitlines() if line.startswith(f"{name}.")]
    assert lines(name) == recorded


if __name__ == "__main__":
    FILE.write_text("\n".join(line for name in sorted(ENTRIES) for line in lines(name)) + "\n")
