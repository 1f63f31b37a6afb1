# SPDX-License-Identifier: Apache-2.0
"""Updates step by step against torch's, on gradients that are the same for both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

SHAPES = [(3, 5), (7,), (2, 3, 3, 3), (1,)]
STEPS = 6

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "dampened": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam decay": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "adamw decay": ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3}),
    "sgd maximize": ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True}),
    "adam decoupled": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "adamw amsgrad": ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.01}),
    "nadam decay": ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1}),
    "nadam decoupled": ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.01}),
    "radam soon": ("RAdam", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "radam decoupled": ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamax": ("Adamax", {"lr": 0.01}),
    "adamax decay": ("Adamax", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop centered": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True}),
    "rmsprop all": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "centered": True, "momentum": 0.5, "maximize": True},
    ),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
    ),
    "adadelta": ("Adadelta", {}),
    "adadelta decay": ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    "rprop": ("Rprop", {"lr": 0.01}),
    "rprop limits": (
        "Rprop",
        {"lr": 0.01, "etas": (0.6, 1.5), "step_sizes": (0.005, 0.02), "maximize": True},
    ),
    "asgd": ("ASGD", {"lr": 0.1}),
    "asgd averaged": ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 2, "weight_decay": 0.1}),
}


def data() -> tuple[list[Any], list[list[Any]]]:
    rng = np.random.default_rng(0)
    draw = [[rng.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in range(STEPS + 1)]
    return draw[0], draw[1:]


def ours(params: list[nn.Parameter], optimizer: optim.Optimizer) -> Any:
    """A step whose gradients are its inputs."""

    def loss(*grads: Any) -> Any:
        total = 0.0
        for parameter, grad in zip(params, grads, strict=True):
            total = total + ops.sum(parameter * grad)
        return total

    return cc.train_step(loss, optimizer)


def close(params: list[nn.Parameter], theirs: list[Any]) -> None:
    for parameter, other in zip(params, theirs, strict=True):
        # Each step rounds a handful of times; values and updates are of order 1.
        np.testing.assert_allclose(parameter.numpy(), other.detach().numpy(), rtol=4e-6, atol=4e-6)


@pytest.mark.parametrize("case", CASES)
def test_steps_match(case: str) -> None:
    torch = pytest.importorskip("torch")
    kind, settings = CASES[case]
    start, gradients = data()
    params = [nn.Parameter(values) for values in start]
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in start]
    optimizer = getattr(optim, kind)(params, **settings)
    reference = getattr(torch.optim, kind)(theirs, **settings)
    step = ours(params, optimizer)
    for number, grads in enumerate(gradients):
        if number == 3 and kind != "ASGD":  # there torch's rate changes one step later
            optimizer.lr = reference.param_groups[0]["lr"] = optimizer.lr / 3
        step(*grads)
        for parameter, grad in zip(theirs, grads, strict=True):
            parameter.grad = torch.tensor(grad)
        reference.step()
        close(params, theirs)
    state = optimizer.state_dict()
    expected = reference.state_dict()
    assert set(state["state"]) == set(expected["state"]) or kind == "SGD"
    for index, entry in expected["state"].items():
        for name, value in entry.items():
            if value is not None and name not in ("step", "mu_product", "eta", "mu"):
                np.testing.assert_allclose(state["state"][index][name], value, rtol=4e-6, atol=4e-6)


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_against_float64(case: str) -> None:
    """On a drawn quadratic problem, against torch in float64."""
    torch = pytest.importorskip("torch")
    kind, settings = CASES[case]
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=(12, 3)).astype(np.float32)
    start = rng.normal(size=(5, 3)).astype(np.float32)
    ours_, theirs = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    sign = -1.0 if settings.get("maximize") else 1.0
    step = cc.train_step(
        lambda a, b: ops.mse_loss(ops.matmul(a, ours_), b) * sign, getattr(optim, kind)([ours_], **settings)
    )
    reference = getattr(torch.optim, kind)([theirs], **settings)
    x, y = (torch.tensor(v, dtype=torch.float64) for v in (a, b))
    largest = 1.0
    for _ in range(20):
        step(a, b)
        reference.zero_grad()
        (torch.nn.functional.mse_loss(x @ theirs, y) * sign).backward()
        reference.step()
        largest = max(largest, float(theirs.detach().abs().max()))
    # Each step rounds the parameter and its gradient, sums of 12 and 5 products, some 30 times; the problem
    # contracts or, seen from its optimum, moves errors and parameters alike.
    bound = 20 * 30 * 2.0**-24 * largest
    assert np.abs(ours_.numpy() - theirs.detach().numpy()).max() <= bound


@pytest.mark.parametrize("case", ["dampened", "adamw decay"])
def test_state_from_torch_goes_on_like_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    kind, settings = CASES[case]
    start, gradients = data()
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in start]
    reference = getattr(torch.optim, kind)(theirs, **settings)

    def advance(grads: list[Any]) -> None:
        for parameter, grad in zip(theirs, grads, strict=True):
            parameter.grad = torch.tensor(grad)
        reference.step()

    for grads in gradients[:3]:
        advance(grads)
    params = [nn.Parameter(parameter) for parameter in theirs]
    optimizer = getattr(optim, kind)(params, lr=99.0)
    optimizer.load_state_dict(reference.state_dict())
    assert optimizer.lr == settings["lr"]
    step = ours(params, optimizer)
    for grads in gradients[3:]:
        step(*grads)
        advance(grads)
        close(params, theirs)


def test_groups_and_frozen_parameters() -> None:
    start, gradients = data()
    params = [nn.Parameter(values) for values in start]
    params[3].requires_grad = False
    optimizer = optim.SGD([{"params": params[:2], "lr": 0.5}, {"params": params[2:]}], lr=0.25)
    ours(params, optimizer)(*gradients[0])
    for parameter, before, grad, rate in zip(params, start, gradients[0], (0.5, 0.5, 0.25, 0.0), strict=True):
        np.testing.assert_allclose(parameter.numpy(), before - np.float32(rate) * grad, rtol=1e-6, atol=1e-6)


def test_resumed_training_gives_the_same_bits() -> None:
    start, gradients = data()

    def begin() -> tuple[list[nn.Parameter], optim.Optimizer]:
        params = [nn.Parameter(values) for values in start]
        return params, optim.AdamW(params, lr=0.05)

    whole, optimizer = begin()
    step = ours(whole, optimizer)
    for grads in gradients:
        step(*grads)
    first, optimizer = begin()
    step = ours(first, optimizer)
    for grads in gradients[:3]:
        step(*grads)
    second, resumed = begin()
    for parameter, source in zip(second, first, strict=True):
        parameter.assign(source)
    resumed.load_state_dict(optimizer.state_dict())
    step = ours(second, resumed)
    for grads in gradients[3:]:
        step(*grads)
    for a, b in zip(whole, second, strict=True):
        assert a.data.tobytes() == b.data.tobytes()
