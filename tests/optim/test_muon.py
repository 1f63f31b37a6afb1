# SPDX-License-Identifier: Apache-2.0
"""Muon against its definition in float64, and against torch's in bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.optim import muon

A, B, C = 3.4445, -4.775, 2.0315
SHAPES = [(5, 9), (12, 4), (6, 6)]
CASES: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.1, "nesterov": False, "momentum": 0.8, "weight_decay": 0.0},
    {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3},
    {"lr": 0.1, "ns_steps": 2, "ns_coefficients": (1.5, -0.5, 0.0)},
]


def orthogonal(matrix: Any, coefficients: tuple[float, float, float], steps: int) -> Any:
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def train(settings: dict[str, Any], steps: int) -> tuple[list[nn.Parameter], list[Any], list[list[Any]]]:
    rng = np.random.default_rng(3)
    starts = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    gradients = [[rng.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in range(steps)]
    params = [nn.Parameter(values) for values in starts]

    def loss(*inputs: Any) -> Any:
        total: Any = 0.0
        for parameter, gradient in zip(params, inputs, strict=True):
            total = total + ops.sum(parameter * gradient)
        return total

    step = cc.train_step(loss, optim.Muon(params, **settings))
    for given in gradients:
        step(*given)
    return params, starts, gradients


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_against_float64(settings: dict[str, Any]) -> None:
    steps = 5
    params, starts, gradients = train(settings, steps)
    momentum, lr = settings.get("momentum", 0.95), settings["lr"]
    for i, (parameter, start) in enumerate(zip(params, starts, strict=True)):
        p, buffer = start.astype(np.float64), np.zeros(start.shape)
        for given in gradients:
            g = given[i].astype(np.float64)
            buffer = momentum * buffer + (1 - momentum) * g
            mixed = momentum * buffer + (1 - momentum) * g if settings.get("nesterov", True) else buffer
            step = orthogonal(mixed, settings.get("ns_coefficients", (A, B, C)), settings.get("ns_steps", 5))
            rows, columns = p.shape
            ratio = np.sqrt(max(1, rows / columns))
            if settings.get("adjust_lr_fn"):
                ratio = 0.2 * np.sqrt(max(rows, columns))
            p = (1 - lr * settings.get("weight_decay", 0.1)) * p - lr * ratio * step
        # The iteration multiplies errors of small singular values by up to 3.4445 each time, 485 after five;
        # each of the products adds some ten roundings.
        bound = steps * lr * ratio * 485 * 10 * 2.0**-24 + steps * 4 * 2.0**-24 * np.abs(p).max()
        assert np.abs(parameter.numpy() - p).max() <= bound


def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    params, starts, gradients = train({"lr": 0.02}, 3)
    theirs = [torch.nn.Parameter(torch.tensor(values)) for values in starts]
    reference = torch.optim.Muon(theirs, lr=0.02)
    for given in gradients:
        for parameter, gradient in zip(theirs, given, strict=True):
            parameter.grad = torch.tensor(gradient)
        reference.step()
    for parameter, other in zip(params, theirs, strict=True):
        # torch iterates in bfloat16, with roundings of 2^-8 in each of 15 products of values around 1.
        difference = np.abs(parameter.numpy() - other.detach().numpy()).max()
        assert difference <= 3 * 0.02 * np.sqrt(3) * 15 * 2.0**-8


def test_settings() -> None:
    matrix = nn.Parameter(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"parameters with two axes, got one of shape \(3,\)"):
        optim.Muon([nn.Parameter(np.ones(3))])
    with pytest.raises(ValueError, match="ns_steps from 0 to 99, got 100"):
        optim.Muon([matrix], ns_steps=100)
    with pytest.raises(ValueError, match=r"adjust_lr_fn of .*, got 'other'"):
        optim.Muon([matrix], adjust_lr_fn="other")
    with pytest.raises(TypeError, match="ns_coefficients as three numbers"):
        optim.Muon([matrix], ns_coefficients=(1.0, 2.0))


@pytest.mark.parametrize("rows", [4, 7, 32])
def test_products_of_many_rows_are_symmetric(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers: blocks up to the diagonal and their mirror images are exact."""
    monkeypatch.setattr(muon, "LEAST_ROWS", 4)
    x = np.random.default_rng(rows).integers(-9, 10, (rows, 11)).astype(np.float32)
    assert np.array_equal(cc.compile(lambda x: muon.symmetric_product(x, x), x.shape)(x), x @ x.T)
