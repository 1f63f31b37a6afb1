# SPDX-License-Identifier: Apache-2.0
"""Gradients of functions put together at random, by rows and in joined steps: the plain program's bits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from cnncore.compiler import gradient_portions, siblings

SHAPES = [(4, 6), (12, 4, 5), (7, 4, 6, 6), (6, 4, 2, 3, 4), (5,)]
UNARY: list[Callable[[Any], Any]] = [
    lambda x: ops.softmax(x, -1),
    lambda x: ops.log_softmax(x, -1),
    lambda x: ops.layer_norm(x, (x.shape[-1],)),
    lambda x: ops.sigmoid(x) * x,
    lambda x: ops.tanh(x) - ops.mean(x, -1, keepdim=True),
    lambda x: ops.normalize(x, 2.0, -1),
    lambda x: ops.softplus(x) * ops.exp(-x * x),
    lambda x: x * ops.mean(x),
    lambda x: ops.reshape(x, (x.shape[0], -1)) if x.ndim > 2 else x * 2.0,
    lambda x: ops.max_pool2d(x, 2, 1, 1) if x.ndim == 4 else ops.relu(x),
    lambda x: ops.group_norm(x, 2) if x.ndim > 2 and x.shape[1] % 2 == 0 else ops.abs(x),
    lambda x: x + ops.sum(x, 0, keepdim=True),
]
BINARY: list[Callable[[Any, Any], Any]] = [ops.mul, ops.add, ops.sub, ops.maximum]
LOSSES: list[Callable[[Any], Any]] = [
    lambda x: ops.mean(x * x),
    lambda x: ops.sum(ops.sin(x)),
    lambda x: ops.mse_loss(x, x * 0.5 + 0.1),
    lambda x: ops.smooth_l1_loss(x, ops.tanh(x)),
]


def function(seed: int) -> Callable[..., Any]:
    def composed(*inputs: Any) -> Any:
        draw = random.Random(seed)
        values = list(inputs)
        for _ in range(draw.randrange(2, 8)):
            x = draw.choice(values)
            if draw.random() < 0.4:
                values.append(draw.choice(BINARY)(x, draw.choice([v for v in values if v.shape == x.shape])))
            else:
                values.append(draw.choice(UNARY)(x))
        losses = [draw.choice(LOSSES)(value) for value in values[-draw.randrange(1, 4) :]]
        return sum(losses[1:], losses[0])

    return composed


@pytest.mark.parametrize("seed", range(120))
def test_the_same_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(~seed)
    shape = draw.choice(SHAPES)
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal(shape, np.float32) for _ in range(draw.randrange(1, 3))]

    def gradients() -> Any:
        found = cc.grad(function(seed), argnums=tuple(range(len(inputs))))(*inputs)
        return list(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_portions, "ROWS", 1 << 60)
        patch.setattr(siblings, "FAR", 1 << 60)
        expected = gradients()
    monkeypatch.setattr(gradient_portions, "ROWS", inputs[0][:1].nbytes * draw.choice([1, 2]))
    monkeypatch.setattr(gradient_portions, "FAR", 0)
    monkeypatch.setattr(gradient_portions, "LEAST_SAVING", 0.0)
    monkeypatch.setattr(siblings, "FAR", draw.choice([1, 1 << 60]))
    for found, wanted in zip(gradients(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
