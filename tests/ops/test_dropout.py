# SPDX-License-Identifier: Apache-2.0
"""Dropout: share and scale of what is kept, the same mask in both directions, repeatability."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p):
    x = np.ones((100, 1000), np.float32)
    y = ops.dropout(x, p)
    kept = y != 0
    assert np.allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    # Six standard deviations of a binomial's share.
    assert abs(kept.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / x.size)


def test_masks_differ_between_runs_places_and_layers():
    x = np.ones((64, 64), np.float32)

    def two(a):
        return ops.dropout(a), ops.dropout(a)

    class Two(nn.Module):
        def forward(self, a):
            return two(a)

    first, second = Two()(x)
    assert not np.array_equal(first, second)
    third, _ = Two()(x)
    assert not np.array_equal(first, third)
    assert abs(np.corrcoef(first[:-1].ravel(), first[1:].ravel())[0, 1]) < 0.1


def test_the_seed_repeats_everything():
    x = np.ones((32, 32), np.float32)
    cc.manual_seed(3)
    runs = [ops.dropout(x) for _ in range(3)]
    cc.manual_seed(3)
    for run in runs:
        assert np.array_equal(ops.dropout(x), run)
    cc.manual_seed(4)
    assert not np.array_equal(ops.dropout(x), runs[0])


def test_the_gradient_uses_the_same_mask():
    x = np.ones((50, 50), np.float32)
    parameter = nn.Parameter(x)
    (_, y), (gradient,) = cc.value_and_grad(lambda: _loss(parameter), [parameter])()
    assert np.array_equal(gradient, y)
    assert 0 < (y == 0).mean() < 1


def _loss(parameter):
    y = ops.dropout(parameter, 0.3)
    return y.sum(), y


def test_inference_is_the_identity():
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert np.array_equal(ops.dropout(x, 0.5, training=False), x)
    assert np.array_equal(ops.dropout(x, 0.0), x)
    predictor = cc.compile(nn.Dropout(0.5), (3, 4))
    assert np.array_equal(predictor(x), x)


def test_everything_dropped():
    assert not ops.dropout(np.ones((4, 5)), 1.0).any()


def test_probability_is_checked():
    with pytest.raises(ValueError, match=r"\[dropout\] expected a probability p from 0 to 1, got 1.5"):
        ops.dropout(np.ones(3), 1.5)
