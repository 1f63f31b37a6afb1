# SPDX-License-Identifier: Apache-2.0
"""Training through `torch.compile(model, backend="cnncore")`: gradients, statistics, optimisers of torch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.6")

import torch_networks  # noqa: E402
from cnncore.torch_backend import backend, compiling, left  # noqa: E402


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    left.forget()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def gradients(model: Any, call: Any, x: Any, loss: Any) -> dict[str, Any]:
    """Return the gradients by parameters, and by the input."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    loss(call(x)).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**found, "input": x.grad}


def assert_same_training(model: Any, x: Any, loss: Any, tolerance: float = 1e-5) -> None:
    """Gradients are as near to those in float64 as `tolerance` of the largest; buffers change alike."""
    wide = copy.deepcopy(model).double()
    wanted = gradients(wide, wide, x.double(), loss)
    found = gradients(model, torch.compile(model, backend=backend), x, loss)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape
        scale = value.abs().max().item()
        assert (found[name] - value).abs().max().item() <= tolerance * max(scale, 1e-3), name
    for (name, one), (_, other) in zip(model.named_buffers(), wide.named_buffers(), strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_networks_are_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(*args: Any) -> Any:
        raise AssertionError("a part is left to torch")

    monkeypatch.setattr(compiling, "_mixed", mixed)
    model = torch_networks.settle(torch_networks.NETWORKS[name]()).train()
    x = torch.randn(4, 3, 32, 32)
    assert_same_training(model, x, lambda y: y.square().mean(), 1e-4)


def test_dropout_stays_with_torch() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Dropout(0.5), torch.nn.Conv2d(8, 4, 3))
    compiled = torch.compile(model, backend=backend)
    x = torch.randn(2, 3, 8, 8)
    with pytest.warns(UserWarning, match="native_dropout"):
        y = compiled(x)
    torch.manual_seed(1)
    y = compiled(x)
    torch.manual_seed(1)
    assert torch.allclose(y, model(x), atol=1e-5)
    y.sum().backward()
    assert model[0].weight.grad is not None


def test_optimizers_train_as_in_eager_mode() -> None:
    torch.manual_seed(3)
    model = torch_networks.ResNet((1,), 8, 5)
    eager = copy.deepcopy(model)
    compiled = torch.compile(model, backend=backend)
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 5
    losses = []
    for call, network in ((compiled, model), (eager, eager)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        found = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(call(x), y)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][-1] < losses[0][0]


LAYERS = {
    "activations": lambda: torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1),
        torch.nn.SiLU(),
        torch.nn.Hardswish(),
        torch.nn.GELU(),
        torch.nn.ELU(),
        torch.nn.LeakyReLU(0.1),
        torch.nn.Hardsigmoid(),
        torch.nn.Mish(),
        torch.nn.Softplus(),
        torch.nn.Sigmoid(),
        torch.nn.Tanh(),
        torch.nn.ReLU6(),
    ),
    "pooling": lambda: torch.nn.Sequential(
        torch.nn.MaxPool2d(3, 2, 1),
        torch.nn.AvgPool2d(2, 1, 1),
        torch.nn.AdaptiveAvgPool2d(3),
    ),
    "norms": lambda: torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, groups=1),
        torch.nn.GroupNorm(2, 8),
        torch.nn.BatchNorm2d(8, affine=False),
        torch.nn.Flatten(2),
        torch.nn.LayerNorm(100),
        torch.nn.Softmax(-1),
    ),
    "frozen statistics": lambda: torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, groups=1), torch.nn.BatchNorm2d(8).eval()
    ),
    "convolutions": lambda: torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, 2, 2, 2, 3),
        torch.nn.ConvTranspose2d(6, 4, 3, 2, 1, 1),
        torch.nn.Upsample(scale_factor=2, mode="bilinear"),
        torch.nn.Upsample(scale_factor=2),
        torch.nn.ReflectionPad2d(1),
        torch.nn.PixelShuffle(2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    model = LAYERS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert_same_training(model, torch.randn(2, 3, 12, 12), lambda y: (y * y).sum(), 1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses(reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(6, 5)
    target = torch.tensor([0, 4, 2, -100])
    weight = torch.rand(5)

    def loss(y: Any) -> Any:
        w = weight.to(y.dtype)
        return torch.nn.functional.cross_entropy(y, target, w, reduction=reduction)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return loss(self.layer(x))

    assert_same_training(Model(), torch.randn(4, 6), lambda y: y)


def test_layers_in_inference_mode_train_the_others() -> None:
    """Batch norms whose statistics stay, as in fine-tuning, keep empty statistics for gradients."""
    torch.manual_seed(0)
    first, norm, last = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 3)
    model = torch.nn.Sequential(first, norm, torch.nn.ReLU(), last).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # nothing is left to torch
        assert_same_training(model, torch.randn(2, 3, 8, 8), lambda y: y.square().mean())


def test_parts_take_their_arguments_out_of_the_list() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
    compiled = torch.compile(model, backend=backend)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        compiled(torch.randn(2, 4)).sum().backward()
    assert not [str(one.message) for one in said if "boxed" in str(one.message)]
