# SPDX-License-Identifier: Apache-2.0
"""What all tests share: where the data sets are, and hypothesis without clocks or chance."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("cnncore", deadline=None, derandomize=True)
settings.load_profile("cnncore")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the data sets; tests that need one are skipped without it."""
    root = os.environ.get("CNNCORE_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("CNNCORE_DATA does not name the folder with the data sets")
    return Path(root)


@pytest.fixture
def unfused(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Leaves fusion out of what is compiled from here on."""
    from cnncore.compiler import pipeline

    def leave_out() -> None:
        run = pipeline.run

        def without(passes: Sequence[pipeline.Pass], graph: Any) -> None:
            run([apply for apply in passes if apply not in pipeline.FUSIONS], graph)

        monkeypatch.setattr(pipeline, "run", without)

    return leave_out
