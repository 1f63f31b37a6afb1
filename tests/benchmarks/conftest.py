# SPDX-License-Identifier: Apache-2.0
"""The modules of the benchmarks folder, which is no package, and results to draw."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OWN_MODULES = {file.stem for file in BENCHMARKS.iterdir() if file.suffix == ".py" or file.is_dir()}


@pytest.fixture
def module_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmarks folder, by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in list(sys.modules):
        if name.partition(".")[0] in OWN_MODULES:
            del sys.modules[name]


@pytest.fixture
def row_of(module_of: Any) -> Callable[..., Any]:
    """A maker of rows: network, mode, batch, and milliseconds by runner, with "__" for a space."""
    from cnncore.bench.timing import Timing

    def make(network: str, mode: str, batch: int, **times: float) -> Any:
        row = module_of("results").Row(network, mode, batch)
        for name, milliseconds in times.items():
            row.times[name.replace("__", " ")] = Timing(0.9e-3 * milliseconds, 1e-3 * milliseconds, 5)
        return row

    return make
