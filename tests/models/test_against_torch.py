# SPDX-License-Identifier: Apache-2.0
"""The larger networks beside their PyTorch twins: keys, shapes, logits and gradients for the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import models, nn

torch = pytest.importorskip("torch")

from models.torch_twins import twins  # noqa: E402

Array = NDArray[Any]

TWINS = twins()
CLASSES = 10
LOGITS = 1e-4
"""Allowed error as a share of the largest logit."""
GRADIENTS = 1e-3
"""Allowed error as a share of a gradient's largest element."""
ZERO_GRADIENT = 1e-3
"""Gradients this small beside the network's largest are sums that cancel (a shift before a batch norm)."""


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("in_channels", [3, 1])
def test_keys_and_shapes(name: str, in_channels: int, no_drawing: None) -> None:
    with torch.device("meta"):
        twin = TWINS[name](in_channels, CLASSES)
    model = getattr(models, name)(classes=CLASSES, in_channels=in_channels)
    expected = [(key, tuple(value.shape)) for key, value in twin.state_dict().items()]
    assert [(key, value.shape) for key, value in model.state_dict().items()] == expected


def weights(model: Any, seed: int, spread: float) -> dict[str, Array]:
    """Random weights of a scale that keeps activations near 1.

    With a small `spread`, what a batch norm gives is far from zero, and from the 6 of ReLU6, in most places:
    where an activation is within rounding of its kink both gradients are right, and in a layer of a few
    pixels one such place changes gradients by percents.
    """
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in model.state_dict().items():
        part = name.rpartition(".")[2]
        if value.ndim > 1:
            size = np.prod(value.shape[1:]) if "upsample" not in name else value.shape[0]
            state[name] = rng.normal(0, np.sqrt(2 / size), value.shape).astype(np.float32)
        elif part == "running_var":
            state[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif part == "weight":
            state[name] = spread * rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif part == "num_batches_tracked":
            state[name] = np.array(value)
        else:
            side = np.where(rng.random(value.shape) < 0.7, 3.0, -3.0) if spread < 1 else 0.1
            state[name] = (side * rng.uniform(0.8, 1.2, value.shape)).astype(np.float32)
    return state


def pair(name: str, seed: int = 0, spread: float = 1.0) -> tuple[Any, Any]:
    """A network and its twin with the same weights."""
    model = getattr(models, name)(classes=CLASSES, in_channels=3)
    twin = TWINS[name](3, CLASSES)
    if name.startswith("vgg"):
        # A tenth of the convolutions' parameters instead of thirty times as many: it is AlexNet's classifier.
        model.classifier, twin.classifier = nn.Linear(25088, CLASSES), torch.nn.Linear(25088, CLASSES)
    state = weights(model, seed, spread)
    model.load_state_dict(state)
    twin.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return model, twin


def images(name: str, batch: int, size: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(batch, 3, size, size)).astype(np.float32)
    return x, rng.integers(0, CLASSES, (batch, size, size) if name == "unet" else batch)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("alexnet", 67),
        ("vgg13", 64),
        ("vgg11_bn", 32),
        ("resnet18", 64),
        ("resnet50", 96),
        ("mobilenet_v2", 96),
        ("unet", 48),
    ],
)
def test_logits(name: str, size: int, no_drawing: None) -> None:
    model, twin = pair(name)
    x, _ = images(name, 2, size)
    with torch.no_grad():
        expected = twin.eval()(torch.from_numpy(x)).numpy()
    model.eval()
    scale = np.abs(expected).max()
    for found in (model(x), cc.compile(model, x.shape)(x)):
        assert np.abs(found - expected).max() <= LOGITS * scale


@pytest.mark.parametrize(
    ("name", "batch", "size"),
    [
        ("alexnet", 2, 67),
        ("vgg13", 2, 32),
        ("vgg11_bn", 2, 64),
        ("resnet18", 2, 64),
        ("resnet50", 2, 64),
        ("mobilenet_v2", 2, 64),
        ("unet", 2, 48),
    ],
)
def test_gradients(name: str, batch: int, size: int, no_drawing: None) -> None:
    model, twin = pair(name, spread=0.5)
    model.train()
    twin.train().double()
    for module in (*model.modules(), *twin.modules()):
        if type(module).__name__ == "Dropout":
            module.eval()
    x, y = images(name, batch, size)
    expected = torch.nn.functional.cross_entropy(twin(torch.from_numpy(x).double()), torch.from_numpy(y))
    expected.backward()

    def loss(x: Any, y: Any) -> Any:
        return cc.ops.cross_entropy(model(x), y)

    value, found = cc.value_and_grad(loss, dict(model.named_parameters()))(x, y)
    assert value == pytest.approx(expected.item(), rel=LOGITS)
    theirs = {key: parameter.grad.numpy() for key, parameter in twin.named_parameters()}
    assert list(found) == list(theirs)
    least = ZERO_GRADIENT * max(np.abs(grad).max() for grad in theirs.values())
    for key, grad in theirs.items():
        assert np.abs(found[key] - grad).max() <= GRADIENTS * max(np.abs(grad).max(), least), key
    buffers = dict(twin.named_buffers())
    for key, buffer in model.named_buffers():
        np.testing.assert_allclose(buffer, buffers[key].numpy(), rtol=1e-4, atol=1e-4)
