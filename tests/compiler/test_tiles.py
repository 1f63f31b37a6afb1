# SPDX-License-Identifier: Apache-2.0
"""Places of a tile's values in the whole image."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler.tiles import _groups, resized

TILE, STARTS = 96, (1, 3)


def convolution(taps: int, stride: int, dilation: int, padding: int) -> nn.Module:
    return nn.Conv1d(1, 1, taps, stride=stride, dilation=dilation, padding=padding, bias=False)


LAYERS = st.one_of(
    st.builds(convolution, st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 3)),
    st.builds(
        lambda taps, stride, padding: nn.ConvTranspose1d(
            1, 1, taps, stride, min(padding, taps - 1), bias=False
        ),
        st.integers(2, 5),
        st.integers(1, 3),
        st.integers(0, 2),
    ),
    st.builds(
        lambda taps, stride, ceil: nn.MaxPool1d(taps, stride, taps // 2, ceil_mode=ceil),
        st.integers(2, 3),
        st.integers(1, 3),
        st.booleans(),
    ),
    st.builds(lambda factor: nn.Upsample(scale_factor=factor), st.integers(2, 3)),
    st.builds(lambda factor: nn.Upsample(scale_factor=factor, mode="linear"), st.just(2)),
    st.builds(nn.ReflectionPad1d, st.integers(1, 3)),
)


def whole_numbers(model: nn.Module) -> nn.Module:
    """Give weights small whole numbers, so that sums are exact."""
    for parameter in model.parameters():
        parameter.assign(np.random.default_rng(0).integers(-2, 3, parameter.shape))
    return model


@settings(max_examples=60, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=4))
def test_what_lies_between_low_and_high_is_the_whole_image(layers: list[nn.Module]) -> None:
    model = whole_numbers(nn.Sequential(*layers))
    found = resized(cc.compile(model, (1, 1, TILE))._traced, (TILE,))
    ((span,),), (period,) = (place.spans for place in found.outputs), found.period
    assume(span.low < span.high)
    start, length = STARTS[0] * period, STARTS[1] * period + TILE
    x = np.random.default_rng(1).integers(-4, 5, (1, 1, length)).astype(np.float32)
    whole = cc.compile(model, x.shape)(x)[0, 0]
    tile = cc.compile(model, (1, 1, TILE))(x[:, :, start : start + TILE])[0, 0]
    assert len(tile) == span.extent
    offset = start * span.scale
    assert offset.denominator == 1
    np.testing.assert_array_equal(
        tile[span.low : span.high], whole[int(offset) + span.low : int(offset) + span.high]
    )


@pytest.mark.parametrize(
    ("model", "low", "high", "scale"),
    [
        (convolution(5, 1, 1, 2), 2, 94, 1),
        (convolution(3, 2, 1, 1), 1, 48, Fraction(1, 2)),
        (nn.Sequential(convolution(3, 1, 2, 2), convolution(3, 1, 1, 1)), 3, 93, 1),
        (nn.MaxPool1d(2), 0, 48, Fraction(1, 2)),
        (nn.ConvTranspose1d(1, 1, 4, 2, 1), 1, 191, 2),
        (nn.Upsample(scale_factor=3), 0, 288, 3),
        (nn.Upsample(scale_factor=2, mode="linear"), 1, 191, 2),
    ],
)
def test_spans_by_hand(model: nn.Module, low: int, high: int, scale: Any) -> None:
    (place,) = resized(cc.compile(model, (1, 1, TILE))._traced, (TILE,)).outputs
    assert (place.spans[0].low, place.spans[0].high, place.spans[0].scale) == (low, high, scale)


def test_groups_of_a_reshape() -> None:
    assert _groups((1, 6, 4), (1, 3, 2, 4)) == [([0], [0]), ([1], [1, 2]), ([2], [3])]
    assert _groups((2, 3, 4, 5), (2, 12, 5)) == [([0], [0]), ([1, 2], [1]), ([3], [2])]
    assert _groups((2, 3, 1), (2, 3)) == [([0], [0]), ([1, 2], [1])]
    assert _groups((2, 3), (2, 3, 1, 1)) == [([0], [0]), ([1], [1, 2, 3])]


def test_periods() -> None:
    strided = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.MaxPool2d((3, 2)), nn.Conv2d(1, 1, 3))
    found = resized(cc.compile(strided, (1, 1, 60, 60))._traced, (60, 60))
    assert found.period == (6, 4)
    assert found.aligned == (24, 16)  # four results of the last convolution
    up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, dilation=(1, 3)))
    assert resized(cc.compile(up, (1, 1, 60, 60))._traced, (60, 60)).aligned == (2, 1)


def test_another_place_is_refused() -> None:
    def shifted(x: Any) -> Any:
        return x[:, :, 1:] + ops.max_pool1d(x, 2, 1)

    assert cc.tiled(cc.compile(shifted, (1, 3, 32))) is not None
    with pytest.raises(ValueError, match="different places"):
        cc.tiled(cc.compile(lambda x: x + ops.pad(ops.max_pool1d(x, 2), (0, 16)), (1, 3, 32)))
