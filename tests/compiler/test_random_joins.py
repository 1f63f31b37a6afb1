# SPDX-License-Identifier: Apache-2.0
"""Networks of concatenations drawn at random: the bits of a program in which none is part of another."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from cnncore.compiler import lower

READERS: list[Callable[[Any, Any], Any]] = [
    lambda x, rng: ops.conv2d(x, rng.standard_normal((rng.integers(2, 9), x.shape[1], 1, 1), np.float32)),
    lambda x, rng: ops.conv2d(x, rng.standard_normal((4, x.shape[1], 3, 3), np.float32), padding=1),
    lambda x, rng: ops.conv2d(
        x, rng.standard_normal((x.shape[1], 1, 3, 3), np.float32), padding=1, groups=x.shape[1]
    ),
    lambda x, rng: ops.relu(
        ops.batch_norm(x, rng.standard_normal(x.shape[1]), rng.uniform(0.5, 2.0, x.shape[1]))
    ),
    lambda x, rng: ops.max_pool2d(x, 3, 1, 1),
    lambda x, rng: ops.avg_pool2d(x, 3, 1, 1),
    lambda x, rng: ops.tanh(x) + ops.sigmoid(x),
    lambda x, rng: ops.relu(ops.reshape(ops.reshape(x, (x.shape[0], -1)), x.shape)),
    lambda x, rng: x[:, x.shape[1] // 3 :],
]


def network(seed: int) -> Callable[[Any], Any]:
    def composed(x: Any) -> Any:
        draw, rng = random.Random(seed), np.random.default_rng(seed)
        values, joins, results = [x], [[0, 0]], []
        for _ in range(draw.randrange(3, 9)):
            begin = draw.choice(joins[-2:]) if draw.random() < 0.7 else [draw.randrange(len(values))]
            joins.append([*begin, *(draw.randrange(len(values)) for _ in range(draw.randrange(1, 3)))])
            whole = ops.concat([values[place] for place in joins[-1]], dim=1)
            if draw.random() < 0.15:
                results.append(whole)
            values.append(draw.choice(READERS)(whole, rng))
        return (*results, values[-1], ops.mean(values[-2]))

    return composed


@pytest.mark.parametrize("seed", range(120))
def test_the_same_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(seed).standard_normal((1 + seed % 2, 3 + seed % 6, 4, 5), np.float32)
    predict = cc.compile(network(seed), x.shape)
    monkeypatch.setattr(lower, "beginnings", lambda graph, outputs: {})
    plain = cc.compile(network(seed), x.shape)
    for _ in range(2):
        for found, wanted in zip(predict(x), plain(x), strict=True):
            np.testing.assert_array_equal(found, wanted)
