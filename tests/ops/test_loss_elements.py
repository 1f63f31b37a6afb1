# SPDX-License-Identifier: Apache-2.0
"""What cases cannot say of losses of single elements: errors, extremes, one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

X, T = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.l1_loss(X, T[0]), r"expected input and target of one shape, got \(2, 3\) and \(3,\)"),
        (lambda: ops.margin_ranking_loss(X, X, T[:1]), r"input1, input2 and target of one shape, got"),
        (lambda: ops.mse_loss(X, T, weight=T[0]), r"weight of input's shape \(2, 3\), got \(3,\)"),
        (lambda: ops.huber_loss(X, T, delta=0), "delta above 0, got 0"),
        (lambda: ops.smooth_l1_loss(X, T, beta=-1), "beta .* at least 0"),
        (lambda: ops.kl_div(X, T, "batch"), "'none', 'batchmean', 'mean' or 'sum', got 'batch'"),
        (lambda: ops.kl_div(1.0 * X[0, 0], T[0, 0], "batchmean"), "with a batch axis"),
        (lambda: ops.binary_cross_entropy(X + 1.5, T), "input from 0 to 1, got 6 outside: are they logits"),
        (lambda: ops.binary_cross_entropy(X, T, np.ones(2)), "do not fit together"),
        (lambda: ops.gaussian_nll_loss(X, T, X - 1), "variances of at least 0, got 6 negative"),
        (lambda: ops.gaussian_nll_loss(X, T, T[:, :2]), r"expected var of input's shape \(2, 3\)"),
        (lambda: ops.soft_margin_loss(X, T, "men"), "'none', 'mean' or 'sum', got 'men'"),
        (lambda: nn.HuberLoss(delta=0), "delta above 0"),
        (lambda: nn.KLDivLoss("batch"), "'mean', 'sum' or 'none', got 'batch'"),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_probabilities_of_0_and_1() -> None:
    """Logarithms end at -100, and the gradient at 1e12: torch's numbers."""
    x, t = np.array([0, 1, 0, 1], np.float32), np.array([0, 1, 1, 0], np.float32)
    assert ops.binary_cross_entropy(x, t, reduction="none").tolist() == [0, 0, 100, 100]
    by_input = cc.grad(lambda x: ops.binary_cross_entropy(x, t, reduction="sum"))(x)
    np.testing.assert_allclose(by_input, [0, 0, -1e12, 1e12], rtol=1e-6)


def test_extremes_stay_finite() -> None:
    assert ops.soft_margin_loss(np.array([1e30, -1e30]), np.array([1, -1])).item() == 0
    assert ops.soft_margin_loss(np.array([1000.0]), np.array([-1])).item() == 1000
    assert ops.kl_div(np.array([-1.0]), np.array([0.0])).item() == 0
    assert np.isfinite(cc.grad(lambda t: ops.kl_div(np.array([-1.0], np.float32), t))(np.zeros(1))).all()
    small = cc.grad(lambda v: ops.gaussian_nll_loss(X, T, v, reduction="sum"))(X)
    # Variances below eps = 1e-6 have the gradient of eps: (1 - 1 / eps) / (2 eps).
    np.testing.assert_allclose(small, (1 - 1e6) * 0.5e6, rtol=1e-6)


def test_nan_goes_through() -> None:
    x = np.array([np.nan, 0.5], np.float32)
    for loss in (ops.mse_loss, ops.huber_loss, ops.binary_cross_entropy, ops.soft_margin_loss, ops.kl_div):
        assert np.isnan(loss(x, T[0, :2]))


def test_nothing_at_all() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert np.isnan(ops.l1_loss(empty, empty))
    assert ops.l1_loss(empty, empty, "sum") == 0
    assert ops.l1_loss(empty, empty, "none").shape == (0, 3)


@pytest.mark.parametrize("loss", [ops.mse_loss, ops.huber_loss, ops.soft_margin_loss, ops.kl_div])
def test_one_step_forward_and_one_backward(loss: Any) -> None:
    weight = nn.Parameter(np.ones((4, 3)))
    step = cc.train_step(lambda t: loss(weight, t), optim.SGD([weight], lr=0.1))
    rows = [row["step"].split()[0] for row in step.explain(np.ones((4, 3), np.float32))]
    assert rows == ["elementwise_chain", "elementwise_chain", "sgd_update"]
