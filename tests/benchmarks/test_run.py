# SPDX-License-Identifier: Apache-2.0
"""The benchmark's parts: they run, they check answers, they leave out what is not installed."""

from __future__ import annotations

import dataclasses
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cnncore.bench import layers, networks, run, shapes, tables, timing

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_run_writes_a_table_and_json(
    module_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    arguments = ["--quick", "--networks", "lenet5", "--batch", "2", "--peers", "torch", "--json", str(file)]
    assert module_of("run").main(arguments) == 0
    written = json.loads(file.read_text())
    assert written["machine"]["cores"] >= 1
    rows = written["networks"]
    assert [(row["network"], row["mode"], row["batch"]) for row in rows] == [
        ("lenet5", "inference", 2),
        ("lenet5", "training", 2),
    ]
    for row in rows:
        taken = row["times"]["cnncore"]
        assert 0 < taken["minimum"] <= taken["median"]
    printed = capsys.readouterr().out
    assert "cnncore" in printed
    assert "| lenet5" in printed


def test_a_missing_peer_is_named_and_left_out(
    module_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    run_module = module_of("run")
    assert run_module.available(run_module.parser().parse_args(["--only-peers", "--peers", "openvino"])) == []
    assert "skipped openvino" in capsys.readouterr().out


def test_peers_that_cannot_be_held_to_an_instruction_set_are_left_out(
    module_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_module = module_of("run")
    options = run_module.parser().parse_args(["--isa", "avx2", "--peers", "onnxruntime,openvino"])
    assert [runner.name for runner in run_module.available(options)] == ["cnncore"]
    printed = capsys.readouterr().out
    assert "skipped onnxruntime: it cannot be held to avx2" in printed
    assert "skipped openvino: it cannot be held to avx2" in printed


def test_exact_mode_is_a_runner_of_its_own(module_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_module = module_of("run")
    only = run_module.parser().parse_args(["--peers", "torch", "--only-peers", "--accuracy", "exact"])
    assert all(runner.name.startswith("torch") for runner in run_module.available(only))
    arguments = ["--quick", "--networks", "resnet20", "--mode", "inference", "--batch", "1"]
    assert run_module.main([*arguments, "--peers", "torch", "--accuracy", "exact"]) == 0
    printed = capsys.readouterr().out
    assert "| cnncore exact |" in printed
    assert 'in "exact" mode' in printed or "geometric mean" not in printed


def test_a_killed_run_keeps_its_rows(module_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_module = module_of("run")
    file = tmp_path / "results.json"

    def training(network: Any, batch: int, runners: Any, seconds: float) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "training", training)
    arguments = ["--quick", "--networks", "lenet5", "--batch", "2", "--peers", "onnxruntime"]
    with pytest.raises(KeyboardInterrupt):
        run_module.main([*arguments, "--json", str(file)])
    assert [row["mode"] for row in json.loads(file.read_text())["networks"]] == ["inference"]


def test_an_unknown_network_is_refused(module_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module_of("run").main(["--networks", "lenet6"])
    assert "lenet6" in capsys.readouterr().err


def test_a_wrong_answer_stops_the_benchmark(module_of: Any) -> None:
    measure, peers = module_of("measure"), module_of("peers")
    lenet = module_of("networks").NETWORKS["lenet5"]

    def runner(name: str, factor: float) -> Any:
        return peers.Runner(
            name,
            lambda network, state, batch: lambda x: factor * x[:, 0, 0, :10],
            state=lambda network: {},
        )

    runners = [runner("right", 1.0), runner("wrong", 1.01)]
    with pytest.raises(measure.WrongAnswerError, match="wrong and right differ"):
        measure.inference(lenet, 2, runners, seconds=0.01)
    row = measure.inference(lenet, 2, [runner("right", 1.0), runner("close", 1.0001)], seconds=0.01)
    assert set(row.times) == {"right", "close"}
    assert row.errors["close"] == pytest.approx(1e-4, rel=0.01)


def test_rows_before_a_wrong_answer_are_kept(
    module_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_module, measure = module_of("run"), module_of("measure")

    def training(network: Any, batch: int, runners: Any, seconds: float) -> Any:
        raise measure.WrongAnswerError("the losses differ")

    monkeypatch.setattr(run_module, "training", training)
    arguments = ["--quick", "--networks", "lenet5", "--batch", "2", "--peers", "torch"]
    assert run_module.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "WRONG: the losses differ" in printed
    assert "| lenet5  | inference |     2 |" in printed


@pytest.mark.parametrize("arguments", [[], ["--errors"], ["--memory"]], ids=["networks", "errors", "memory"])
def test_a_network_that_the_peers_do_not_have_is_named(
    arguments: list[str], module_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(module_of("errors"), "LAYERS", ())
    job = ["--quick", "--networks", "shufflenet_v2_x0_5", "--mode", "inference", "--batch", "1"]
    status = module_of("run").main([*job, "--peers", "torch", "--only-peers", *arguments])
    assert status == (0 if arguments else 1)
    if "--memory" not in arguments:
        assert "shufflenet_v2_x0_5 needs torchvision, which is not installed" in capsys.readouterr().out


def test_resnet50s_shapes_are_those_of_the_file() -> None:
    listed = shapes.read_csv(BENCHMARKS / "shapes" / "resnet50.csv")
    assert listed == shapes.resnet50(batch=16)
    assert sum(problem.count for problem in listed) == 53
    unpadded = [dataclasses.replace(problem, **whole_windows(problem)) for problem in listed]
    per_image = sum(problem.count * problem.flops for problem in unpadded) / 16
    assert per_image == pytest.approx(8.17e9, rel=0.001)


def whole_windows(problem: shapes.ConvProblem) -> dict[str, Any]:
    """An input that has its padding built in, so that every product counts."""
    sides = zip(problem.input, problem.pad_begin, problem.pad_end, strict=True)
    return {"input": tuple(map(sum, sides)), "pad_begin": (0, 0), "pad_end": (0, 0)}


def test_products_with_padding_do_not_count() -> None:
    problem = shapes.ConvProblem("", "", 2, 1, 3, 5, (7, 1), (3, 1), (1, 1), (1, 0), (1, 0), (1, 1))
    assert problem.output == (7, 1)
    # 7 positions of 3 taps, less one tap at either end.
    assert problem.flops == 2 * 2 * 5 * 3 * 19
    strided = dataclasses.replace(problem, stride=(2, 1), dilation=(2, 1), pad_begin=(2, 0), pad_end=(2, 0))
    # Taps at -2, 0, 2 around 0, 2, 4, 6: one is outside at the first and one at the last.
    assert strided.flops == 2 * 2 * 5 * 3 * 10


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    header, first, *_ = (BENCHMARKS / "shapes" / "resnet50.csv").read_text().splitlines()
    file = tmp_path / "shapes.csv"
    file.write_text(f"{header}\n{first.replace('112x112', '111x112')}\n")
    with pytest.raises(ValueError, match=r"conv1: output is \(112, 112\)"):
        shapes.read_csv(file)


def test_layers_are_measured_against_the_peak() -> None:
    problem = shapes.ConvProblem(
        "test", "small", 1, 1, 16, 32, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)
    )
    results = list(layers.measure([problem], seconds=0.02))
    assert [result.direction for result in results] == list(layers.DIRECTIONS)
    for result in results:
        assert result.percent_of_peak > 0
        assert result.algorithm
    text = tables.layers(results)
    assert "forward: median" in text
    assert "16>32 3x3/1 @8x8 b1" in text


def test_a_peak_that_was_measured_too_low_is_not_reported_as_speed() -> None:
    problem = shapes.resnet50()[1]
    taken = timing.Timing(minimum=problem.flops / 100e9, median=1.0, calls=1)

    def result(peak: float, algorithm: str = "direct") -> layers.LayerResult:
        return layers.LayerResult(problem, "forward", algorithm, taken, peak)

    assert result(117.0).percent_of_peak == pytest.approx(100 / 1.17)
    assert "WARNING" not in tables.layers([result(117.0)])
    assert "WARNING: 1 direct convolutions seem to beat the peak" in tables.layers(
        [result(45.0), result(117.0)]
    )
    assert "WARNING" not in tables.layers([result(45.0, "winograd")])


def test_throughput_of_the_installed_package() -> None:
    text, results = run(["lenet5"], batches=[2], quick=True)
    assert "lenet5" in text
    assert [row["mode"] for row in results["networks"]] == ["inference", "training"]
    assert all(row["images_per_second"] > 0 for row in results["networks"])
    json.dumps(results)


def test_interleaved_calls_take_turns() -> None:
    order: list[str] = []
    times = timing.interleaved(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=0.0, settle=0.0
    )
    changes = sum(first != second for first, second in pairwise(order))
    assert changes >= 5
    assert times["a"].calls == order.count("a") - 1 - 3  # less the first call and one at each burst's begin
    assert times["a"].minimum <= times["a"].median


def test_only_networks_with_an_input_are_listed() -> None:
    import cnncore as cc

    for name in networks.INPUTS:
        assert callable(getattr(cc.models, name))
