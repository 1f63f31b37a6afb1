# SPDX-License-Identifier: Apache-2.0
"""Gradient penalties (WGAN-GP) of critics with every kind of layer, against torch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 3, 12, 12)).astype(np.float32)
CRITICS: dict[str, Any] = {
    "batch norm": lambda n: [n.BatchNorm2d(4), n.LeakyReLU(0.2)],
    "group norm": lambda n: [n.GroupNorm(2, 4), n.SiLU()],
    "instance norm": lambda n: [n.InstanceNorm2d(4, affine=True), n.Tanh()],
    "layer norm": lambda n: [n.LayerNorm((4, 12, 12)), n.GELU()],
    "last axis": lambda n: [n.LayerNorm(12), n.Mish()],
    "max pool": lambda n: [n.Softplus(), n.MaxPool2d(3, 1, 1)],
    "average pool": lambda n: [n.ELU(), n.AvgPool2d(3, 1, 1)],
    "softmax": lambda n: [n.Softmax(1)],
}


def critic(n: Any, name: str) -> Any:
    """Two convolutions with layers of the kind between them, and a linear layer."""
    layers = [n.Conv2d(3, 4, 3, padding=1), *CRITICS[name](n), n.Conv2d(4, 4, 3, stride=2), *CRITICS[name](n)]
    if name in ("layer norm", "last axis"):
        layers = [n.Conv2d(3, 4, 3, padding=1), *CRITICS[name](n), n.Conv2d(4, 4, 3, stride=2), n.Tanh()]
    return n.Sequential(*layers, n.Flatten(), n.Linear(100, 1))


def step_of(model: Any) -> Any:
    """The critic's loss and penalty of Gulrajani et al. (2017)."""

    def loss(x: Any) -> Any:
        slopes = cc.grad(lambda x: model(x).sum())(x)
        norms = ops.sqrt(ops.square(slopes).sum((1, 2, 3)))
        return model(x).mean() + 10.0 * ops.square(norms - 1.0).mean()

    return cc.train_step(loss, optim.SGD(model.parameters(), lr=1e-3))


@pytest.mark.parametrize("name", CRITICS)
def test_steps_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    cc.manual_seed(0)
    model = critic(nn, name)
    peer = critic(torch.nn, name).double()
    peer.load_state_dict({k: torch.tensor(np.array(v)) for k, v in model.state_dict().items()})
    optimizer = torch.optim.SGD(peer.parameters(), lr=1e-3)
    step = step_of(model)
    for _ in range(3):
        x = torch.tensor(X.astype(np.float64), requires_grad=True)
        (slopes,) = torch.autograd.grad(peer(x).sum(), x, create_graph=True)
        norms = slopes.square().sum((1, 2, 3)).sqrt()
        loss = peer(x).mean() + 10.0 * (norms - 1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(step(X), loss.item(), rtol=1e-5)
    for key, value in peer.state_dict().items():
        if "num_batches" not in key:  # one more for each call of the model
            ours = np.array(model.state_dict()[key], np.float64)
            scale = float(value.abs().max())
            np.testing.assert_allclose(ours, value.numpy(), atol=2e-5 * scale, rtol=0, err_msg=key)


@pytest.mark.parametrize("name", CRITICS)
def test_the_penalty_falls(name: str) -> None:
    cc.manual_seed(0)
    step = step_of(critic(nn, name))
    losses = [step(X) for _ in range(12)]
    assert losses[-1] < losses[0]
    assert np.isfinite(losses).all()


def test_third_derivatives_of_a_norm() -> None:
    """What second derivatives are made of has gradients, too: against differences of the second ones."""
    x = RNG.normal(size=(4, 2)).astype(np.float32)
    weights = RNG.normal(size=(4, 2)).astype(np.float32)

    def value(x: Any) -> Any:
        return (ops.batch_norm(x, None, None, training=True, eps=1.0) ** 3 * weights).sum()

    first = cc.grad(value)
    second = cc.grad(lambda x: (first(x) ** 2).sum())
    third = cc.grad(lambda x: (second(x) * weights).sum())(x)
    step = 2.0**-7
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        change = (second(x + moved).astype(np.float64) - second(x - moved)) * weights
        # Differences of float32 values: their rounding over the step, and the step's square.
        np.testing.assert_allclose(third[place], change.sum() / (2 * step), rtol=2e-2, atol=2e-3)


def test_penalties_of_a_bias_alone() -> None:
    """The gradient by the bias comes with the weight's, of which nothing is asked."""
    x, weight, bias = (RNG.normal(size=s).astype(np.float32) for s in ((2, 3, 4, 5), (4, 3, 1, 1), (4,)))

    def penalty(weight: Any, bias: Any, x: Any) -> Any:
        _, slopes = cc.grad(lambda w, b: (ops.conv2d(x, w, b) ** 3).sum(), argnums=(0, 1))(weight, bias)
        return ops.square(slopes).sum()

    found = cc.grad(penalty, argnums=(0, 1, 2))(weight, bias, x)
    images, matrix = x.astype(np.float64), weight[..., 0, 0].astype(np.float64)
    y = np.einsum("oc,nchw->nohw", matrix, images) + bias[:, None, None]
    slopes = 2 * np.einsum("nohw->o", 3 * y**2)[:, None, None] * 6 * y  # of the penalty by y
    expected = [
        np.einsum("nohw,nchw->oc", slopes, images)[..., None, None],
        slopes.sum((0, 2, 3)),
        np.einsum("nohw,oc->nchw", slopes, matrix),
    ]
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
