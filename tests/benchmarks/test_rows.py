# SPDX-License-Identifier: Apache-2.0
"""Rows of single layers: they run in every direction, resume, are compared with peers, and are summed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore.bench import layers, shapes
from cnncore.bench.timing import Timing

HEADER = (
    "network,layer,spatial_dims,batch,groups,in_channels,out_channels,input,kernel,stride,pad_begin,pad_end,"
    "dilation,output"
)
LINES = (
    "unet,square,2,2,1,16,24,9x8,3x3,1x1,1x1,1x1,1x1,9x8",
    "1d,signal,1,2,1,16,24,19,3,1,0,2,1,19",
    "3d_i3d,cube,3,1,2,32,16,4x5x6,3x3x3,1x1x1,1x1x1,1x1x1,1x1x1,4x5x6",
    "tails,uneven,2,1,1,5,7,8x9,2x3,2x1,0x1,1x0,1x2,4x6",
)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "shapes.csv"
    path.write_text("\n".join([HEADER, *LINES]) + "\n")
    return path


def arguments(csv: Path, *more: str) -> list[str]:
    peers = ["--peers", "torch,onnxruntime"]
    return ["--layers", "--shapes", str(csv), "--seconds", "0.01", *peers, "--threads", "1", *more]


def test_rows_are_measured_resumed_and_summed_up(
    module_of: Any, csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every answer of a peer that is installed is compared: a wrong one raises."""
    path = tmp_path / "rows.jsonl"
    run = module_of("run")
    assert run.main(arguments(csv, "--rows", "0:2", "--json", str(path))) == 0
    assert run.main(arguments(csv, "--json", str(path))) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    directions = list(layers.DIRECTIONS)
    assert [(row["name"], row["direction"]) for row in rows] == [
        *(("square", direction) for direction in directions),
        ("signal", "forward"),
        *(("cube", direction) for direction in directions),
        ("uneven", "forward"),
    ]
    assert all(row["times"]["cnncore"]["minimum"] > 0 and row["share"] > 0 for row in rows)
    capsys.readouterr()
    assert run.main(arguments(csv, "--summary", "--json", str(path))) == 0
    printed = capsys.readouterr().out
    assert "| all " in printed
    assert "Slower than the best peer:" in printed


def test_a_selection_of_rows(module_of: Any, csv: Path) -> None:
    convolution = module_of("rows.convolution")
    problems = shapes.read_csv(csv)

    def names(**settings: Any) -> list[tuple[str, str, int]]:
        jobs = convolution.Selection(**settings).jobs(problems)
        return [(problem.layer, direction, problem.batch) for problem, direction in jobs]

    assert names(rows=slice(1, 2)) == [("signal", "forward", 2)]
    assert names(filter="k3x3x3", directions=("backward_data",)) == [("cube", "backward_data", 1)]
    assert names(filter="uneven", batch=16) == [("uneven", "forward", 16)]
    command = module_of("rows.command")
    assert command.parse_rows("2:") == slice(2, None)


def test_large_rows_are_measured_with_fewer_images(module_of: Any) -> None:
    convolution = module_of("rows.convolution")
    problem = shapes.ConvProblem(
        "unet", "large", 16, 1, 64, 64, (512, 512), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)
    )
    (job, _), *_ = convolution.Selection().jobs([problem])
    assert job.batch == 1


def test_a_wrong_answer_stops_the_run(module_of: Any, csv: Path) -> None:
    convolution, record = module_of("rows.convolution"), module_of("rows.record")

    def wrong(problem: Any, direction: str, ours: Any) -> dict[str, Any]:
        return {"wrong": lambda: ours.output * np.float32(1.01)}

    selection = convolution.Selection(seconds=0.01)
    with pytest.raises(convolution.WrongAnswerError, match=r"wrong differs by 1\.0e-02"):
        list(convolution.measure(shapes.read_csv(csv), selection, {"wrong": wrong}, record.RowFile(None)))


def test_ratio_and_share(module_of: Any) -> None:
    record, summary = module_of("rows.record"), module_of("rows.summary")
    row = record.LayerRow(
        "f", "n", "forward", 1, "p", flops=4e9, bytes=1e9, peak_gflops=8.0, memory_gbytes=10.0
    )
    row.times = {
        "cnncore": Timing(1.0, 2.0, 3),
        "torch": Timing(0.8, 3.0, 3),
        "onnxruntime": Timing(0.9, 1.0, 3),
    }
    assert (row.ratio(), row.ratio("median"), row.best_peer) == (0.8, 0.5, "torch")
    assert row.share == 0.5
    assert record.LayerRow.from_json(json.loads(json.dumps(row.as_json()))) == row
    assert "0.80 (0.50) | torch |" in summary.slower([row])
    assert "0.80 |      1 |" in summary.families([row])


def test_operations_against_torch(module_of: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every kind of row: forward and gradient, and an optimiser's step."""
    path = tmp_path / "rows.json"
    quick = ["--layers", "--quick", "--threads", "1", "--peers", "torch", "--json", str(path)]
    assert module_of("run").main([*quick, "--filter", "avg_pool2d 2|channel_shuffle forward|\\bSGD"]) == 0
    rows = json.loads(path.read_text())["operations"]
    assert [(row["name"], row["direction"]) for row in rows] == [
        ("avg_pool2d 2", "forward"),
        ("avg_pool2d 2", "gradient"),
        ("channel_shuffle", "forward"),
        ("SGD", "step"),
    ]
    for row in rows:
        assert row["times"]["cnncore"]["minimum"] > 0
        assert row["share"] == pytest.approx(
            row["bytes"] / row["memory_gbytes"] / 1e9 / row["times"]["cnncore"]["minimum"]
        )
        assert set(row["times"]) <= {"cnncore", "torch", "torch channels_last"}
    assert "resampling: channel_shuffle" in capsys.readouterr().out


def test_operations_give_torchs_answers(module_of: Any) -> None:
    pytest.importorskip("torch")
    functions, peers = module_of("rows.operations"), module_of("rows.torch_functions")
    for function in functions.functions(scale=1):
        if "interpolate bicubic" in function.label:  # the slowest, tested elsewhere
            continue
        found = np.asarray(function.ours(*function.arrays))
        for call in peers.calls(function, "forward").values():
            expected = call().numpy()
            scale = float(np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale, err_msg=function.name)
