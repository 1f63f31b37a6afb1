# SPDX-License-Identifier: Apache-2.0
"""Winograd convolution along one axis, F(4, 3), and of kernels with depth, in all directions and by name.

Whole numbers are exact with F(2x2, 3x3); the others keep to the bound of their transforms, derived in
`winograd_steps.six_point_bound`, and to a multiple of direct convolution's error on layers of networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncore as cc
import reference as ref
from cnncore import _core, ops
from winograd_steps import (
    DIRECTIONS,
    Layer,
    activated,
    check_error_beside_direct,
    check_exact,
    convolve,
    operands,
    reference,
)

RMS = {"winograd_f4x1": 1.9, "winograd_f4": 2.5, "winograd_f2": 1.2}
"""Most rms error in units of direct convolution's: along one axis less than two axes have in theory, 1.9."""


def signal(
    batch: int, inputs: int, outputs: int, size: int, begin: int = 1, end: int = 1, **more: Any
) -> Layer:
    """A convolution of three taps over signals."""
    return Layer(batch, inputs, outputs, (size,), (begin,), (end,), shape=(3,), **more)


def line(size: tuple[int, ...], axis: int, dilation: int = 1, **more: Any) -> Layer:
    """Three taps along one axis of an image or a volume, padded by what they reach."""
    rank = len(size)
    one = [1] * rank
    kernel, steps, padding = list(one), list(one), [0] * rank
    kernel[axis], steps[axis], padding[axis] = 3, dilation, dilation
    return Layer(
        2, 18, 34, size, tuple(padding), tuple(padding), shape=tuple(kernel), dilation=tuple(steps), **more
    )


