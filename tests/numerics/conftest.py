# SPDX-License-Identifier: Apache-2.0
"""PyTorch's versions of the networks, and thread counts put back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def torch_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, Any]], Any]:
    """Makes PyTorch's version of a network, with the weights of a cnncore state_dict."""
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from networks import NETWORKS
    from peers import pytorch_models

    def make(name: str, state: dict[str, Any]) -> Any:
        model = pytorch_models.build(NETWORKS[name])
        model.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in state.items()})
        return model

    return make


@pytest.fixture
def thread_count() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads for one test."""
    import cnncore as cc

    before = cc.get_num_threads()
    yield cc.set_num_threads
    cc.set_num_threads(before)


@pytest.fixture(autouse=True)
def _torch_modules_stay_out() -> Iterator[None]:
    """Modules imported from the benchmark's folder do not outlive a test under their short names."""
    yield
    for name in list(sys.modules):
        if name in ("networks", "peers") or name.startswith("peers."):
            del sys.modules[name]
