# SPDX-License-Identifier: Apache-2.0
"""Pictures: one for each result file, always the same bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

USAGE = {"peak": 60.0, "end": 50.0, "imported": 30.0}
PROBLEM = {"layer": "layer1.0.conv2", "in_channels": 64, "out_channels": 64, "input": [56, 56]}


def sections(row_of: Any) -> dict[str, list[Any]]:
    """Some rows of each kind, as `run.py` writes them."""
    timed = {"cnncore": 1.0, "cnncore__exact": 1.5, "torch": 3.0}
    rows = [row_of("lenet5", "inference", 1, **timed), row_of("lenet5", "training", 64, **timed)]
    job = {"network": "lenet5", "mode": "inference", "batch": 1, "notes": []}
    layer = {"threads": 1, "problem": PROBLEM, "direction": "forward", "algorithm": "direct"}
    error = {"is_layer": True, "subject": "vgg16 features.2", "result": "output", "exact_rms": 4e-7}
    return {
        "networks": [row.as_json() for row in rows],
        "memory": [
            {**job, "usage": {"cnncore": USAGE, "onnxruntime": USAGE}},
            {**job, "mode": "training", "batch": 64, "usage": {"cnncore": USAGE}},
        ],
        "layers": [{**layer, "percent_of_peak": 90.0}, {**layer, "threads": 2, "percent_of_peak": 80.0}],
        "errors": [{**error, "fast": 1.8, "torch": 0.5}, {**error, "is_layer": False, "fast": 1, "torch": 1}],
    }


@pytest.mark.parametrize(
    ("section", "texts"),
    [
        ("networks", ["lenet5", "inference, batch 1", "geometric mean 3.00", '"exact" mode']),
        ("memory", ["lenet5", "training", "onnxruntime", "peak resident MB"]),
        ("layers", ["layer1.0.conv2", "forward", "1 thread", "2 threads"]),
        ("errors", ["vgg16 features.2", "output", "limit"]),
    ],
)
def test_a_result_file_becomes_a_picture(
    module_of: Any, row_of: Any, tmp_path: Path, section: str, texts: list[str]
) -> None:
    plots, results = module_of("plots"), module_of("results")
    file = tmp_path / "measured.json"
    results.ResultFile(file, {}).set(**{section: sections(row_of)[section]})
    first, second = (plots.draw(file, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["measured.svg"]
    assert first[0].read_bytes() == second[0].read_bytes()
    written = "".join(ElementTree.fromstring(first[0].read_text()).itertext())
    for text in texts:
        assert text in written
    assert "date" not in first[0].read_text()


def test_pictures_are_asked_for_by_file(
    module_of: Any, row_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module_of("results").ResultFile(tmp_path / "x.json", {}).set(layers=sections(row_of)["layers"])
    module_of("plots").main([str(tmp_path / "x.json"), "--output", str(tmp_path / "images")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "images" / "x.svg")
