# SPDX-License-Identifier: Apache-2.0
"""Updates step by step against torch's, on gradients that are the same for both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from optimizer_cases import CASES, drawn_gradients, gradient_step


def close(params: list[nn.Parameter], theirs: list[Any]) -> None:
    for parameter, other in zip(params, theirs, strict=True):
        # Each step rounds a handful of times; values and updates are of order 1.
        np.testing.assert_allclose(parameter.numpy(), other.detach().numpy(), rtol=4e-6, atol=4e-6)


@pytest.mark.parametrize("case", CASES)
def test_steps_match(case: str) -> None:
    torch = pytest.importorskip("torch")
    kind, settings = CASES[case]
    start, gradients = drawn_gradients()
    params = [nn.Parameter(values) for values in start]
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in start]
    optimizer = getattr(optim, kind)(params, **settings)
    reference = getattr(torch.optim, kind)(theirs, **settings)
    step = gradient_step(params, optimizer)
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
    start, gradients = drawn_gradients()
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
    step = gradient_step(params, optimizer)
    for grads in gradients[3:]:
        step(*grads)
        advance(grads)
        close(params, theirs)


def test_groups_and_frozen_parameters() -> None:
    start, gradients = drawn_gradients()
    params = [nn.Parameter(values) for values in start]
    params[3].requires_grad = False
    optimizer = optim.SGD([{"params": params[:2], "lr": 0.5}, {"params": params[2:]}], lr=0.25)
    gradient_step(params, optimizer)(*gradients[0])
    for parameter, before, grad, rate in zip(params, start, gradients[0], (0.5, 0.5, 0.25, 0.0), strict=True):
        np.testing.assert_allclose(parameter.numpy(), before - np.float32(rate) * grad, rtol=1e-6, atol=1e-6)


def test_resumed_training_gives_the_same_bits() -> None:
    start, gradients = drawn_gradients()

    def begin() -> tuple[list[nn.Parameter], optim.Optimizer]:
        params = [nn.Parameter(values) for values in start]
        return params, optim.AdamW(params, lr=0.05)

    whole, optimizer = begin()
    step = gradient_step(whole, optimizer)
    for grads in gradients:
        step(*grads)
    first, optimizer = begin()
    step = gradient_step(first, optimizer)
    for grads in gradients[:3]:
        step(*grads)
    second, resumed = begin()
    for parameter, source in zip(second, first, strict=True):
        parameter.assign(source)
    resumed.load_state_dict(optimizer.state_dict())
    step = gradient_step(second, resumed)
    for grads in gradients[3:]:
        step(*grads)
    for a, b in zip(whole, second, strict=True):
        assert a.data.tobytes() == b.data.tobytes()
