# SPDX-License-Identifier: Apache-2.0
"""Lion, LARS and LAMB against their papers in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
import reference.optim
from cnncore import nn, ops, optim

SHAPES = [(3, 5), (7,), (2, 3, 3, 3), (150, 200)]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lion": ("Lion", {"lr": 0.01}),
    "lion decay": ("Lion", {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.3}),
    "lars": ("LARS", {"lr": 0.5, "weight_decay": 0.01, "trust_coefficient": 0.1}),
    "lars momentum": ("LARS", {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.1}),
    "lars nesterov": ("LARS", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    "lars unadapted": ("LARS", {"lr": 0.01, "momentum": 0.9}),
    "lamb": ("LAMB", {"lr": 0.01, "weight_decay": 0.1}),
    "lamb betas": ("LAMB", {"lr": 0.05, "weight_decay": 0.01, "betas": (0.8, 0.95), "eps": 1e-4}),
    "lamb unadapted": ("LAMB", {"lr": 0.01}),
}


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps(case: str) -> None:
    kind, settings = CASES[case]
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    params = [nn.Parameter(values) for values in starts]
    wanted, states = [v.astype(np.float64) for v in starts], [dict[str, Any]() for _ in SHAPES]

    def loss(*gradients: Any) -> Any:
        total: Any = 0.0
        for parameter, gradient in zip(params, gradients, strict=True):
            total = total + ops.sum(parameter * gradient)
        return total

    step = cc.train_step(loss, getattr(optim, kind)(params, **settings))
    update = getattr(reference.optim, kind.lower())
    for _ in range(20):
        gradients = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
        step(*gradients)
        wanted = [
            update(p, g, state, **settings) for p, g, state in zip(wanted, gradients, states, strict=True)
        ]
    for parameter, expected in zip(params, wanted, strict=True):
        # Each step rounds the parameter and its step some 20 times; norms, summed in double, add nothing.
        bound = 20 * 20 * 2.0**-24 * np.abs(expected).max()
        assert np.abs(parameter.numpy() - expected).max() <= bound


@pytest.mark.parametrize("kind", ["LARS", "LAMB"])
def test_tensors_of_zeros_take_plain_steps(kind: str) -> None:
    parameter = nn.Parameter(np.zeros(4))
    step = cc.train_step(
        lambda g: ops.sum(parameter * g), getattr(optim, kind)([parameter], lr=0.5, weight_decay=0.1)
    )
    step(np.array([1.0, -2.0, 3.0, 4.0]))
    expected = [-0.5, 1.0, -1.5, -2.0] if kind == "LARS" else [-0.5, 0.5, -0.5, -0.5]
    np.testing.assert_allclose(parameter.numpy(), expected, rtol=2e-6)
