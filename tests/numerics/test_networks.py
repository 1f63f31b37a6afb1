# SPDX-License-Identifier: Apache-2.0
"""Whole networks: outputs and gradients against PyTorch in float64, and against differences without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from training_jobs import images, network, state_of

Array = NDArray[Any]

FLOAT32_ERRORS = 8.0
"""How many times PyTorch's own float32 error ours may be: sums in another order, and Winograd's share."""
NAMES = ("lenet5", "mnist_cnn", "resnet20")


def with_statistics(model: Any) -> None:
    """Running statistics as after training."""
    rng = np.random.default_rng(3)
    state = state_of(model)
    for name, value in state.items():
        if name.endswith("running_mean"):
            state[name] = (0.1 * rng.standard_normal(value.shape)).astype(np.float32)
        elif name.endswith("running_var"):
            state[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    model.load_state_dict(state)


def without_dropout(model: Any) -> None:
    """Dropout layers in evaluation mode, so that training computes the same in every library."""
    for module in model.modules():
        if type(module).__name__.startswith("Dropout"):
            module.eval()


def torch_gradients(model: Any, x: Array, y: Array, double: bool) -> tuple[float, dict[str, Array]]:
    torch = pytest.importorskip("torch")
    model = model.double() if double else model.float()
    images_of = torch.from_numpy(x).double() if double else torch.from_numpy(x)
    model.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(images_of), torch.from_numpy(y))
    loss.backward()
    return float(loss), {name: value.grad.numpy().copy() for name, value in model.named_parameters()}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_torchs(name: str, batch: int, torch_model: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    model = network(name)
    with_statistics(model)
    model.eval()
    x, _ = images(name, batch)
    peer = torch_model(name, state_of(model)).eval()
    with torch.no_grad():
        single = peer(torch.from_numpy(x)).numpy()
        double = peer.double()(torch.from_numpy(x).double()).numpy()
    allowed = FLOAT32_ERRORS * max(np.abs(single - double).max(), np.finfo(np.float32).eps)
    predictor = cc.compile(model, input_shape=x.shape)
    assert np.abs(predictor(x) - double).max() <= allowed
    assert np.abs(model(x) - double).max() <= allowed


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_torchs(name: str, torch_model: Callable[..., Any]) -> None:
    model = network(name)
    model.train()
    without_dropout(model)
    x, y = images(name, 6)
    peer = torch_model(name, state_of(model)).train()
    without_dropout(peer)

    def loss(images: Any, labels: Any) -> Any:
        return cc.ops.cross_entropy(model(images), labels)

    value, grads = cc.value_and_grad(loss, dict(model.named_parameters()))(x, y)
    peer_value, exact = torch_gradients(peer, x, y, double=True)
    _, single = torch_gradients(peer, x, y, double=False)
    assert value == pytest.approx(peer_value, rel=1e-5)
    assert set(grads) == set(exact)
    for key, expected in exact.items():
        scale = np.abs(expected).max()
        own = max(np.abs(single[key] - expected).max(), np.finfo(np.float32).eps * scale)
        error = np.abs(grads[key] - expected).max()
        assert error <= FLOAT32_ERRORS * own, f"{key}: error {error:.1e}, PyTorch's own {own:.1e}"


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls_along_the_gradient_as_it_says(name: str) -> None:
    model = network(name)
    model.train()
    without_dropout(model)
    x, y = images(name, 4)
    parameters = dict(model.named_parameters())

    def loss(images: Any, labels: Any) -> Any:
        return cc.ops.cross_entropy(model(images), labels)

    evaluate = cc.value_and_grad(loss, parameters)
    _, grads = evaluate(x, y)
    grads = {key: np.array(grad) for key, grad in grads.items()}
    norm = float(np.sqrt(sum(np.sum(np.square(grad, dtype=np.float64)) for grad in grads.values())))
    start = {key: np.array(value) for key, value in parameters.items()}
    # The loss's own rounding is about 1e-7 of it: this far, it is well below the change.
    length = 2e-3 / max(norm, 1.0)

    def at(distance: float) -> float:
        for key, value in parameters.items():
            value.assign(start[key] + np.float32(distance / norm) * grads[key])
        return float(evaluate(x, y)[0])

    slope = (at(length) - at(-length)) / (2 * length)
    assert slope == pytest.approx(norm, rel=0.02)