LAYERS = {
    "one position": signal(1, 9, 17, 1),
    "one output": signal(2, 16, 8, 3, 0, 0),
    "no padding": signal(2, 12, 20, 15, 0, 0),
    "full padding": signal(2, 16, 16, 6, 2, 2),
    "opposite padding": signal(2, 16, 18, 9, 2, 0),
    "many channels": signal(1, 130, 70, 21),
    "panels": signal(1, 24, 200, 9),
    "groups": signal(2, 16, 24, 19, groups=3),
    "uneven groups": signal(1, 9, 70, 13, groups=2),
    "many tiles": signal(5, 8, 16, 700),
    "dilated": line((41,), 0, dilation=5),
    "dilated beyond the signal": line((7,), 0, dilation=9),
    "dilated, uneven padding": Layer(2, 20, 17, (23,), (5,), (1,), shape=(3,), dilation=(3,)),
    "rows": line((7, 11), 1),
    "columns": line((9, 6), 0),
    "columns, dilated": line((9, 6), 0, dilation=2),
    "depth": line((9, 3, 4), 0),
    "height of a volume": line((3, 9, 4), 1),
    "width of a volume": line((2, 3, 10), 2),
    "cube": Layer(2, 20, 36, (5, 7, 6), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
    "cube, whole blocks": Layer(1, 32, 48, (4, 9, 8), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
    "cube, no padding": Layer(2, 17, 33, (4, 6, 9), (0, 0, 0), (0, 0, 0), shape=(3, 3, 3)),
    "cube, uneven padding": Layer(2, 33, 18, (3, 5, 5), (2, 1, 0), (0, 2, 1), shape=(3, 3, 3)),
    "cube, far padding": Layer(1, 9, 12, (2, 4, 4), (4, 1, 1), (3, 1, 1), shape=(3, 3, 3)),
    "cube, dilated depth": Layer(
        1, 20, 20, (7, 6, 5), (2, 1, 1), (2, 1, 1), shape=(3, 3, 3), dilation=(2, 1, 1)
    ),
    "cube, groups": Layer(2, 24, 40, (4, 5, 9), (1, 1, 1), (1, 1, 1), 2, shape=(3, 3, 3)),
    "cube, panels": Layer(1, 40, 150, (3, 5, 5), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
    "deep": Layer(1, 16, 20, (9, 6, 6), (3, 1, 1), (3, 1, 1), shape=(7, 3, 3)),
    "all of the depth": Layer(2, 16, 20, (3, 6, 6), (0, 1, 1), (0, 1, 1), shape=(3, 3, 3)),
    "2x5x5": Layer(2, 20, 36, (4, 6, 7), (1, 2, 2), (0, 2, 1), side=5, shape=(2, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_whole_numbers(name: str) -> None:
    check_exact(LAYERS[name], 0)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("channels", [1, 5, 16, 31, 33])
def test_every_length(channels: int, batch: int) -> None:
    for size in range(1, 41):
        check_exact(signal(batch, channels, 12, size), size)


@pytest.mark.parametrize("channels", [1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65])
def test_every_width(channels: int) -> None:
    check_exact(signal(1, channels, 12, 13), channels)
    check_exact(signal(1, 12, channels, 13), channels)
    cube = ((1, 1, 1), (1, 1, 1))
    check_exact(Layer(1, channels, 12, (3, 5, 6), *cube, shape=(3, 3, 3)), channels)
    check_exact(Layer(1, 12, channels, (3, 5, 6), *cube, shape=(3, 3, 3)), channels)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    volume = rank == 3 and draw(st.booleans())
    kernel = [draw(st.integers(2, 4)), 3, 3] if volume else [3 if a == axis else 1 for a in range(rank)]
    dilation = [
        draw(st.integers(1, 4)) if extent > 1 and (not volume or a == 0) else 1
        for a, extent in enumerate(kernel)
    ]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    begin, end = ([draw(st.integers(0, most)) for most in reach] for _ in range(2))
    size = [
        draw(st.integers(max(1, most + 1 - b - e), most + 9))
        for most, b, e in zip(reach, begin, end, strict=True)
    ]
    groups = draw(st.sampled_from([1, 1, 2]))
    channels = st.integers(8 if groups > 1 else 1, 36)
    return Layer(
        *(
            draw(st.integers(1, 2)),
            draw(channels),
            draw(channels),
            tuple(size),
            tuple(begin),
            tuple(end),
            groups,
        ),
        shape=tuple(kernel),
        dilation=tuple(dilation),
    )


@given(layers(), st.integers(0, 1000))
@settings(max_examples=60)
def test_any_layer(layer: Layer, seed: int) -> None:
    check_exact(layer, seed)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "relu6"])
@pytest.mark.parametrize("name", ["no padding", "dilated", "columns", "cube"])
def test_epilogue(name: str, activation: str) -> None:
    """Bias, residual and activation, which is done on rows already stored when it is not in registers."""
    layer = LAYERS[name]
    rng = np.random.default_rng(1)
    for direction in ("forward", "backward_data"):
        first, second = operands(direction, layer, whole=True)
        plain = reference(direction, layer, first, second)
        bias = rng.integers(-9, 10, plain.shape[1:2]).astype(np.float32)
        residual = rng.integers(-9, 10, plain.shape).astype(np.float32)
        epilogue = [(bias, "c"), (residual, "channels_last")]
        total = plain + bias.reshape(-1, *[1] * len(layer.size)) + residual
        for algorithm in layer.algorithms[:1]:
            expected = convolve(algorithm, direction, layer, first, second)[0].astype(np.float64)
            found = convolve(algorithm, direction, layer, first, second, epilogue, activation)[0]
            error = np.abs(expected - plain).max()
            slack = error + 4 * ref.EPS * np.abs(total).max()
            np.testing.assert_allclose(found, activated(total, activation), rtol=0, atol=slack)


@pytest.mark.parametrize("activation", ["gelu", "silu", "tanh"])
@pytest.mark.parametrize("stored", [False, True])
def test_activations_of_stored_rows(activation: str, stored: bool) -> None:
    """In a network, where a training step keeps the argument as well."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32, 50)).astype(np.float32)
    weight = (rng.standard_normal((48, 32, 3)) / 10).astype(np.float32)

    def function(x: Any, weight: Any) -> Any:
        return ops.sum(getattr(ops, activation)(ops.conv1d(x, weight, padding=1)))

    found = cc.grad(function, argnums=(0, 1))(x, weight) if stored else function(x, weight)
    accuracy = cc.get_accuracy()
    cc.set_accuracy("exact")
    try:
        plain = cc.grad(function, argnums=(0, 1))(x, weight) if stored else function(x, weight)
    finally:
        cc.set_accuracy(accuracy)
    for ours, direct in zip(found if stored else [found], plain if stored else [plain], strict=True):
        scale = np.abs(direct).max()
        np.testing.assert_allclose(ours, direct, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("name", ["many tiles", "columns", "cube"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_statistics(name: str, offset: float) -> None:
    """Rows of count, mean and squared deviations add up to those of the outputs before the activation."""
    layer = LAYERS[name]
    x, weight = operands("forward", layer)
    channels = layer.weight_shape[0]
    bias = np.full(channels, offset, np.float32)
    algorithm = layer.algorithms[0]
    plain = convolve(algorithm, "forward", layer, x, weight, [(bias, "c")])[0].astype(np.float64)
    found, rows = convolve(algorithm, "forward", layer, x, weight, [(bias, "c")], "relu", extra=True)
    np.testing.assert_array_equal(found, np.maximum(plain, 0))
    count, mean, deviations = np.moveaxis(rows.astype(np.float64), 1, 0)
    np.testing.assert_array_equal(count.sum(0), plain.size // channels)
    axes = (0, *range(2, plain.ndim))
    total_mean = (count * mean).sum(0) / count.sum(0)
    total = (deviations + count * (mean - total_mean) ** 2).sum(0)
    scale = np.abs(plain).max()
    assert np.abs(total_mean - plain.mean(axes)).max() <= 4 * ref.EPS * scale + 1e-6
    np.testing.assert_allclose(total / count.sum(0), plain.var(axes), rtol=1e-4)


def test_a_dilated_line_has_no_statistics() -> None:
    """Some of its tiles may be empty."""
    assert LAYERS["dilated"].choice("forward", "winograd_f4x1").statistics_rows == 0


@pytest.mark.parametrize("name", ["many tiles", "rows", "cube"])
def test_bias_gradient(name: str) -> None:
    layer = LAYERS[name]
    x, grad = operands("backward_weight", layer, whole=True)
    found = convolve(layer.algorithms[0], "backward_weight", layer, x, grad, extra=True)[1]
    np.testing.assert_array_equal(found, ref.conv_backward_bias(grad))


def test_nan_stays_in_its_tiles() -> None:
    x, weight = operands("forward", layer := signal(2, 16, 16, 24))
    x[0, 3, 9] = np.nan
    found = convolve("winograd_f4x1", "forward", layer, x, weight, activation="relu")[0]
    assert np.isnan(found[0, :, 8:11]).all()
    assert not np.isnan(found[1]).any()
    assert np.isfinite(found[0, :, :4]).all()
    assert np.isfinite(found[0, :, 16:]).all()


NETWORK_LAYERS = {
    "wavenet": signal(2, 32, 32, 2000),
    "speech": signal(4, 128, 128, 300),
    "wide": signal(1, 512, 512, 300),
    "factorised, 3x1x1": line((16, 14, 14), 0),
    "i3d, 28x28": Layer(1, 32, 96, (8, 28, 28), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
    "i3d, 14x14": Layer(1, 96, 128, (4, 14, 14), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", NETWORK_LAYERS)
def test_error_beside_direct(name: str, direction: str) -> None:
    check_error_beside_direct(NETWORK_LAYERS[name], direction, RMS)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "layer",
    [
        signal(3, 40, 200, 301),
        line((50,), 0, dilation=3),
        Layer(2, 40, 72, (4, 9, 10), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
        Layer(1, 24, 200, (3, 9, 10), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3)),
    ],
)
def test_same_bits_on_any_number_of_threads(layer: Layer, direction: str) -> None:
    first, second = operands(direction, layer)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            extra = direction == "backward_weight"
            results.append(convolve(layer.algorithms[0], direction, layer, first, second, extra=extra))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours.view(np.int32), theirs.view(np.int32))


def test_choice() -> None:
    """Where it pays, and why not elsewhere."""
    for direction in DIRECTIONS:
        assert signal(4, 128, 128, 300).choice(direction).algorithm == "winograd_f4x1"
        assert signal(4, 128, 128, 300).choice(direction, accuracy="exact").algorithm == "direct"
        cube = Layer(1, 64, 64, (8, 28, 28), (1, 1, 1), (1, 1, 1), shape=(3, 3, 3))
        assert cube.choice(direction).algorithm == "winograd_f4"
        assert cube.choice(direction, accuracy="exact").algorithm == "direct"
    few = signal(1, 3, 16, 40).choice("forward")
    assert dict(few.refused)["winograd_f4x1"] == "too few channels or tiles to pay off"
    assert signal(1, 64, 64, 2).choice("forward").algorithm == "direct"


@pytest.mark.parametrize(
    ("change", "shapes", "reason"),
    [
        ({"stride": [2]}, ((1, 16, 12), (16, 16, 3)), "stride 2 != 1"),
        ({"padding_end": [3]}, ((1, 16, 12), (16, 16, 3)), "padding of more than 2"),
        ({"groups": 8}, ((1, 16, 12), (16, 2, 3)), "groups of fewer than 8 channels"),
        (
            {},
            ((1, 16, 12), (16, 16, 5)),
            "the kernel does not have 3 taps along one axis and one along the others",
        ),
    ],
)
def test_refusals(change: dict[str, Any], shapes: tuple[tuple[int, ...], ...], reason: str) -> None:
    attrs = {**signal(1, 16, 16, 12).attrs(""), **change}
    for direction in DIRECTIONS:
        found = _core.conv_choose(direction, *shapes, attrs, "fast")
        assert dict(found.refused)["winograd_f4x1"] == reason
        with pytest.raises(ValueError, match="does not take this problem: " + reason):
            _core.conv_choose(direction, *shapes, {**attrs, "algorithm": "winograd_f4x1"}, "fast")
