# SPDX-License-Identifier: Apache-2.0
"""The numbers that settings of layers and initial values take are those of `bounds.txt`.

`python -m nn.test_bounds` in `tests` writes the file anew; its difference is what layers take that
they did not, or the other way round.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from bounds import taken
from cnncore import nn
from nn.test_every_layer import ENTRIES

FILE = Path(__file__).with_name("bounds.txt")
NEEDED = {"constant_": {"val": 1.0}, "sparse_": {"sparsity": 0.5}}
VALUES = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]
NAMES = [*sorted(ENTRIES), *sorted(VALUES)]


def lines(name: str) -> list[str]:
    if name in VALUES:
        function = getattr(nn.init, name)
        rank = 3 if name == "dirac_" else 2
        return taken(function, {"tensor": np.zeros((4, 4, 3)[:rank], np.float32), **NEEDED.get(name, {})})
    kind = getattr(nn, name)
    return taken(kind, dict(inspect.signature(kind).bind(*ENTRIES[name][0]).arguments))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_layers_take(name: str) -> None:
    recorded = [line for line in FILE.read_text().splitlines() if line.startswith(f"{name}.")]
    assert lines(name) == recorded


if __name__ == "__main__":
    FILE.write_text("\n".join(line for name in NAMES for line in lines(name)) + "\n")
