# SPDX-License-Identifier: Apache-2.0
"""Dropout inside of composed layers: with probability 1 nothing of the dropped part is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn

X = np.random.default_rng(0).normal(size=(5, 2, 8)).astype(np.float32)


def test_attention_drops_weights() -> None:
    layer = nn.MultiheadAttention(8, 2, dropout=1.0)
    for parameter in layer.parameters():
        parameter.assign(np.random.default_rng(1).normal(size=parameter.shape).astype(np.float32))
    found = layer.train()(X, X, X)[0]
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray(layer.out_proj.bias), found.shape))
    assert not np.array_equal(layer.eval()(X, X, X)[0], found)


def test_attention_drops_the_share_it_is_told() -> None:
    cc.manual_seed(0)
    layer = nn.MultiheadAttention(2, 1, dropout=0.25)
    eye = np.eye(2, dtype=np.float32)
    layer.in_proj_weight.assign(np.concatenate([0 * eye, 0 * eye, eye]))
    layer.out_proj.weight.assign(eye)
    values = np.zeros((400, 50, 2), np.float32)
    values[0] = 400  # with equal weights of 1/400 each output is 1, or 0 where that weight is dropped
    found = layer.train()(values, values, values)[0]
    kept = np.isclose(found[..., 0], 1 / 0.75, rtol=1e-4)
    assert np.all(kept | (found[..., 0] == 0))
    deviation = (0.75 * 0.25 / kept.size) ** 0.5
    assert abs(kept.mean() - 0.75) < 5 * deviation


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
def test_transformer_layers_hand_it_on(kind: Any) -> None:
    layer = kind(8, 2, 16, dropout=0.3)
    parts = [part for part in layer.modules() if isinstance(part, nn.MultiheadAttention)]
    assert [part.dropout for part in parts] == [0.3] * (1 + (kind is nn.TransformerDecoderLayer))
    assert {part.p for part in layer.modules() if isinstance(part, nn.Dropout)} == {0.3}
    sure = kind(8, 2, 16, dropout=1.0).train()
    inputs = (X,) if kind is nn.TransformerEncoderLayer else (X, X)
    norms = [part for name, part in sure.named_modules() if name.startswith("norm")]
    expected = X
    for norm in norms:
        expected = norm(expected)
    np.testing.assert_allclose(sure(*inputs), expected, rtol=1e-6, atol=1e-6)


def test_blocks_hand_on_their_norms_and_axes() -> None:
    for axes, norm, convolution in ((2, nn.BatchNorm2d, nn.Conv2d), (3, nn.BatchNorm3d, nn.Conv3d)):
        block = getattr(nn, f"Conv{axes}dNormActivation")(
            4, 8, norm_layer=lambda width: nn.GroupNorm(2, width)
        )
        assert [type(part) for part in block] == [convolution, nn.GroupNorm, nn.ReLU]
        assert [type(part) for part in getattr(nn, f"Conv{axes}dNormActivation")(4, 8)][1] is norm
        assert block[0].padding == (1,) * axes
    wide = nn.Conv2dNormActivation(4, 8, (3, 5), dilation=(1, 2))
    assert wide[0].padding == (1, 4)
    pyramid = nn.FeaturePyramidNetwork([4, 4], 8, norm_layer=nn.BatchNorm2d)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in pyramid.modules()) == 4
    assert not any(isinstance(part, nn.ReLU) for part in pyramid.modules())
