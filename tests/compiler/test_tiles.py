# SPDX-License-Identifier: Apache-2.0
"""Places of a tile's values in the whole image."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler.pipeline import prepare_predictor
from cnncore.compiler.tiles import Span, _groups, resized
from cnncore.predictor import Predictor

TILE, STARTS = 96, (1, 3)


def convolution(taps: int, stride: int, dilation: int, padding: int) -> nn.Module:
    return nn.Conv1d(1, 1, taps, stride=stride, dilation=dilation, padding=padding, bias=False)


def transposed(taps: int, stride: int, padding: int, more: int, dilation: int) -> nn.Module:
    """No stride beyond the taps: every result reads something."""
    reach = dilation * (taps - 1)
    stride = min(stride, taps) if dilation == 1 else 1
    return nn.ConvTranspose1d(
        1, 1, taps, stride, min(padding, reach), min(more, stride - 1), bias=False, dilation=dilation
    )


class Function(nn.Module):
    """A layer that calls a function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def average(taps: int, stride: int, padding: int, ceil: bool, counted: bool) -> nn.Module:
    return nn.AvgPool1d(taps, stride, padding, ceil_mode=ceil, count_include_pad=counted)


COUNTS, SMALL = st.integers(1, 3), st.integers(0, 2)
SUMS = st.one_of(
    st.builds(convolution, st.integers(1, 4), COUNTS, st.integers(1, 2), st.integers(0, 3)),
    st.builds(transposed, st.integers(2, 5), COUNTS, SMALL, SMALL, st.integers(1, 2)),
    st.builds(average, st.integers(2, 4), COUNTS, st.integers(0, 1), st.booleans(), st.booleans()),
    st.builds(lambda factor: nn.Upsample(scale_factor=factor, mode="linear"), st.just(2)),
    st.builds(nn.ReflectionPad1d, st.integers(1, 3)),
    st.builds(lambda a, b: Function(lambda x: ops.pad(x, (a, b))), SMALL, SMALL),
    st.builds(lambda a, b: Function(lambda x: x[:, :, a : x.shape[2] - b]), SMALL, SMALL),
    st.builds(lambda start, step: Function(lambda x: x[:, :, start::step]), SMALL, COUNTS),
)
LAYERS = st.one_of(
    SUMS,
    st.builds(
        lambda taps, stride, ceil: nn.MaxPool1d(taps, stride, taps // 2, ceil_mode=ceil),
        st.integers(2, 3),
        COUNTS,
        st.booleans(),
    ),
    st.builds(lambda factor: nn.Upsample(scale_factor=factor), st.integers(2, 3)),
)
REFUSED = (
    "a part that is none of all extents",
    "reflect padding of at most",
    "smaller than the layer's window",
)


def models(layers: st.SearchStrategy[nn.Module]) -> st.SearchStrategy[nn.Module]:
    return st.lists(layers, min_size=1, max_size=4).map(lambda drawn: nn.Sequential(*drawn))


def whole_numbers(model: nn.Module) -> nn.Module:
    """Give weights small whole numbers, so that sums are exact."""
    for parameter in model.parameters():
        parameter.assign(np.random.default_rng(0).integers(-2, 3, parameter.shape))
    return model


def tile_of(model: nn.Module, traced: int) -> tuple[Predictor, Span, int]:
    """Return a program for a tile, of a graph that was traced for another extent, and its span and period."""
    try:
        predictor = cc.compile(model, (1, 1, traced))
        found = resized(predictor._traced.copy(), (TILE,))
    except ValueError as error:
        assume(not any(why in str(error) for why in REFUSED))
        raise
    ((span,),) = (place.spans for place in found.outputs)
    prepare_predictor(found.graph)
    return Predictor(found.graph, predictor._rebuild), span, found.period[0]


@settings(max_examples=80, deadline=None)
@given(models(LAYERS), st.integers(TILE - 30, TILE + 2))
def test_what_lies_between_low_and_high_is_the_whole_image(model: nn.Module, traced: int) -> None:
    program, span, period = tile_of(whole_numbers(model), traced)
    assume(span.low < span.high)
    start, length = STARTS[0] * period, STARTS[1] * period + TILE
    x = np.random.default_rng(1).integers(-4, 5, (1, 1, length)).astype(np.float32)
    whole = cc.compile(model, x.shape)(x)[0, 0]
    tile = program(x[:, :, start : start + TILE])[0, 0]
    assert len(tile) == span.extent
    np.testing.assert_array_equal(tile, cc.compile(model, (1, 1, TILE))(x[:, :, start : start + TILE])[0, 0])
    offset = start * span.scale
    assert offset.denominator == 1
    np.testing.assert_allclose(
        tile[span.low : span.high],
        whole[int(offset) + span.low : int(offset) + span.high],
        rtol=1e-6,
    )


@settings(max_examples=80, deadline=None)
@given(models(SUMS))
def test_what_lies_before_low_and_from_high_is_not_the_whole_image(model: nn.Module) -> None:
    """Sums of drawn numbers with drawn weights are others where a number of the whole image is missing."""
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.assign(rng.uniform(0.5, 1.5, parameter.shape))
    program, span, period = tile_of(model, TILE)
    start = period * ceil(300 / period)
    x = rng.uniform(1, 2, (1, 1, 2 * start + TILE)).astype(np.float32)
    begin = int(start * span.scale)
    whole = cc.compile(model, x.shape)(x)[0, 0, begin : begin + span.extent]
    same = np.isclose(program(x[:, :, start : start + TILE])[0, 0], whole, rtol=2e-6, atol=0)
    assert not same[: span.low].any()
    assert same[span.low : span.high].all()
    assert not same[max(span.high, span.low) :].any()


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
    (place,) = resized(cc.compile(model, (1, 1, TILE))._traced.copy(), (TILE,)).outputs
    assert (place.spans[0].low, place.spans[0].high, place.spans[0].scale) == (low, high, scale)


def test_groups_of_a_reshape() -> None:
    assert _groups((1, 6, 4), (1, 3, 2, 4)) == [([0], [0]), ([1], [1, 2]), ([2], [3])]
    assert _groups((2, 3, 4, 5), (2, 12, 5)) == [([0], [0]), ([1, 2], [1]), ([3], [2])]
    assert _groups((2, 3, 1), (2, 3)) == [([0], [0]), ([1, 2], [1])]
    assert _groups((2, 3), (2, 3, 1, 1)) == [([0], [0]), ([1], [1, 2, 3])]
    assert _groups((2, 3, 4), (2, 1, 3, 4)) == [([0], [0]), ([], [1]), ([1], [2]), ([2], [3])]
    assert _groups((2, 1, 3, 4), (2, 3, 4)) == [([0], [0]), ([1], []), ([2], [1]), ([3], [2])]
    assert _groups((1, 3, 4), (1, 1, 12)) == [([0], [0]), ([], [1]), ([1, 2], [2])]


def test_periods() -> None:
    strided = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.MaxPool2d((3, 2)), nn.Conv2d(1, 1, 3))
    found = resized(cc.compile(strided, (1, 1, 60, 60))._traced.copy(), (60, 60))
    assert found.period == (6, 4)
    assert found.aligned == (24, 16)  # four results of the last convolution
    up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, dilation=(1, 3)))
    assert resized(cc.compile(up, (1, 1, 60, 60))._traced.copy(), (60, 60)).aligned == (2, 1)


