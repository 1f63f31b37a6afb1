# SPDX-License-Identifier: Apache-2.0
"""The numbers that settings of layers and initial values take are those of `bounds.txt`, and
what their flags change is what `flags.txt` says.

`python -m nn.test_bounds` in `tests` writes the files anew; their difference is what layers take that
they did not, or the other way round.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from bounds import taken
from cnncore import nn
from nn.test_every_layer import ENTRIES, arrays

FILE, FLAGS = (Path(__file__).with_name(name) for name in ("bounds.txt", "flags.txt"))
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


def flags(name: str) -> list[str]:
    """A line for each flag of a layer with what is another by it: the text, the state, or a result."""
    settings, inputs = ENTRIES[name]
    kind = getattr(nn, name)
    given = dict(inspect.signature(kind).bind(*settings).arguments)

    def seen(**changed: bool) -> list[Any]:
        cc.manual_seed(0)
        layer = kind(**{**given, **changed})
        text = repr(layer)
        try:
            found = arrays(layer(*inputs))
        except (ValueError, IndexError):  # of inputs that it needs another form of then
            return [text, list(layer.state_dict()), None]
        return [text, list(layer.state_dict()), [(array.shape, array.tobytes()) for array in found]]

    lines, usual = [], seen()
    for parameter in inspect.signature(kind).parameters.values():
        if isinstance(parameter.default, bool):
            words = ["refused"]
            with suppress(ValueError):
                other = seen(**{parameter.name: not parameter.default})
                names = ("text", "state", "result")
                words = [word for word, a, b in zip(names, usual, other, strict=True) if a != b]
            lines.append(" ".join([f"{name}({parameter.name}={not parameter.default}):", *words]))
    return lines


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_layers_take(name: str) -> None:
    recorded = [line for line in FILE.read_text().splitlines() if line.startswith(f"{name}.")]
    assert lines(name) == recorded


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_what_flags_change(name: str) -> None:
    recorded = [line for line in FLAGS.read_text().splitlines() if line.startswith(f"{name}(")]
    assert flags(name) == recorded


if __name__ == "__main__":
    FILE.write_text("\n".join(line for name in NAMES for line in lines(name)) + "\n")
    FLAGS.write_text("\n".join(line for name in sorted(ENTRIES) for line in flags(name)) + "\n")
