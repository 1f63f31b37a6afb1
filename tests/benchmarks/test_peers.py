# SPDX-License-Identifier: Apache-2.0
"""Runners that compile first: the same answers, and a reason where they cannot run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_frozen_networks_answer_as_eager_ones(module_of: Any) -> None:
    peers, network = module_of("peers"), module_of("networks").NETWORKS["lenet5"]
    eager, _ = peers.runners("torch", 1)
    state = eager.state(network)
    x, _ = network.data(2)
    expected = eager.predictor(network, state, 2)(x)
    frozen = peers.runners("torch_frozen", 1)
    assert [runner.name for runner in frozen] == ["torch frozen", "torch frozen channels_last"]
    for runner in frozen:
        assert runner.trainer is None
        np.testing.assert_allclose(runner.predictor(network, state, 2)(x), expected, rtol=1e-4, atol=1e-5)


def test_networks_that_torch_does_not_have_are_written_by_cnncore(module_of: Any) -> None:
    pytest.importorskip("onnx.checker")
    pytest.importorskip("onnxruntime")
    peers, network = module_of("peers"), module_of("networks").ZOO["shufflenet_v2_x0_5"]
    ours, other = peers.runners("cnncore", 1)[0], peers.runners("onnxruntime", 1)[0]
    state = ours.state(network)
    x, _ = network.data(1)
    wanted = ours.predictor(network, state, 1)(x)
    written = module_of("peers.exported")._written_by_cnncore(network, state, 1)
    found = module_of("peers.onnx_runtime")._predict(written, 1)(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    assert other.trainer is None


def test_a_compiler_that_does_not_work_is_told(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = module_of("peers")

    def fail(*args: Any, **settings: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(peers.UnavailableError, match=r"does not work here: RuntimeError: no C\+\+ compiler$"):
        peers.runners("torch_compile", 1)


def test_a_network_that_does_not_compile_is_noted(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = module_of("peers.pytorch_compiled")
    measure, network = module_of("measure"), module_of("networks").NETWORKS["lenet5"]
    runner = compiled._runner("torch compile", torch.contiguous_format)

    def fail(*args: Any, **settings: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(torch, "compile", lambda function, **settings: fail)
    for compare in (measure.inference, measure.training):
        row = compare(network, 2, [runner], 0.01)
        assert row.times == {}
        assert row.notes == ["torch compile: torch.compile failed: RuntimeError: out of luck"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_networks_answer_as_eager_ones(module_of: Any) -> None:
    peers, measure = module_of("peers"), module_of("measure")
    network = module_of("networks").NETWORKS["lenet5"]
    try:
        compiled = peers.runners("torch_compile", 1)
    except peers.UnavailableError as reason:
        pytest.skip(str(reason))
    runners = [*peers.runners("torch", 1), compiled[1]]
    for compare in (measure.inference, measure.training):
        row = compare(network, 2, runners, 0.01)
        assert row.notes == []
        assert row.errors["torch compile channels_last"] < 1e-5
