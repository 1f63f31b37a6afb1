# SPDX-License-Identifier: Apache-2.0
"""Modules, parameters and buffers by path; registration; surgery between calls; copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim

X = np.random.default_rng(0).normal(size=(4, 2, 8, 8)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0])


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 6 * 6, 3),
    )


def test_by_path() -> None:
    net = network()
    assert net.get_submodule("") is net
    assert net.get_submodule("0.1") is net[0][1]
    assert net.get_parameter("0.0.weight") is net[0][0].weight
    assert net.get_buffer("0.1.running_mean") is net[0][1].running_mean


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda net: net.get_submodule("0.7"),
            AttributeError,
            "no module '7' in Sequential; it has: 0, 1, 2",
        ),
        (
            lambda net: net.get_parameter("0.0.scale"),
            AttributeError,
            "no parameter 'scale' in Conv2d; it has: we",
        ),
        (lambda net: net.get_parameter("0.1.running_mean"), AttributeError, "it has: weight, bias"),
        (
            lambda net: net.get_buffer("0.0.weight"),
            AttributeError,
            "no buffer 'weight' in Conv2d; it has: none",
        ),
        (lambda net: net.get_submodule(3), TypeError, "expected a path .* got 3"),
        (lambda net: net.set_submodule("", nn.ReLU()), ValueError, "path of a module below this one"),
        (lambda net: net.set_submodule("0.9", nn.ReLU(), strict=True), AttributeError, "no module '9'"),
        (lambda net: net.set_submodule("0.0", nn.ReLU), TypeError, "expected a Module or None"),
        (lambda net: net.register_buffer("training", X), ValueError, "has an attribute 'training' already"),
        (lambda net: net.add_module("forward", nn.ReLU()), ValueError, "has an attribute 'forward' already"),
        (lambda net: net.register_parameter("w", X), TypeError, "expected a Parameter or None for 'w'"),
        (lambda net: net.register_buffer("a.b", X), ValueError, "a name without dots, got 'a.b'"),
        (lambda net: net.register_module(5, nn.ReLU()), TypeError, "expected a name, got 5"),
    ],
)
def test_what_is_not_there(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(network())


def test_walks_have_torchs_arguments() -> None:
    net = network()
    paths = [name for name, _ in net.named_parameters(prefix="net", recurse=True)]
    assert paths[0] == "net.0.0.weight"
    assert [name for name, _ in net.named_parameters(recurse=False)] == []
    assert [name for name, _ in net[3].named_parameters("head", False)] == ["head.weight", "head.bias"]
    assert next(name for name, _ in net.named_buffers(prefix="n")) == "n.0.1.running_mean"
    seen = {net[1]}
    assert net[1] not in dict(net.named_modules(seen, "net")).values()
    assert net[3] in seen
    shared = nn.ReLU()
    twice = nn.Sequential(shared, shared)
    assert [name for name, _ in twice.named_children()] == ["0"]
    assert [name for name, _ in twice.named_modules(remove_duplicate=False)] == ["", "0", "1"]


def test_registration() -> None:
    module = nn.Module()
    module.register_buffer("steps", np.zeros(2), persistent=False)
    module.register_buffer("none", None)
    module.register_module("act", nn.ReLU())
    module.register_parameter("scale", nn.Parameter([1.0]))
    assert list(module.state_dict()) == ["scale"]
    assert [name for name, _ in module.named_buffers()] == ["steps"]
    module.register_buffer("none", np.ones(1))
    assert list(module.state_dict()) == ["scale", "none"]


def test_state_under_a_prefix() -> None:
    net = network()
    into: dict[str, Any] = {"epoch": 3}
    state = net.state_dict(destination=into, prefix="model.")
    assert state is into
    assert list(state)[:2] == ["epoch", "model.0.0.weight"]
    kept = net.state_dict(keep_vars=True)
    assert kept["3.weight"] is net[3].weight
    assert net.load_state_dict(kept) == ([], [])


def test_the_result_of_loading_is_named() -> None:
    net = network()
    result = net.load_state_dict(net.state_dict(), assign=True)
    assert repr(result) == "<All keys matched successfully>"
    before = net[3].weight
    result = net.load_state_dict({"3.weight": np.zeros((3, 144)), "x": np.ones(1)}, strict=False, assign=True)
    assert result.unexpected_keys == ["x"]
    assert "3.bias" in result.missing_keys
    assert repr(result).startswith("IncompatibleKeys(missing_keys=['0.0.weight'")
    assert net[3].weight is before


def test_the_next_call_sees_what_was_changed() -> None:
    net = network().eval()
    assert net(X).shape == (4, 3)
    net.set_submodule("3", nn.Linear(144, 5))
    assert net(X).shape == (4, 5)
    net.set_submodule("0.2", nn.Tanh())
    net[0].append(nn.MaxPool2d(2))
    del net[2]
    net[2] = nn.Linear(36, 7)
    assert net(X).shape == (4, 7)
    net.insert(0, nn.Conv2d(2, 2, 1, bias=False))
    net[0].weight.assign(np.zeros((2, 2, 1, 1)))
    assert np.ptp(net(X), axis=0).max() == 0
    del net[0].weight
    with pytest.raises(AttributeError, match="no attribute 'weight'"):
        net(X)
    assert isinstance(net.pop(0), nn.Conv2d)
    assert net(X).shape == (4, 7)


def test_training_steps_see_what_was_changed() -> None:
    net = network()
    loss = nn.CrossEntropyLoss()
    step = cc.train_step(lambda x, y: loss(net(x), y), optim.SGD(net.parameters(), lr=0.1))
    step(X, LABELS)
    del net[2]  # dropout: from here on steps depend on nothing random
    state = net.state_dict()
    first = step(X, LABELS)
    net.load_state_dict(state)
    assert step(X, LABELS) == first


def copies(value: Any) -> list[Any]:
    return [copy.deepcopy(value), pickle.loads(pickle.dumps(value))]


def test_copies_of_modules_optimisers_and_predictors_go_on_with_the_same_bits() -> None:
    net = network()
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()

    def steps(model: Any, optimizer: Any) -> list[float]:
        cc.manual_seed(1)
        step = cc.train_step(lambda x, y: loss(model(x), y), optimizer)
        return [step(X, LABELS) for _ in range(3)]

    steps(net, optimizer)
    predictor = cc.compile(net, X.shape)
    pairs = copies((net, optimizer))
    expected = steps(net, optimizer)
    for model, optimiser in pairs:
        assert optimiser.param_groups[0]["params"][0] is model[0][0].weight
        assert model[0][0].weight is not net[0][0].weight
        assert steps(model, optimiser) == expected
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(model.state_dict()[name], array)
    for other in copies(predictor):
        np.testing.assert_array_equal(other(X), predictor(X))


def test_moving_to_where_it_is() -> None:
    torch_like = type("float32", (), {"__str__": lambda self: "torch.float32"})()
    net = network()
    for moved in (
        net.to("cpu"),
        net.to(np.float32),
        net.to("cpu", "float32"),
        net.to(device="cpu:0", dtype=torch_like, non_blocking=True),
        net.to(X),
        net.cpu(),
        net.float(),
    ):
        assert moved is net


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network().to("cuda"), "expected device 'cpu', got 'cuda': cnncore computes on CPUs"),
        (lambda: network().to(device="cuda"), "expected device 'cpu', got 'cuda'"),
        (lambda: network().to(dtype="float64"), "expected dtype float32, got float64"),
        (lambda: network().to(0), "expected device 'cpu', got '0'"),
        (lambda: network().to(np.float64), "expected dtype float32, got float64"),
        (lambda: network().to("cpu", "float16"), "expected dtype float32, got float16"),
        (lambda: network().to(np.ones(1)), "expected dtype float32, got float64"),
        (lambda: nn.Linear(2, 2, device="cuda"), "got 'cuda': cnncore computes on CPUs"),
        (lambda: nn.Conv1d(2, 2, 1, dtype=np.float64), "got float64: parameters are float32"),
        (lambda: nn.ConvTranspose3d(2, 2, 1, device="mps"), "got 'mps'"),
    ],
)
def test_moving_elsewhere_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_layers_take_the_place_that_there_is() -> None:
    assert nn.Linear(2, 2, device="cpu", dtype="float32").weight.shape == (2, 2)
    assert nn.Conv2d(2, 2, 1, device="cpu", dtype=np.float32).weight.shape == (2, 2, 1, 1)
    torch = pytest.importorskip("torch")
    layer = nn.ConvTranspose2d(2, 2, 1, device=torch.device("cpu"), dtype=torch.float32)
    assert layer.to(torch.device("cpu")).to(torch.float32) is layer
    with pytest.raises(ValueError, match="got bfloat16"):
        layer.to(torch.bfloat16)


def test_names_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    kinds = ("named_", "get_", "register_", "set_", "add_", "load_", "state_")
    names = {name for name in vars(torch.nn.Module) if name.startswith(kinds)}
    missing = names - set(dir(nn.Module))
    assert not {name for name in missing if "hook" not in name and "extra_state" not in name}


def test_errors_behind_flatten_say_the_number() -> None:
    image = np.zeros((2, 8, 26, 26), np.float32)
    with pytest.raises(
        ValueError, match=r"\[1\] .* got \(2, 5408\). For this input .* nn.Linear\(5408, 10\)"
    ):
        nn.Sequential(nn.Flatten(), nn.Linear(288, 10))(image)
    with pytest.raises(ValueError, match=r"Is a Flatten missing .* Behind one it is nn.Linear\(5408, 10\)"):
        nn.Linear(288, 10)(image)
    with pytest.raises(ValueError, match=r"Is a Flatten missing before this layer\?$"):
        nn.Linear(5408, 10)(image)
    with pytest.raises(ValueError, match=r"For this input the layer is nn.Linear\(7, 10\)"):
        nn.Linear(288, 10)(np.zeros((2, 3, 7)))


def test_unflatten() -> None:
    layer = nn.Unflatten(1, (2, -1))
    assert layer(X).shape == (4, 2, 1, 8, 8)
    assert repr(layer) == "Unflatten(dim=1, unflattened_size=(2, -1))"
    with pytest.raises(ValueError, match=r"\[Unflatten\] expected sizes whose product is 2 .* got \(3, -1\)"):
        nn.Unflatten(1, (3, -1))(X)
    with pytest.raises(TypeError, match="axes have no names"):
        nn.Unflatten("features", (3, -1))  # type: ignore[arg-type]


def test_changes_of_what_is_never_called_itself_are_seen() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Identity()])
            self.by_name = nn.ModuleDict({"a": nn.Identity()})
            self.holder = nn.Module()
            self.holder.scale = nn.Parameter([1.0])

        def forward(self, x: Any) -> Any:
            for layer in [*self.layers, *self.by_name.values()]:
                x = layer(x)
            return x * self.holder.scale

    net = Net()
    one = -np.ones(1, np.float32)
    assert net(one) == -1
    net.holder.scale = nn.Parameter([2.0])
    assert net(one) == -2
    net.layers.append(nn.ReLU())
    assert net(one) == 0
    net.layers.pop()
    assert net(one) == -2
    net.by_name["b"] = nn.ReLU()
    assert net(one) == 0
    outside = nn.Module()
    outside.scale = nn.Parameter([3.0])
    function = cc.value_and_grad(lambda x: (x * outside.scale).sum(), [net.holder.scale])
    assert function(one)[0] == -3
    outside.scale = nn.Parameter([4.0])
    assert function(one)[0] == -4
