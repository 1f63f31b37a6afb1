# SPDX-License-Identifier: Apache-2.0
"""Winograd convolution in all directions, by name, so whatever the rule of costs would choose.

F(2x2, 3x3) on small whole numbers makes no rounding error: tolerance 0. F(4x4, 3x3) and F(2x2, 5x5) are held
to the bound of their transforms everywhere and to a multiple of direct convolution's error on layers of real
networks.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference as ref
from cnncore import _core
from winograd_steps import (
    DIRECTIONS,
    SIDES,
    Layer,
    activated,
    check_error_beside_direct,
    check_exact,
    convolve,
    operands,
    reference,
)

RMS = {"winograd_f4": 2.5, "winograd_f2": 1.2, "winograd_f2x5": 2.5}
"""Most rms error in units of direct convolution's, on layers of several tiles."""


LAYERS = {
    "one tile": Layer(1, 16, 16, (4, 4)),
    "one pixel": Layer(1, 9, 17, (1, 1)),
    "one output pixel": Layer(2, 16, 8, (3, 3), (0, 0), (0, 0)),
    "no padding": Layer(2, 12, 20, (7, 9), (0, 0), (0, 0)),
    "full padding": Layer(2, 16, 16, (5, 6), (2, 2), (2, 2)),
    "asymmetric padding": Layer(2, 10, 16, (6, 5), (0, 2), (1, 0)),
    "opposite padding": Layer(2, 16, 18, (8, 8), (2, 0), (0, 2)),
    "ragged": Layer(3, 20, 24, (13, 11)),
    "many channels": Layer(1, 130, 70, (6, 7)),
    "panels": Layer(1, 24, 200, (5, 5)),
    "in place, deep": Layer(2, 144, 40, (4, 8)),
    "few channels": Layer(2, 3, 5, (9, 8)),
    "groups": Layer(2, 16, 24, (8, 7), groups=3),
    "uneven groups": Layer(1, 9, 70, (5, 4), groups=2),
    "groups of many panels": Layer(2, 40, 150, (5, 4), groups=2),
    "many tiles": Layer(5, 8, 16, (30, 34)),
    "many tiles of one split": Layer(2, 520, 130, (40, 38)),
    "5x5, one tile": Layer(1, 16, 16, (2, 2), (2, 2), (2, 2), side=5),
    "5x5, one pixel": Layer(1, 9, 17, (1, 1), (2, 2), (2, 2), side=5),
    "5x5, one output pixel": Layer(2, 16, 8, (5, 5), (0, 0), (0, 0), side=5),
    "5x5, full padding": Layer(2, 16, 16, (5, 6), (4, 4), (4, 4), side=5),
    "5x5, opposite padding": Layer(2, 10, 18, (8, 7), (4, 0), (0, 3), side=5),
    "5x5, ragged": Layer(3, 20, 70, (13, 11), (2, 2), (2, 2), side=5),
    "5x5, groups": Layer(2, 16, 24, (8, 7), (1, 2), (2, 1), groups=3, side=5),
    "5x5, many tiles": Layer(3, 8, 16, (27, 27), (2, 2), (2, 2), side=5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_whole_numbers(name: str) -> None:
    check_exact(LAYERS[name], 0)


@pytest.mark.parametrize("channels", [1, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 129])
def test_every_width(channels: int) -> None:
    check_exact(Layer(1, channels, 12, (6, 5)), channels)
    check_exact(Layer(1, 12, channels, (6, 5)), channels)
    check_exact(Layer(1, channels, 12, (6, 5), side=5), channels)
    check_exact(Layer(1, 12, channels, (6, 5), side=5), channels)


@pytest.mark.parametrize("tiles", [*range(1, 31), 41, 42, 43, 57])
def test_every_number_of_tiles(tiles: int) -> None:
    for outputs in (8, 24, 40, 64):
        check_exact(Layer(1, 9, outputs, (4, 4 * tiles)), tiles)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    channels = st.integers(8 if groups > 1 else 1, 40)
    side = draw(st.sampled_from([3, 5]))
    padding = st.tuples(st.integers(0, side - 1), st.integers(0, side - 1))
    begin, end = draw(padding), draw(padding)
    height, width = (draw(st.integers(max(1, side - b - e), 14)) for b, e in zip(begin, end, strict=True))
    batch = draw(st.integers(1, 3))
    return Layer(batch, draw(channels), draw(channels), (height, width), begin, end, groups, side)


@given(layers(), st.integers(0, 1000))
@settings(max_examples=40)
def test_any_layer(layer: Layer, seed: int) -> None:
    check_exact(layer, seed)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "relu6"])
