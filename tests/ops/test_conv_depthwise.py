# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution in all directions where its kernels divide the work: widths, channels, taps, steps.

Whole numbers make float32 sums exact whatever their order, so there the tolerance is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import nn, ops

Array = NDArray[Any]
KERNELS = [1, 2, 3, 4, 5]
CHANNELS = 37  # whole vectors and a rest on every instruction set


def whole(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def check(size: tuple[int, int], kernel: tuple[int, int], settings: dict[str, Any], channels: int) -> None:
    """Output and both gradients against the reference."""
    given = {"stride": (1, 1), "begin": (0, 0), "end": (0, 0), "dilation": (1, 1), **settings}
    x, weight = whole((2, channels, *size)), whole((channels, 1, *kernel), 1)
    expected = ref.conv(x, weight, **given, groups=channels)
    grad = whole(expected.shape, 2)
    padding = tuple(zip(given["begin"], given["end"], strict=True))

    def weighted(x: Any, w: Any) -> Any:
        y = ops.conv2d(x, w, None, given["stride"], padding, given["dilation"], groups=channels)
        return (y * grad).sum(), y

    by_input, by_weight = cc.grad(weighted, (0, 1))(x, weight)
    np.testing.assert_array_equal(weighted(x, weight)[1], expected)
    np.testing.assert_array_equal(
        by_input, ref.conv_backward_data(grad, weight, size, **given, groups=channels)
    )
    np.testing.assert_array_equal(
        by_weight, ref.conv_backward_weight(x, grad, kernel, **given, groups=channels)
    )


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_and_stride(kernel: int, stride: int) -> None:
    half = kernel // 2
    sides = {"begin": (half, half), "end": (half, half)}
    check((9, 17), (kernel, kernel), {**sides, "stride": (stride, stride)}, CHANNELS)
    check((9, 17), (kernel, kernel), {**sides, "stride": (stride, stride), "dilation": (2, 2)}, CHANNELS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", range(1, 24))
def test_every_width(width: int, stride: int) -> None:
    """Pixels are computed several at a time; those at the ends of a row have fewer taps."""
    for kernel in (3, 5):
        half = kernel // 2
        settings = {"stride": (1, stride), "begin": (1, half), "end": (1, half)}
        check((4, width), (3, kernel), settings, 16)


@pytest.mark.parametrize("channels", [2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64])
def test_every_rest_of_channels(channels: int) -> None:
    check((6, 9), (3, 3), {"begin": (1, 1), "end": (1, 1)}, channels)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_inputs_larger_than_the_caches(kernel: int, stride: int) -> None:
    """Blocks of channels pass over a tile of pixels; the last one is of vectors that overlap."""
    half = kernel // 2
    sides = {"begin": (half, half), "end": (half, half), "stride": (stride, stride)}
    check((41, 45), (kernel, kernel), sides, 150)


@pytest.mark.parametrize(
    ("channels", "size", "stride"), [(16, (370, 371), 1), (96, (151, 150), 1), (128, (260, 261), 2)]
)
def test_results_larger_than_the_caches(channels: int, size: tuple[int, int], stride: int) -> None:
    """They are written past the caches where whole lines are: every pixel, by any number of threads."""
    x, weight = whole((1, channels, *size)), whole((channels, 1, 3, 3), 1)
    two, one = (stride, stride), (1, 1)
    expected = ref.conv(x, weight, stride=two, begin=one, end=one, dilation=one, groups=channels)
    assert expected.size > 2 * 1024 * 1024
    layer = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    layer.weight.assign(weight)
    predictor = cc.compile(nn.Sequential(layer, nn.ReLU()), x.shape)
    before = cc.get_num_threads()
    try:
        for threads in (1, 3):
            cc.set_num_threads(threads)
            np.testing.assert_array_equal(predictor(x), np.maximum(expected, 0))
    finally:
        cc.set_num_threads(before)


def test_volumes_larger_than_the_caches() -> None:
    x, weight = whole((1, 70, 4, 43, 45)), whole((70, 1, 3, 3, 3), 1)
    one = (1, 1, 1)
    expected = ref.conv(x, weight, stride=one, begin=one, end=one, dilation=one, groups=70)
    np.testing.assert_array_equal(ops.conv3d(x, weight, padding=1, groups=70), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("depth", "padding"), [(1, 0), (2, 1), (3, 1), (3, 4), (9, 4)])
@pytest.mark.parametrize("size", [(3, 5, 5), (4, 4, 7), (2, 6, 12), (9, 3, 15)])
def test_planes_under_a_kernel(size: tuple[int, int, int], depth: int, padding: int, stride: int) -> None:
    """Some planes under the kernel are outside, of deep padding all; rows come in pairs and alone."""
    x, weight = whole((2, 17, *size)), whole((17, 1, depth, 3, 3), 1)
    pads, strides = (padding, 1, 1), (1, stride, stride)
    expected = ref.conv(x, weight, stride=strides, begin=pads, end=pads, dilation=(1, 1, 1), groups=17)
    np.testing.assert_array_equal(ops.conv3d(x, weight, None, strides, pads, groups=17), expected)


@pytest.mark.parametrize("begin", [0, 1, 4])
@pytest.mark.parametrize("end", [0, 2, 5])
def test_padding_wider_than_the_kernel(begin: int, end: int) -> None:
    for stride in (1, 2):
        settings = {"begin": (begin, begin), "end": (end, end), "stride": (stride, stride)}
        check((5, 8), (3, 3), settings, CHANNELS)


@pytest.mark.parametrize("shape", [(3, 20, 9, 14), (2, 33, 40, 3), (1, 16, 5, 150)])
def test_statistics_of_the_result_reach_batch_norm(shape: tuple[int, ...]) -> None:
    """The mean is far from zero: squares of values, instead of deviations, would lose the variance."""
    channels = shape[1]
    model = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.BatchNorm2d(channels, momentum=1.0)
    )
    model[0].bias.assign(np.full(channels, 1000.0, np.float32))
    x = np.random.default_rng(3).standard_normal(shape, np.float32)
    found = cc.value_and_grad(lambda x: model(x).sum(), list(model.parameters()))
    found(x)
    (program,) = found._programs.values()
    assert "batch_norm_statistics" not in [step.op for step in program.executable.run_steps]
    weight, bias = np.float64(model[0].weight), np.float64(model[0].bias)
    sides = {"stride": (1, 1), "begin": (1, 1), "end": (1, 1), "dilation": (1, 1)}
    y = ref.conv(x, weight, bias, **sides, groups=channels)
    axes, eps = (0, 2, 3), float(np.finfo(np.float32).eps)
    # Values near 1000 are rounded to eps * 1000; that of the mean comes on top.
    step = 1000 * eps
    np.testing.assert_allclose(model[1].running_mean, y.mean(axes), rtol=0, atol=2 * step)
    variance = y.var(axes) * y.size / channels / (y.size / channels - 1)
    bound = 8 * step * np.sqrt(variance).max() + step**2
    np.testing.assert_allclose(model[1].running_var, variance, rtol=1e-5, atol=bound)
