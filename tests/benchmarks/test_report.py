# SPDX-License-Identifier: Apache-2.0
"""Tables, and the places in documents that they go to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RowOf = Callable[..., Any]


@pytest.fixture
def rows(row_of: RowOf) -> list[Any]:
    """Two networks, one of them in both modes."""
    return [
        row_of("lenet5", "inference", 1, cnncore=1.0, cnncore__exact=1.25, torch=2.0, torch__frozen=1.5),
        row_of("resnet20", "inference", 1, cnncore=1.0, cnncore__exact=1.0, torch=9.0, onnxruntime=4.5),
        row_of("lenet5", "training", 64, cnncore=2.0, torch=6.0, torch__channels_last=5.0),
    ]


def cells(text: str, *begin: str) -> list[str]:
    """The cells of the table's only row that begins with these."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    (found,) = (line for line in lines if line[: len(begin)] == list(begin))
    return found


def test_all_runners_are_in_the_long_table(module_of: Any, rows: list[Any]) -> None:
    rows[0].notes.append("openvino: is ill")
    text = module_of("report").networks(rows)
    header = ["network", "mode", "batch", "cnncore", "cnncore exact", "torch", "torch frozen"]
    assert cells(text, "network")[:7] == header
    assert cells(text, "lenet5", "inference")[-2:] == ["1.50 (1.50)", "1.20 (1.20)"]
    assert "inference, batch 1: geometric mean over 2 networks 2.60 (2.60)" in text
    assert "training: geometric mean over 1 networks 2.50 (2.50); lowest 2.50, lenet5" in text
    assert "lenet5 inference b1: openvino: is ill" in text


def test_the_short_table_has_the_fastest_of_each_family(module_of: Any, rows: list[Any]) -> None:
    text = module_of("report").short(rows)
    columns = ["cnncore", '"exact"', "PyTorch", "PyTorch compiled", "onnxruntime"]
    assert cells(text, "network")[3:8] == columns
    assert cells(text, "lenet5", "inference", "1")[3:] == ["1", "1.25", "2", "1.5", "", "1.50", "1.20"]
    assert cells(text, "lenet5", "training", "64")[3:] == ["2", "", "5", "", "", "2.50", ""]


def test_ratios_and_means(module_of: Any, rows: list[Any]) -> None:
    report = module_of("report")
    assert cells(report.ratios(rows), "lenet5") == ["lenet5", "1.50", "2.50"]
    assert cells(report.ratios(rows), "resnet20") == ["resnet20", "4.50", ""]
    assert cells(report.ratios(rows), "geometric mean") == ["geometric mean", "2.60", "2.50"]
    assert cells(report.means_table(rows), "training") == ["training", "2.50", "", "2.50, lenet5"]


def layer(
    threads: int, name: str, percent: float, algorithm: str = "direct", kernel: int = 1, stride: int = 1
) -> dict[str, Any]:
    """A forward row as `run.py --layers` writes it."""
    problem = {"layer": name, "in_channels": 8, "out_channels": 16, "input": [7, 7]}
    problem.update(kernel=[kernel] * 2, stride=[stride] * 2)
    row = {"threads": threads, "problem": problem, "direction": "forward", "algorithm": algorithm}
    return {**row, "percent_of_peak": percent}


def test_layers_are_summed_up_by_direction_kind_and_threads(module_of: Any) -> None:
    report = module_of("report")
    found = [layer(1, "a", 90.0), layer(1, "b", 70.0), layer(1, "c", 80.0)]
    found += [layer(2, "a", 60.0), layer(2, "b", 61.0), layer(2, "c", 65.0)]
    found += [layer(threads, "s", 50.0, kernel=1, stride=2) for threads in (1, 2)]
    assert cells(report.layers(found), "direction") == [
        "direction",
        "kind",
        "1 thread",
        "2 threads",
        "worst layer",
    ]
    assert cells(report.layers(found), "forward", "1x1") == ["forward", "1x1", "80 / 70", "61 / 60", "a"]
    assert cells(report.layers(found), "forward", "stride 2")[2:] == ["50 / 50", "50 / 50", "s"]
    found.append(layer(1, "d", 210.0, "winograd_f4"))
    text = report.winograd(found)
    assert cells(text, "d, 8 > 16, 7x7")[1:] == ["forward", "210"]
    assert "a, 8" not in text


def test_memory_is_compared_with_the_leanest_peer(module_of: Any) -> None:
    memory = module_of("memory")
    usage = {"cnncore": 50.0, "torch": 200.0, "onnxruntime": 100.0}
    job = memory.Job("lenet5", "inference", 1, {name: memory.Usage(mb, mb, mb) for name, mb in usage.items()})
    assert job.leanest_peer == "onnxruntime"
    assert memory.Job.from_json(json.loads(json.dumps(job.as_json()))) == job
    text = module_of("report").memory([job])
    assert cells(text, "lenet5") == ["lenet5", "inference", "1", "50", "200", "100", "0.50"]


def test_places_in_a_document_are_filled(module_of: Any, rows: list[Any], tmp_path: Path) -> None:
    fill, results = module_of("fill"), module_of("results")
    file = results.ResultFile(tmp_path / "networks.json", {"machine": {"processor": "CPU", "system": "L"}})
    file.set(threads=1, networks=[row.as_json() for row in rows])
    document = tmp_path / "text.md"
    place = "<!-- table: {} {} -->\nold\n<!-- end of table -->\n"
    document.write_text(f"Before.\n\n{place.format('means', 'networks.json')}\nAfter.\n")
    for _ in range(2):
        fill.main([str(document), "--results", str(tmp_path)])
        text = document.read_text()
        assert text.startswith("Before.\n\n<!-- table: means networks.json -->\n\n|")
        assert text.endswith("|\n\n<!-- end of table -->\n\nAfter.\n")
        assert "old" not in text
        assert "2.50, lenet5" in text
    missing = place.format("means", "other.json")
    assert fill.fill(missing, tmp_path) == missing
    assert "CPU, L, 1 thread." in fill.fill(place.format("setting", "networks.json"), tmp_path)
    with pytest.raises(ValueError, match="unknown table 'tea'"):
        fill.fill(place.format("tea", "networks.json"), tmp_path)


def test_the_documents_hold_what_the_result_files_say(module_of: Any) -> None:
    fill, root = module_of("fill"), Path(__file__).parents[2]
    for name in ("docs/performance.md", "README.md"):
        text = (root / name).read_text()
        assert fill.fill(text, root / "docs" / "results") == text, f"run benchmarks/fill.py {name}"
        for picture in re.findall(r"\]\(([^)]*\.svg)\)", text):
            assert (root / name).parent.joinpath(picture).exists()
