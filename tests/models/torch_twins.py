# SPDX-License-Identifier: Apache-2.0
"""PyTorch's versions of the networks: those that the benchmark compares with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "benchmarks" / "peers" / "pytorch_twins.py"


def twins() -> dict[str, Any]:
    """Functions of (in_channels, classes) that return a torch module, by name."""
    spec = importlib.util.spec_from_file_location("pytorch_twins", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.TWINS
    return found
