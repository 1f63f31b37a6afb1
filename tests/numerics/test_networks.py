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
EPS = float(np.finfo(np.float32).eps) / 2
RELU_ROUNDING = 1e-6
"""Of a layer's largest value: closer to zero than this, a ReLU's input has no certain sign in float32."""
MOST_FLIPPED = 3
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


class Relu:
    """PyTorch's ReLU that remembers its inputs and can take single ones for the other side of zero.

    At an input that is zero but for rounding, either derivative is right, and one such element changes
    gradients by percents.
    """

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.flipped: set[tuple[int, int]] = set()

    def __call__(self, x: Any) -> Any:
        passes = (x > 0).detach()
        for call, element in self.flipped:
            if call == len(self.inputs):
                passes.view(-1)[element] ^= True
        self.inputs.append(x.detach())
        return x * passes

    def doubtful(self) -> list[tuple[int, int]]:
        """Calls and elements whose input is within rounding of zero, the closest first."""
        found = []
        for call, x in enumerate(self.inputs):
            size = x.abs().reshape(-1)
            near = (size < RELU_ROUNDING * float(size.max())).nonzero().reshape(-1)
            found += [(float(size[element]), call, int(element)) for element in near]
        return [(call, element) for _, call, element in sorted(found)]


def torch_gradients(model: Any, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    torch = pytest.importorskip("torch")
    dtype = next(model.parameters()).dtype
    model.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(x).to(dtype)), torch.from_numpy(y))
    loss.backward()
    return loss.item(), {name: value.grad.numpy().copy() for name, value in model.named_parameters()}


def own_errors(single: dict[str, Array], exact: dict[str, Array]) -> dict[str, float]:
    """PyTorch's float32 error in each parameter's gradient, at least half an ulp of its largest value."""
    own = {}
    for key, expected in exact.items():
        rounding = EPS * float(np.abs(expected).max())
        own[key] = max(float(np.abs(single[key] - expected).max()), rounding)
        # More would be a ReLU that PyTorch took for the other side: its error would hide ours.
        assert own[key] < 100 * rounding, f"{key}: choose other data"
    return own


def largest_excess(found: dict[str, Array], exact: dict[str, Array], own: dict[str, float]) -> float:
    """The largest error of `found` over the parameters, each in units of `own`."""
    return max(float(np.abs(found[key] - exact[key]).max()) / own[key] for key in exact)


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


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_torchs(
    name: str, seed: int, torch_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    model = network(name, seed)
    model.train()
    without_dropout(model)
    x, y = images(name, 6, seed)
    state = state_of(model)

    def loss(images: Any, labels: Any) -> Any:
        return cc.ops.cross_entropy(model(images), labels)

    value, grads = cc.value_and_grad(loss, dict(model.named_parameters()))(x, y)

    def peer(dtype: Any, flipped: set[tuple[int, int]]) -> tuple[float, dict[str, Array], Relu]:
        relu = Relu()
        relu.flipped = flipped
        monkeypatch.setattr(torch.nn.functional, "relu", relu)
        made = torch_model(name, state).train().to(dtype)
        without_dropout(made)
        return (*torch_gradients(made, x, y), relu)

    single = peer(torch.float32, set())[1]
    peer_value, exact, relu = peer(torch.float64, set())
    assert value == pytest.approx(peer_value, rel=1e-5)
    assert set(grads) == set(exact)
    own = own_errors(single, exact)
    excess, flipped = largest_excess(grads, exact, own), set[tuple[int, int]]()
    doubtful = relu.doubtful()
    while excess > FLOAT32_ERRORS and len(flipped) < MOST_FLIPPED and doubtful:
        others = [(largest_excess(grads, peer(torch.float64, {*flipped, e})[1], own), e) for e in doubtful]
        excess, element = min(others)
        flipped.add(element)
        doubtful.remove(element)
    assert excess <= FLOAT32_ERRORS, f"{excess:.1f} times PyTorch's own float32 error"


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
