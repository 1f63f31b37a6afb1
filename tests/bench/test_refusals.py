# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a measurement is refused by its name, before anything is measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import bench
from cnncore.bench import layers, networks, shapes, timing

PROBLEM = shapes.resnet50(1)[1]


class Nonsense:
    """What no argument may be."""


WRONG: list[Any] = [Nonsense(), np.full((2, 3), -1.0), -1, math.nan, math.inf, 2**70, 10**400, "no such word"]


def refused(name: str) -> Any:
    return pytest.raises((TypeError, ValueError), match=rf"\b{name}\b")


@pytest.mark.parametrize("wrong", [*WRONG, [], "", ["lenet6"], [0], [None], [True]])
@pytest.mark.parametrize("name", ["networks", "modes", "batches", "layers", "quick"])
def test_of_an_installation(name: str, wrong: Any) -> None:
    with refused(name):
        bench.run(**{"networks": ["lenet5"], "modes": ["inference"], "quick": True, name: wrong})


@pytest.mark.parametrize("wrong", [None, *WRONG])
@pytest.mark.parametrize("name", ["seconds", "min_rounds", "settle", "burst", "calls"])
def test_of_timing(name: str, wrong: Any) -> None:
    called: list[int] = []
    with refused(name):
        timing.interleaved(**{"calls": {"append": lambda: called.append(1)}, name: wrong})
    assert not called


@pytest.mark.parametrize("wrong", [None, *WRONG, True])
@pytest.mark.parametrize("name", ["problems", "directions", "accuracy", "seconds"])
def test_of_layers(name: str, wrong: Any) -> None:
    """Also where nobody asks for the first result."""
    with refused(name):
        layers.measure(**{"problems": [PROBLEM], name: wrong})


@pytest.mark.parametrize("wrong", [None, *WRONG])
@pytest.mark.parametrize("name", ["problem", "direction", "accuracy", "packs"])
def test_of_one_step(name: str, wrong: Any) -> None:
    with refused(name):
        layers.step(**{"problem": PROBLEM, "direction": "forward", "accuracy": "exact", name: wrong})


@pytest.mark.parametrize("wrong", [None, *WRONG, (1, 1, 28)])
def test_of_networks(wrong: Any) -> None:
    with refused("seconds"):
        networks.measure(seconds=wrong)
    with refused("input_shape"):
        networks.predictor("lenet5", wrong)


@pytest.mark.parametrize("wrong", [None, *WRONG, 0, True, 1.5])
def test_of_problems(wrong: Any) -> None:
    with refused("batch"):
        shapes.resnet50(wrong)


HEADER = ",".join(shapes.COLUMNS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 0: expected the columns network, layer, .*; 'network' is missing"),
        (b"hello\nhello\n", "line 1: expected the columns .*'network' is missing"),
        (f"{HEADER}\nn,l,x,1,3,4,8,3,1,0,0,1,6\n".encode(), "line 2: invalid literal for int.*'x'"),
        (f"{HEADER}\nn,l\n".encode(), "line 2: "),
        (f"{HEADER}\nn,l,1,1,3,4,8,3,1,0,0,1,7\n".encode(), "line 2: n l: output is .6,., the file says 7"),
        (b"\xff\xfe\x00", "line 0: 'utf-8'"),
    ],
)
def test_tables_of_problems(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "shapes.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"shapes\.csv: {message}"):
        shapes.read_csv(path)


def test_what_is_no_file_is_no_table() -> None:
    with pytest.raises(ValueError, match="/dev/zero: expected a regular file"):
        shapes.read_csv("/dev/zero")
    with pytest.raises(TypeError, match="a file's path, got 0"):
        shapes.read_csv(0)  # type: ignore[arg-type]


def test_sizes_beyond_floats_are_told() -> None:
    with pytest.raises(MemoryError, match="EB, but this process can get"):
        cc.models.lenet5(classes=10**400)