@pytest.mark.parametrize(("with_bias", "with_residual"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_epilogue(direction: str, activation: str, with_bias: bool, with_residual: bool) -> None:
    layer = Layer(2, 20, 36, (7, 10), (1, 1), (0, 1))
    first, second = operands(direction, layer, whole=True)
    plain = reference(direction, layer, first, second)
    rng = np.random.default_rng(1)
    bias = rng.integers(-9, 10, plain.shape[1:2]).astype(np.float32) if with_bias else None
    residual = rng.integers(-9, 10, plain.shape).astype(np.float32) if with_residual else None
    total = plain + (0 if bias is None else bias[:, None, None]) + (0 if residual is None else residual)
    epilogue = [
        None if bias is None else (bias, "c"),
        None if residual is None else (residual, "channels_last"),
    ]
    found = convolve("winograd_f2", direction, layer, first, second, epilogue, activation)[0]
    np.testing.assert_array_equal(found, activated(total, activation))


@pytest.mark.parametrize("algorithm", SIDES)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_statistics(algorithm: str, offset: float) -> None:
    """Rows of count, mean and squared deviations add up to those of the outputs before the activation."""
    layer = Layer(7, 24, 70, (9, 14), side=SIDES[algorithm])
    x, weight = operands("forward", layer)
    bias = np.full(70, offset, np.float32)
    plain = convolve(algorithm, "forward", layer, x, weight, [(bias, "c")])[0].astype(np.float64)
    found, rows = convolve(algorithm, "forward", layer, x, weight, [(bias, "c")], "relu", extra=True)
    np.testing.assert_array_equal(found, np.maximum(plain, 0))
    count, mean, deviations = np.moveaxis(rows.astype(np.float64), 1, 0)
    np.testing.assert_array_equal(count.sum(0), plain.size // 70)
    total_mean = (count * mean).sum(0) / count.sum(0)
    total = (deviations + count * (mean - total_mean) ** 2).sum(0)
    scale = np.abs(plain).max()
    assert np.abs(total_mean - plain.mean((0, 2, 3))).max() <= 4 * ref.EPS * scale + 1e-6
    np.testing.assert_allclose(total / count.sum(0), plain.var((0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("algorithm", SIDES)
def test_bias_gradient(algorithm: str) -> None:
    layer = Layer(3, 16, 20, (9, 10), side=SIDES[algorithm])
    x, grad = operands("backward_weight", layer, whole=True)
    found = convolve(algorithm, "backward_weight", layer, x, grad, extra=True)[1]
    np.testing.assert_array_equal(found, ref.conv_backward_bias(grad))


@pytest.mark.parametrize("algorithm", SIDES)
def test_nan_stays_in_its_tiles(algorithm: str) -> None:
    """relu does not turn a NaN into 0, and images without one are not touched."""
    side = SIDES[algorithm]
    layer = Layer(2, 16, 16, (12, 12), (side // 2, side // 2), (side // 2, side // 2), side=side)
    x, weight = operands("forward", layer)
    x[0, 3, 5, 5] = np.nan
    found = convolve(algorithm, "forward", layer, x, weight, activation="relu")[0]
    reach = slice(5 - side // 2, 6 + side // 2)
    assert np.isnan(found[0, :, reach, reach]).all()
    assert not np.isnan(found[1]).any()
    assert np.isfinite(found[0, :, 9:, 9:]).all()


NETWORK_LAYERS = {
    "resnet20, layer1": Layer(8, 16, 16, (32, 32)),
    "resnet20, layer2": Layer(8, 32, 32, (16, 16)),
    "resnet20, layer3": Layer(16, 64, 64, (8, 8)),
    "mnist_cnn, conv2": Layer(4, 32, 64, (26, 26), (0, 0), (0, 0)),
    "resnet18, layer1": Layer(1, 64, 64, (56, 56)),
    "resnet18, layer2": Layer(1, 128, 128, (28, 28)),
    "vgg, conv4": Layer(1, 256, 256, (20, 20)),
    "alexnet, features.3": Layer(2, 64, 192, (27, 27), (2, 2), (2, 2), side=5),
    "5x5, 16 channels": Layer(8, 16, 16, (28, 28), (2, 2), (2, 2), side=5),
    "5x5, 32 channels": Layer(8, 16, 32, (28, 28), (2, 2), (2, 2), side=5),
    "5x5, 128 channels": Layer(1, 128, 128, (28, 28), (2, 2), (2, 2), side=5),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", NETWORK_LAYERS)
def test_error_beside_direct(name: str, direction: str) -> None:
    check_error_beside_direct(NETWORK_LAYERS[name], direction, RMS)


@pytest.mark.parametrize("algorithm", SIDES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("channels", [72, 200])
def test_same_bits_on_any_number_of_threads(algorithm: str, direction: str, channels: int) -> None:
    layer = Layer(6 if channels == 72 else 1, 40, channels, (18, 21), side=SIDES[algorithm])
    first, second = operands(direction, layer)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(
                convolve(algorithm, direction, layer, first, second, extra=direction != "backward_data")
            )
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours.view(np.int32), theirs.view(np.int32))


def test_choice() -> None:
    """Where it pays, and why not elsewhere."""
    large = Layer(16, 64, 64, (28, 28))
    for direction in DIRECTIONS:
        assert large.choice(direction).algorithm == "winograd_f4"
        exact = large.choice(direction, accuracy="exact")
        assert exact.algorithm == "direct"
        assert ("winograd_f4", "accuracy is 'exact'") in exact.refused
    five = Layer(16, 64, 192, (27, 27), (2, 2), (2, 2), side=5)
    for direction in DIRECTIONS:
        assert five.choice(direction).algorithm == "winograd_f2x5"
        assert five.choice(direction, accuracy="exact").algorithm == "direct"
    short = Layer(1, 256, 256, (12, 12)).choice("backward_weight").refused
    assert dict(short)["winograd_f4"] == "the gradient of few tiles has too much rounding error"
    narrow = Layer(8, 16, 16, (28, 28), (2, 2), (2, 2), side=5).choice("backward_weight")
    assert narrow.algorithm == "direct"
    reason = "the gradient of few output channels has too much rounding error"
    assert dict(narrow.refused)["winograd_f2x5"] == reason
    assert Layer(16, 3, 64, (224, 224)).choice("forward").algorithm == "direct"
    few = Layer(1, 3, 16, (8, 8)).choice("forward")
    assert few.algorithm == "direct"
    assert dict(few.refused)["winograd_f4"] == "too few channels or tiles to pay off"
    assert Layer(1, 512, 512, (14, 14)).choice("forward").algorithm == "winograd_f4"
    assert Layer(1, 512, 512, (7, 7)).choice("forward").algorithm == "winograd_f2"
    assert Layer(1, 512, 512, (3, 3)).choice("forward").algorithm == "direct"


@pytest.mark.parametrize(
    ("change", "weight_shape", "reason"),
    [
        ({"stride": [2, 1]}, (16, 16, 3, 3), "stride 2 != 1"),
        ({"dilation": [1, 2]}, (16, 16, 3, 3), "dilation 2 != 1"),
        ({"padding_end": [1, 3]}, (16, 16, 3, 3), "padding of more than 2"),
        ({"groups": 8}, (16, 2, 3, 3), "groups of fewer than 8 channels"),
        ({}, (16, 16, 3, 5), "the kernel is 3x5, not 3x3"),
    ],
)
def test_refusals(change: dict[str, Any], weight_shape: tuple[int, ...], reason: str) -> None:
    attrs = {**Layer(1, 16, 16, (12, 12)).attrs(""), **change}
    for direction in DIRECTIONS:
        found = _core.conv_choose(direction, (1, 16, 12, 12), weight_shape, attrs, "fast")
        assert dict(found.refused)["winograd_f4"] == reason
        with pytest.raises(ValueError, match="does not take this problem: " + reason):
            _core.conv_choose(
                direction, (1, 16, 12, 12), weight_shape, {**attrs, "algorithm": "winograd_f4"}, "fast"
            )
