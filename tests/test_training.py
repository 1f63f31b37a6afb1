# SPDX-License-Identifier: Apache-2.0
"""Clipping and accumulation inside a training step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

SHAPES = [(3, 5), (7,), ()]


def drawn(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


def products(params: list[nn.Parameter]) -> Any:
    """A loss whose gradients are its inputs."""

    def loss(*gradients: Any) -> Any:
        total: Any = 0.0
        for parameter, gradient in zip(params, gradients, strict=True):
            total = total + ops.sum(parameter * gradient)
        return total

    return loss


def begin(make: Any, **settings: Any) -> tuple[list[nn.Parameter], Any]:
    params = [nn.Parameter(values) for values in drawn(0)]
    return params, cc.train_step(products(params), make(params), **settings)


def taken(gradients: list[Any], **settings: Any) -> list[Any]:
    """The gradients that the update saw: SGD's steps of rate 1."""
    params, step = begin(lambda p: optim.SGD(p, lr=1.0), **settings)
    before = [p.numpy().astype(np.float64) for p in params]
    step(*gradients)
    return [b - p.numpy() for b, p in zip(before, params, strict=True)]


@pytest.mark.parametrize("most", [0.5, 3.0, 100.0])
def test_norm_of_all_gradients(most: float) -> None:
    gradients = drawn(1)
    norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in gradients))
    scale = min(1.0, most / (norm + 1e-6))
    for seen, gradient in zip(taken(gradients, clip_grad_norm=most), gradients, strict=True):
        # The scale and the parameter's difference, of values below 4, are rounded.
        np.testing.assert_allclose(seen, gradient * scale, rtol=8 * 2.0**-24, atol=8 * 2.0**-24)


def test_elements() -> None:
    gradients = drawn(2)
    for seen, gradient in zip(taken(gradients, clip_grad_value=0.25), gradients, strict=True):
        np.testing.assert_allclose(seen, np.clip(gradient, -0.25, 0.25), atol=8 * 2.0**-24)
    clipped = [np.clip(g, -0.25, 0.25) for g in gradients]
    both = taken(gradients, clip_grad_value=0.25, clip_grad_norm=0.5)
    for seen, gradient in zip(both, taken(clipped, clip_grad_norm=0.5), strict=True):
        np.testing.assert_array_equal(seen, gradient)


def test_as_torch_clips() -> None:
    torch = pytest.importorskip("torch")
    params, step = begin(lambda p: optim.Adam(p, lr=0.1), clip_grad_norm=1.0)
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in drawn(0)]
    reference = torch.optim.Adam(theirs, lr=0.1)
    for seed in range(1, 6):
        step(*drawn(seed))
        for parameter, gradient in zip(theirs, drawn(seed), strict=True):
            parameter.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        reference.step()
    for parameter, other in zip(params, theirs, strict=True):
        np.testing.assert_allclose(parameter.numpy(), other.detach().numpy(), rtol=4e-6, atol=4e-6)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1)])
def test_accumulated_steps_are_steps_of_the_mean(make: Any, clip: float | None) -> None:
    few, step = begin(make, accumulate=3, clip_grad_norm=clip)
    whole, one = begin(make, clip_grad_norm=clip)
    for update in range(3):
        parts = [[np.round(4 * g) for g in drawn(10 * update + i)] for i in range(3)]
        before = [p.numpy().copy() for p in few]
        for part in parts[:2]:
            step(*part)
            assert all(np.array_equal(p.numpy(), b) for p, b in zip(few, before, strict=True))
        assert step.optimizer.step_count == update
        step(*parts[2])
        # Sums of whole numbers are exact.
        one(*[sum(values) * np.float32(1 / 3) for values in zip(*parts, strict=True)])
        for a, b in zip(few, whole, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_parameters_without_gradient() -> None:
    used, unused = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    optimizer = optim.AdamW([used, unused], lr=0.1)
    step = cc.train_step(lambda x: ops.sum(used * x), optimizer, clip_grad_norm=1.0, accumulate=2)
    step(np.ones(3))
    step(np.ones(3))
    assert (used.numpy() != 1).all()
    assert (unused.numpy() == 1).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"clip_grad_norm": 0.0}, ValueError, "clip_grad_norm above 0 and finite, got 0.0"),
        ({"clip_grad_value": float("nan")}, ValueError, "clip_grad_value above 0"),
        ({"clip_grad_norm": "1"}, TypeError, "a number for clip_grad_norm, got '1'"),
        ({"accumulate": 0}, ValueError, "accumulate of at least 1, got 0"),
        ({"accumulate": 1.5}, TypeError, "expected an integer accumulate, got 1.5"),
    ],
)
def test_wrong_settings(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        begin(lambda p: optim.SGD(p, 0.1), **settings)
