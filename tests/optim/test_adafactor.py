# SPDX-License-Identifier: Apache-2.0
"""What Adafactor has beyond the other rules: matrices in pieces, state that has other shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
import reference.optim
from cnncore import nn, ops, optim
from core.helpers import threads
from optimizer_cases import gradient_step

SHAPES = [(300, 170), (2, 70, 300), (64, 3, 3, 3), (40000,), (), (5, 1), (1, 40000)]
"""Matrices in several pieces, several matrices in one, kernels, vectors and single numbers."""


def drawn(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape), np.float32) for shape in SHAPES]


def trained(steps: int, **settings: Any) -> tuple[list[nn.Parameter], optim.Adafactor]:
    params = [nn.Parameter(values) for values in drawn(0)]
    optimizer = optim.Adafactor(params, **settings)
    step = gradient_step(params, optimizer)
    for number in range(steps):
        step(*drawn(1 + number))
    return params, optimizer


def test_matrices_in_pieces_follow_the_rule() -> None:
    params, optimizer = trained(4, lr=0.9, weight_decay=0.01)
    settings = optimizer.param_groups[0]
    states: list[dict[str, Any]] = [{} for _ in SHAPES]
    expected = [values.astype(np.float64) for values in drawn(0)]
    for t in range(1, 5):
        for i, grad in enumerate(drawn(t)):
            expected[i] = reference.optim.adafactor(
                expected[i], grad.astype(np.float64), states[i], t, settings
            )
    for parameter, values in zip(params, expected, strict=True):
        # Each step rounds a handful of times; values and updates are of order 1.
        np.testing.assert_allclose(parameter.numpy(), values, rtol=4e-6, atol=4e-6)


def test_the_same_bits_on_any_number_of_threads() -> None:
    found = []
    for count in (1, 2, 3):
        with threads(count):
            params, _ = trained(2)
            found.append([parameter.numpy().tobytes() for parameter in params])
    assert found[0] == found[1] == found[2]


def test_the_state_has_rows_and_columns() -> None:
    _, optimizer = trained(1)
    state = optimizer.state_dict()["state"]
    assert state[0]["row_var"].shape == (300, 1)
    assert state[0]["col_var"].shape == (1, 170)
    assert state[2]["row_var"].shape == (64, 3, 3, 1)
    assert state[2]["col_var"].shape == (64, 3, 1, 3)
    assert set(state[3]) == set(state[4]) == {"step", "variance"}


def test_state_that_is_loaded_goes_on_with_the_same_bits() -> None:
    whole, _ = trained(3)
    params, optimizer = trained(2)
    again = [nn.Parameter(parameter.numpy()) for parameter in params]
    resumed = optim.Adafactor(again)
    resumed.load_state_dict(optimizer.state_dict())
    gradient_step(again, resumed)(*drawn(3))
    assert [p.numpy().tobytes() for p in again] == [p.numpy().tobytes() for p in whole]
    state = optimizer.state_dict()
    state["state"][0]["row_var"] = np.zeros((300, 170))
    with pytest.raises(ValueError, match=r"row_var of parameter 0 .* expected shape \(300, 1\)"):
        resumed.load_state_dict(state)


def test_clipped_gradients_are_scaled_before_their_squares() -> None:
    (values, *_), (grad, *_) = drawn(0), drawn(1)
    parameter = nn.Parameter(values)
    optimizer = optim.Adafactor([parameter], lr=0.3, eps=(0.1, 1e-3))
    cc.train_step(lambda g: ops.sum(parameter * g), optimizer, clip_grad_norm=1.0)(grad)
    scaled = grad.astype(np.float64) / (np.linalg.norm(grad.astype(np.float64)) + 1e-6)
    expected = reference.optim.adafactor(values.astype(np.float64), scaled, {}, 1, optimizer.param_groups[0])
    np.testing.assert_allclose(parameter.numpy(), expected, rtol=4e-6, atol=4e-6)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": -1.0}, ValueError, "lr of at least 0"),
        ({"beta2_decay": 0.1}, ValueError, "beta2_decay of at most 0"),
        ({"d": 0.5}, ValueError, "d of at least 1"),
        ({"eps": 1e-3}, TypeError, "eps as a number or None, and a number"),
        ({"eps": (-1.0, 1e-3)}, ValueError, "eps of at least 0"),
        ({"eps": (None, None)}, TypeError, "a number for eps"),
        ({"maximize": 2}, TypeError, "maximize as True or False"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        optim.Adafactor([nn.Parameter(np.ones(2))], **settings)


def test_state_of_matrices_is_none_of_vectors() -> None:
    params, optimizer = trained(1)
    state = optimizer.state_dict()
    state["state"][3] = {"step": 1, "row_var": np.ones((40000, 1)), "col_var": np.ones((1, 1))}
    with pytest.raises(ValueError, match=r"row_var of parameter 3 .* expected shape \(40000,\)"):
        optim.Adafactor(params).load_state_dict(state)
