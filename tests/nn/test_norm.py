# SPDX-License-Identifier: Apache-2.0
"""Normalising layers: what their arguments mean, parameters and texts as torch's."""

import numpy as np
import pytest

from cnncore import nn, ops


def test_group_norm_layer():
    x = np.random.default_rng(0).normal(3, 2, (2, 6, 5, 4)).astype(np.float32)
    layer = nn.GroupNorm(2, 6, eps=0.1)
    layer.weight.assign(np.arange(6))
    layer.bias.assign(np.arange(6) - 3.0)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert np.array_equal(layer(x), ops.group_norm(x, 2, layer.weight, layer.bias, 0.1))
    plain = nn.GroupNorm(2, 6, eps=0.1, affine=False)
    assert list(plain.state_dict()) == []
    assert np.array_equal(plain(x), ops.group_norm(x, 2, eps=0.1))
    assert list(nn.GroupNorm(2, 6, bias=False).state_dict()) == ["weight"]
    assert repr(layer) == "GroupNorm(2, 6, eps=0.1, affine=True, bias=True)"


def test_group_norm_errors():
    with pytest.raises(ValueError, match="num_channels to divide into 4 groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"channels in 2 equal groups, got \(2, 3, 4, 4\)"):
        ops.group_norm(np.ones((2, 3, 4, 4)), 2)
    with pytest.raises(ValueError, match="more than one value per group"):
        ops.group_norm(np.ones((1, 2)), 2)
    with pytest.raises(ValueError, match=r"6 channels \(weight is \(6,\)\).*is the input channels-last"):
        nn.GroupNorm(2, 6)(np.ones((2, 4, 4, 6)))


def test_group_norm_of_values_far_from_zero():
    """Float32 sums of squares would lose the variance altogether."""
    x = np.random.default_rng(0).normal(1000.0, 1.0, (2, 4, 33, 31)).astype(np.float32)
    wide = x.astype(np.float64).reshape(2, 2, -1)
    expected = (wide - wide.mean(2, keepdims=True)) / wide.std(2, keepdims=True)
    error = np.abs(ops.group_norm(x, 2, eps=0.0) - expected.reshape(x.shape)).max()
    assert error < 4 * 1000.0 * np.finfo(np.float32).eps


def test_group_norm_of_no_rows():
    assert ops.group_norm(np.ones((0, 4, 3, 3)), 2).shape == (0, 4, 3, 3)
