# SPDX-License-Identifier: Apache-2.0
"""Outputs of the layers inside a model: `capture`, and predictors that return them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 32, 32)).astype(np.float32)


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(900, 5)
    ).eval()


def test_outputs_of_each_layer() -> None:
    """As calling the layers one after the other, within float32's rounding of folded batch norms."""
    net = small()
    net[1].running_mean.assign(RNG.normal(size=4))
    names = [str(number) for number in range(6)]
    found = cc.capture(net, names, X)
    assert list(found) == names
    x: Any = X
    for name, layer in zip(names, net, strict=True):
        x = layer(x)
        assert found[name].shape == x.shape
        np.testing.assert_allclose(found[name], x, rtol=1e-5, atol=1e-5)
    one = cc.capture(net, "3", X)
    assert list(one) == ["3"]
    np.testing.assert_allclose(one["3"], found["3"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cc.capture(net, "", X)[""], net(X), rtol=1e-5, atol=1e-5)


def test_against_hooks_of_torch() -> None:
    torch = pytest.importorskip("torch")
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), nn.Tanh())
    t = torch.nn
    twin = t.Sequential(t.Conv2d(3, 4, 3, padding=1), t.Sequential(t.ReLU(), t.MaxPool2d(2)), t.Tanh())
    twin.load_state_dict({name: torch.tensor(array) for name, array in net.state_dict().items()})
    seen: dict[str, Any] = {}
    for path, layer in twin.named_modules():
        layer.register_forward_hook(lambda _, args, output, path=path: seen.update({path: output.detach()}))
    twin(torch.tensor(X))
    found = cc.capture(net, list(seen), X)
    assert set(found) == {"", "0", "1", "1.0", "1.1", "2"}
    for path, output in seen.items():
        np.testing.assert_allclose(found[path], output.numpy(), rtol=1e-5, atol=1e-6)


def test_a_layer_called_several_times_gives_a_tuple() -> None:
    act = nn.ReLU()
    net = nn.Sequential(nn.Identity(), act, nn.Linear(2, 2, bias=False), act)
    net[2].weight.assign([[-1, 0], [0, 1]])
    found = cc.capture(net, ["1", "3", "0"], np.array([[1, 2]]))
    assert [part.tolist() for part in found["1"]] == [[[1, 2]], [[0, 2]]]
    assert [part.tolist() for part in found["3"]] == [[[1, 2]], [[0, 2]]]
    assert found["0"].tolist() == [[1, 2]]


def test_changes_and_modes_are_seen() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Identity())
    one = np.ones((64, 2), np.float32)
    assert (cc.capture(net, "1", one)["1"] == 0).any()
    net.eval()
    assert not (cc.capture(net, "1", one)["1"] == 0).any()
    net[0] = nn.Linear(2, 7)
    assert cc.capture(net, "0", one)["0"].shape == (64, 7)
    assert net(one).shape == (64, 7)


def test_losses_of_features_have_gradients() -> None:
    net, target = small(), RNG.normal(size=(2, 4, 15, 15)).astype(np.float32)

    def loss(x: Any) -> Any:
        features = cc.capture(net, ["3", ""], x)
        return ops.mse_loss(features["3"], target) + 0.0 * ops.sum(features[""])

    gradient = cc.grad(loss)(X)
    assert gradient.shape == X.shape
    assert np.abs(gradient).max() > 0
    step = cc.train_step(loss, optim.SGD(net.parameters(), lr=0.1))
    losses = [step(X) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_capture_inside_capture() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Identity(), nn.ReLU())

        def forward(self, x: Any) -> Any:
            return cc.capture(self.inner, "1", x)["1"] * 2

    found = cc.capture(Outer(), ["inner.1", "inner", ""], -np.ones((1, 1)))
    assert {name: output.item() for name, output in found.items()} == {"inner.1": 0, "inner": 0, "": 0}


def test_outputs_that_are_trees() -> None:
    class Heads(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"a": x, "b": (x * 2, None)}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = Heads()

        def forward(self, x: Any) -> Any:
            return self.heads(x)["a"]

    found = cc.capture(Net(), "heads", np.ones(2))["heads"]
    assert found["b"][0].tolist() == [2, 2]
    assert found["b"][1] is None


def test_predictors_of_named_layers() -> None:
    net = small().train()
    predictor = cc.compile(net, X.shape, outputs=["2", "5"])
    found = predictor(X)
    assert net.training
    expected = cc.capture(net.eval(), ["2", "5"], X)
    for name in ("2", "5"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
    again = pickle.loads(pickle.dumps(predictor))(X)
    np.testing.assert_array_equal(again["2"], found["2"])
    # What comes behind the layers is left out: no product with the linear layer's 900 x 5 weights.
    assert cc.compile(net, X.shape, outputs="2").memory.weights < predictor.memory.weights
    assert cc.compile(net, X.shape, outputs="2")(X)["2"].shape == (2, 4, 30, 30)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: cc.capture(net, "7", X), ValueError, r"no layer '7' in Sequential; there are '0', '1'"),
        (lambda net: cc.capture(models.resnet20(), "layer1.0.con1", X), ValueError, r"there are .*conv1"),
        (lambda net: cc.capture(net, [], X), ValueError, "path of at least one layer"),
        (lambda net: cc.capture(net, 5, X), TypeError, "path of a layer, or several, got 5"),
        (lambda net: cc.capture(net, [5], X), TypeError, "path of a layer such as 'layer3.1', got 5"),
        (lambda net: cc.capture(lambda x: x, "0", X), TypeError, "expected a Module, got function"),
        (
            lambda net: cc.compile(lambda x: x, (1, 2), outputs=["0"]),
            TypeError,
            "paths of layers in a Module",
        ),
        (lambda net: cc.compile(net, X.shape, outputs=["x"]), ValueError, "no layer 'x'"),
        (lambda net: cc.capture(net, "0", X[:, :1]), ValueError, r"\[0\] expected input with 3 channels"),
    ],
)
def test_what_is_not_there(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(small())


def test_layers_that_a_call_does_not_come_by() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return x

    with pytest.raises(ValueError, match=r"\[unused\] the model's call does not come by this layer"):
        cc.capture(Net(), "unused", X)
