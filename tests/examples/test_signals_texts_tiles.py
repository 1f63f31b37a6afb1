# SPDX-License-Identifier: Apache-2.0
"""The examples on texts, sequences, series, tiles and search run, and show what they are there to show."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def figures(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Run an example's quick form; return what it prints."""
    path = EXAMPLES / f"{name}.py"
    assert len(path.read_text().splitlines()) < 120
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", [str(path), "--quick"])
    found: dict[str, float] = module.main()
    return found


def test_text_features(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn.base", reason="needs scikit-learn")
    found = figures("text_features", monkeypatch)
    alone, both, table, joined, _ = found.values()
    assert both > alone + 0.2
    assert joined > table + 0.2


def test_satellite_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures("satellite_tiles", monkeypatch)
    assert found["same bits as the whole image"] == 1
    assert found["accuracy"] > found["accuracy of the nearest spectrum"]
    assert found["MB for tiles"] < found["MB for the whole image"]


def test_text_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures("text_cnn", monkeypatch)
    assert found["text CNN"] > 0.9 > 0.6 > found["bag of words"]


def test_dna_motifs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures("dna_motifs", monkeypatch)
    assert found["CNN"] > found["linear"] + 0.2
    assert found["letters found"] >= 7


def test_time_series(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures("time_series", monkeypatch)
    assert found["CNN"] > found["nearest neighbour"]


def test_similar_images(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures("similar_images", monkeypatch)
    assert found["embeddings"] > found["pixels"]