def test_the_same_extents_by_another_way_are_another_place() -> None:
    def both(x: Any) -> Any:
        return ops.max_pool2d(x, 2) + x[:, :, 3:-3, 3:-3]

    with pytest.raises(ValueError, match="different places"):
        resized(cc.compile(both, (1, 1, 12, 12))._traced.copy(), (12, 12))


def test_another_place_is_refused() -> None:
    def shifted(x: Any) -> Any:
        return x[:, :, 1:] + ops.max_pool1d(x, 2, 1)

    assert cc.tiled(cc.compile(shifted, (1, 3, 32))) is not None
    with pytest.raises(ValueError, match="different places"):
        cc.tiled(cc.compile(lambda x: x + ops.pad(ops.max_pool1d(x, 2), (0, 16)), (1, 3, 32)))


IMAGE = (2, 4, 12, 12)


def constant(*shape: int) -> Any:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("why", "function"),
    [
        ("weights that depend", lambda x: ops.conv2d(x, x)),
        ("weights that depend", lambda x: ops.conv_transpose2d(x[:, :2], x)),
        ("different places", lambda x: x[:, :, 1:] + x[:, :, :1]),
        ("different places", lambda x: ops.concat([ops.max_pool2d(x, 2), x[:, :, 3:-3, 3:-3]], 1)),
        ("constant for each place", lambda x: x + constant(12, 1)),
        ("constant for each place", lambda x: x + constant(1, 12)),
        ("constant for each place", lambda x: x + constant(2, 4, 1, 1)),
        ("goes around", lambda x: ops.pad(x, (0, 0, 1, 0), mode="circular")),
        ("goes around", lambda x: ops.pad(x, (0, 1, 0, 0), mode="circular")),
        ("apart", lambda x: ops.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))),
        ("some of the images", lambda x: x[1:]),
        ("none of all extents", lambda x: x[:, :, :8:2]),
        ("none of all extents", lambda x: x[:, :, ::-1]),
        ("none of all extents", lambda x: x[:, :, :, :9:3]),
        ("moves the batch", lambda x: ops.reshape(x, (1, 8, 12, 12))),
        ("moves the batch", lambda x: ops.permute(x, (1, 0, 2, 3))),
        ("turns the image", lambda x: ops.permute(x, (0, 3, 1, 2))),
        ("joins axes", lambda x: ops.reshape(x, (2, 4, 144))),
        ("joins axes", lambda x: ops.reshape(x, (2, 48, 12))),
        ("along the image", lambda x: ops.concat([x, x], 2)),
        ("along the image", lambda x: ops.concat([x, x], 0)),
        ("with a constant", lambda x: ops.concat([x, constant(*IMAGE)], 1)),
        ("goes over", lambda x: ops.softmax(x, 2)),
        ("goes over", lambda x: ops.log_softmax(x, -1)),
        ("whole image", lambda x: ops.sum(x, 0)),
        ("whole image", lambda x: ops.amax(x, (1, 3))),
        ("whole image", lambda x: ops.argmax(x, 2)),
        ("whole image", lambda x: ops.mse_loss(x, ops.relu(x))),
        ("no tiles", lambda x: ops.cumsum(x, 2)),
        ("no upsampling", lambda x: ops.interpolate(x, size=(24, 18))),
        ("no upsampling", lambda x: ops.interpolate(x, size=(18, 24))),
        (
            "align_corners",
            lambda x: ops.interpolate(x, size=(12, 24), mode="bilinear", align_corners=True),
        ),
    ],
)
def test_what_has_no_tiles_is_refused(why: str, function: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match=why):
        resized(cc.compile(function, IMAGE)._traced.copy(), (20, 24))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + constant(4, 1, 1) * ops.relu(x) + constant(1),
        lambda x: ops.pad(x, (0, 0, 0, 0, 1, 1), mode="circular"),
        lambda x: ops.pad(x, (0, 0, 0, 0, 1, 2)),
        lambda x: x[:, ::2, ::3, 1::2],
        lambda x: ops.permute(x, (0, 2, 1, 3)),
        lambda x: ops.sum(ops.permute(x, (0, 2, 3, 1)), -1),
        lambda x: ops.amax(x, 1),
        lambda x: ops.argmax(x, 1),
        lambda x: ops.softmax(x, 1),
        lambda x: ops.interpolate(x, size=x.shape[2:], mode="bilinear", align_corners=True),
        lambda x: ops.interpolate(x, size=(x.shape[2], 3 * x.shape[3])),
        lambda x: ops.interpolate(x, scale_factor=(2, 1), mode="bilinear"),
        lambda x: ops.mse_loss(x, ops.relu(x), reduction="none"),
        lambda x: ops.reshape(x, (x.shape[0], 2, 2, x.shape[2], x.shape[3] // 2, 2)),
        lambda x: ops.sum(x, 1, keepdim=True),
        lambda x: ops.reshape(x[:, :1], (x.shape[0], *x.shape[2:])),
        lambda x: ops.conv_transpose2d(x, constant(4, 2, 2, 2), constant(4), stride=2, groups=2),
        lambda x: ops.batch_norm(x, constant(4), constant(4)),
        lambda x: (ops.sum(x, 1, keepdim=True), ops.max_pool2d(x, (2, 1))),
    ],
)
def test_a_graph_for_other_extents_makes_what_the_model_makes(function: Callable[[Any], Any]) -> None:
    predictor = cc.compile(function, IMAGE)
    found = resized(predictor._traced.copy(), (24, 30))
    for tensor, place in zip(found.graph.outputs, found.outputs, strict=True):
        assert tuple(tensor.shape[axis] for axis in place.axes) == tuple(span.extent for span in place.spans)
    prepare_predictor(found.graph)
    program = Predictor(found.graph, predictor._rebuild)
    x = np.random.default_rng(0).integers(-4, 5, (1, 4, 24, 30)).astype(np.float32)
    expected = cc.compile(function, x.shape)(x)
    if isinstance(expected, tuple):
        expected, got = [*expected], [*program(x)]
    else:
        expected, got = [expected], [program(x)]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_constant_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match="got a constant one"):
        resized(cc.compile(lambda x: (x, ops.relu(constant(3))), IMAGE)._traced.copy(), (20, 20))


