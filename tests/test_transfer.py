# SPDX-License-Identifier: Apache-2.0
"""Frozen layers, new heads and groups of parameters."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(2, 3, (8, 3, 6, 6)).astype(np.float32), np.arange(8) % 2


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)
    )


def step_of(net: nn.Module, lr: float = 0.1) -> Any:
    optimizer = optim.SGD(net.parameters(), lr, momentum=0.9, weight_decay=0.1)
    return cc.train_step(lambda x, y: ops.cross_entropy(net(x), y), optimizer)


def changed(before: dict[str, Any], net: nn.Module) -> set[str]:
    return {name for name, value in net.state_dict().items() if not np.array_equal(value, before[name])}


def test_frozen_layers_and_their_statistics_stay() -> None:
    net = network()
    names = cc.freeze(net, "[01]")
    assert names == ["0.weight", "0.bias", "1.weight", "1.bias"]
    before = net.state_dict()
    step = step_of(net)
    for _ in range(2):
        step(X, Y)
    own = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert changed(before, net) == {"5.weight", "5.bias"} | {f"3.{name}" for name in own}


def test_frozen_norms_use_running_statistics_in_training() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3))
    net[0].running_mean.assign([1, 2, 3])
    net[0].running_var.assign([4, 5, 6])
    expected = net.eval()(X)
    net.train()
    assert np.abs(net(X) - expected).max() > 0.1
    net[0].running_mean.assign([1, 2, 3])
    net[0].running_var.assign([4, 5, 6])
    cc.freeze(net)
    np.testing.assert_array_equal(net.train()(X), expected)
    np.testing.assert_array_equal(net[0].running_mean, [1, 2, 3])
    cc.unfreeze(net)
    assert np.abs(net(X) - expected).max() > 0.1


def test_norms_with_a_trained_part_go_on() -> None:
    net = network()
    cc.freeze(net, r"1\.weight")
    assert not net[1].frozen
    cc.freeze(net, r"1\.bias")
    assert net[1].frozen
    cc.unfreeze(net, r"1\.bias")
    assert not net[1].frozen
    cc.freeze(net, "", statistics=False)
    assert not net[1].frozen
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_layers_are_unfrozen_one_after_another() -> None:
    net = network()
    cc.freeze(net)
    cc.unfreeze(net, "5")
    step = step_of(net)
    step(X, Y)
    before = net.state_dict()
    assert cc.unfreeze(net, ["0", "1"]) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    step(X, Y)
    assert {"0.weight", "1.bias", "1.running_mean", "5.weight"} <= changed(before, net)
    assert not changed(before, net) & {"3.weight", "3.running_mean"}


def test_groups() -> None:
    net = network()
    groups = cc.parameter_groups(net, [("5", 0.5), ("1|3", {"lr": 0.25, "weight_decay": 0})])
    optimizer = optim.SGD(groups, lr=0.125, weight_decay=0.1)
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups] == [
        (0.5, 0.1, 2),
        (0.25, 0, 4),
        (0.125, 0.1, 2),
    ]
    assert cc.parameter_groups(net, {".*": {}}) == [{"params": list(net.parameters())}]
    # Steps of plain gradient descent are as long as the group's rate says.
    values, grads = cc.value_and_grad(lambda x, y: ops.cross_entropy(net(x), y), list(net.parameters()))(X, Y)
    assert np.isfinite(values)
    before = net.state_dict()
    plain = optim.SGD(cc.parameter_groups(net, {"5": 0.5}), lr=0.0)
    cc.train_step(lambda x, y: ops.cross_entropy(net(x), y), plain)(X, Y)
    np.testing.assert_allclose(net[5].weight, before["5.weight"] - 0.5 * grads[-2], rtol=1e-5, atol=1e-7)
    assert not changed(before, net) & {"0.weight", "1.weight"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet20", "linear"),
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("squeezenet1_1", "classifier.1"),
        ("densenet121", "classifier"),
    ],
)
def test_heads(name: str, path: str) -> None:
    net = models.get(name)
    old = net.get_submodule(path)
    assert cc.replace_head(net, 3) == path
    new = net.get_submodule(path)
    assert new.weight.shape == (3, *old.weight.shape[1:])
    x = np.zeros((1, 3, 32, 32), np.float32)
    assert net.eval()(x).shape == (1, 3)


def test_heads_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, 2, 2, bias=False, padding_mode="reflect"))
    cc.replace_head(net, 6, "0")
    assert repr(net[0]) == repr(nn.Conv2d(4, 6, 3, 2, 1, 2, 2, bias=False, padding_mode="reflect"))
    segmenter = models.segmentation.lraspp_mobilenet_v3_large()
    for name in ("low", "high"):
        cc.replace_head(segmenter, 2, f"classifier.{name}_classifier")
    assert segmenter.eval()(np.zeros((1, 3, 32, 32), np.float32))["out"].shape == (1, 2, 32, 32)


def test_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).resolve().parents[1] / "docs" / "transfer.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: cc.freeze(net, "7"), ValueError, r"'7' matches no parameter; there are 0\.weight"),
        (lambda net: cc.freeze(net, "("), ValueError, "regular expression, got"),
        (lambda net: cc.freeze(net, 3), TypeError, "regular expression or several"),
        (lambda net: cc.freeze(net, []), TypeError, "regular expression or several"),
        (lambda net: cc.freeze(net.parameters()), TypeError, "model to be a Module"),
        (lambda net: cc.parameter_groups(net, ["fc"]), TypeError, "pairs"),
        (lambda net: cc.parameter_groups(net, {"": 1, "5": 2}), ValueError, "left are none"),
        (lambda net: cc.replace_head(net, 2), ValueError, "expected name=, a path such as 0, 1"),
        (lambda net: cc.replace_head(net, 2, "9"), ValueError, "path of a layer, got '9'"),
        (lambda net: cc.replace_head(net, 2, "2"), TypeError, r"\[2\] expected a linear layer or a conv"),
        (lambda net: cc.replace_head(net, 0, "5"), ValueError, "classes of at least 1"),
    ],
)
def test_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(network())
