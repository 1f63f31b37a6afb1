# SPDX-License-Identifier: Apache-2.0
"""Memory of processes: they start, they answer, they leave out what cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_serving_and_training_processes_report_their_memory(module_of: Any) -> None:
    memory, networks = module_of("memory"), module_of("networks")
    for mode in ("inference", "training"):
        job = memory.measure(networks.NETWORKS["lenet5"], mode, 2, threads=1, peers=[])
        assert list(job.usage) == ["cnncore"]
        usage = job.usage["cnncore"]
        assert 0 < usage.imported <= usage.end <= usage.peak
        assert job.share is None


def test_a_process_that_cannot_run_its_peer_is_noted(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, networks = module_of("memory"), module_of("networks")
    unavailable = module_of("peers").UnavailableError

    def process(arguments: list[str]) -> dict[str, float]:
        if "openvino" in arguments[0]:
            raise unavailable("openvino is not installed")
        return {"peak": 3.0, "end": 2.0, "imported": 1.0}

    monkeypatch.setattr(memory, "_process", process)
    peers = ["onnxruntime", "openvino"]
    job = memory.measure(networks.NETWORKS["lenet5"], "inference", 1, 1, peers)
    assert list(job.usage) == ["cnncore", "onnxruntime"]
    assert job.notes == ["openvino: openvino is not installed"]
    assert list(memory.measure(networks.NETWORKS["lenet5"], "training", 1, 1, peers).usage) == ["cnncore"]


@pytest.mark.parametrize("peer", ["cnncore", "torch", "onnxruntime", "openvino"])
def test_what_is_loaded_from_files_predicts_the_same(module_of: Any, tmp_path: Path, peer: str) -> None:
    if peer != "cnncore":
        pytest.importorskip(peer)
        pytest.importorskip("torch")
    peers, network = module_of("peers"), module_of("networks").NETWORKS["lenet5"]
    (ours, _) = peers.runners("cnncore", 1)
    state = ours.state(network)
    x, _ = network.data(2)
    for runner in peers.runners(peer, 1):
        runner.save(network, state, 2, tmp_path)
        loaded = runner.load(network, 2, tmp_path)(x)
        # The same library on the same weights; it may fold them another way.
        np.testing.assert_allclose(loaded, runner.predictor(network, state, 2)(x), rtol=1e-4, atol=1e-6)


def test_the_soak_reports_memory(module_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--soak", "5", "--networks", "lenet5", "--batch", "2", "--threads", "1"]
    assert module_of("run").main(arguments) == 0
    assert "5 training steps of lenet5, batch 2:" in capsys.readouterr().out
    reached = list(module_of("memory").soak(module_of("networks").NETWORKS["lenet5"], 2, 200, threads=1))
    assert [found["steps"] for found in reached] == list(range(2, 201, 2))
    for found in reached:
        assert found["begin"] > 0
        assert found["end"] > 0
        assert np.isfinite(found["loss"])