def test_pixels_that_make_no_whole_groups_are_refused() -> None:
    def split(x: Any) -> Any:
        return ops.reshape(x, (2, 4, 3, 4, 12))

    assert resized(cc.compile(split, IMAGE)._traced.copy(), (20, 20)).period == (4, 1)
    with pytest.raises(ValueError, match="cuts 22 pixels into groups of 4"):
        resized(cc.compile(split, IMAGE)._traced.copy(), (22, 20))


@pytest.mark.parametrize(
    ("layer", "aligned"),
    [
        (nn.Conv2d(1, 1, 3), (4, 4)),
        (nn.Conv2d(1, 1, (3, 5)), (4, 4)),
        (nn.Conv2d(1, 1, (4, 3)), (1, 4)),
        (nn.Conv2d(1, 1, (7, 1)), (1, 1)),
        (nn.Conv2d(1, 1, 3, stride=(1, 2)), (1, 2)),
        (nn.Conv2d(1, 1, 3, dilation=2), (1, 1)),
        (nn.Conv2d(1, 1, (1, 3), dilation=(1, 2)), (1, 8)),
        (nn.Conv2d(1, 1, (3, 1), dilation=(3, 1)), (12, 1)),
        (nn.ConvTranspose2d(1, 1, 5), (4, 4)),
        (nn.AvgPool2d(3, 1), (1, 1)),
        (nn.Sequential(nn.MaxPool2d((1, 4)), nn.Conv2d(1, 1, 3)), (4, 16)),
        (nn.Sequential(nn.Upsample(scale_factor=6), nn.Conv2d(1, 1, 3)), (2, 2)),
        (nn.Sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=6), nn.Conv2d(1, 1, 3)), (8, 8)),
    ],
)
def test_where_winograds_tiles_begin(layer: nn.Module, aligned: tuple[int, int]) -> None:
    """Four results each, along one axis at the dilation's distance; n with scale n in whole fours."""
    assert resized(cc.compile(layer, (1, 1, 48, 48))._traced.copy(), (48, 48)).aligned == aligned
