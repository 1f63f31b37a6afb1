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


@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50, 3, 2), (40, 50, 2, 1, 3)])
def test_whole_channels_are_dropped(shape):
    function = {3: ops.dropout1d, 4: ops.dropout2d, 5: ops.dropout3d}[len(shape)]
    y = function(np.ones(shape, np.float32), 0.3).reshape(40, 50, -1)
    assert np.isclose(y, y[:, :, :1]).all()
    kept = y[:, :, 0] != 0
    assert np.allclose(y[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 6 * np.sqrt(0.21 / kept.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_alpha_dropout_keeps_mean_and_variance(p):
    """Of independent elements; six standard deviations of the estimates, the fourth moment at most 12."""
    x = np.random.default_rng(0).normal(size=(400, 1000)).astype(np.float32)
    y = ops.alpha_dropout(x, p, training=True).astype(np.float64)
    assert abs(y.mean()) < 6 / np.sqrt(x.size)
    assert abs(y.var() - 1) < 6 * np.sqrt(12 / x.size)
    channels = ops.feature_alpha_dropout(x[:, :, None], p, training=True)[..., 0]
    assert abs(channels.mean()) < 6 / np.sqrt(x.size)


def test_stochastic_depth_decides_for_samples_or_for_the_batch():
    x = np.ones((2000, 3), np.float32)
    rows = ops.stochastic_depth(x, 0.4, "row")
    assert (rows == rows[:, :1]).all()
    kept = rows[:, 0] != 0
    assert np.allclose(rows[kept], 1 / 0.6, rtol=1e-6)
    assert abs(kept.mean() - 0.6) < 6 * np.sqrt(0.24 / len(x))
    batches = [ops.stochastic_depth(x, 0.4, "batch") for _ in range(40)]
    assert all((batch == batch[0, 0]).all() for batch in batches)
    assert {bool(batch[0, 0]) for batch in batches} == {True, False}


def test_errors_of_the_family():
    with pytest.raises(ValueError, match="expected mode 'batch' or 'row'"):
        ops.stochastic_depth(np.ones(3), 0.5, "column")
    with pytest.raises(ValueError, match=r"dropout2d\] expected input \(batch, channels, height, width\)"):
        ops.dropout2d(np.ones((2, 3)))
    with pytest.raises(ValueError, match="probability p from 0 to 1"):
        ops.alpha_dropout(np.ones(3), 1.5)


def test_a_seed_means_the_same_numbers_in_every_version():
    """Training that goes on from a file draws on as it would have."""

    def kept(array):
        return "".join(str(int(value > 0)) for value in array)

    ones = np.ones(24, np.float32)
    cc.manual_seed(5)
    assert kept(ops.dropout(ones)) == "100011101100101101000111"
    assert kept(ops.dropout(ones)) == "000111100001110110110110"
    cc.manual_seed(5)
    first, second = cc.compile(lambda x: (ops.dropout(x), ops.dropout(x)), (24,))(ones)
    assert kept(first) == "100011101100101101000111"
    assert kept(second) == "101100011101010010100010"
