# SPDX-License-Identifier: Apache-2.0
"""Convolution of long signals, and gradients under strides with many phases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import ops

Array = NDArray[Any]


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(-3, 4, shape).astype(np.float32)


LONG = {
    "one channel, 1x9": ((1, 1, 1, 100_003), (1, 1, 1, 9), (1, 1), (0, 4), (1, 1)),
    "3x3 on three rows": ((1, 2, 3, 20_001), (5, 2, 3, 3), (1, 1), (1, 1), (1, 1)),
    "stride and dilation": ((2, 3, 2, 30_011), (4, 3, 1, 5), (1, 3), (0, 7), (1, 4)),
    "upright": ((1, 2, 30_001, 3), (3, 2, 5, 3), (2, 1), (3, 1), (1, 1)),
    "far more padding than input": ((1, 1, 1, 8), (1, 1, 1, 3), (1, 3), (0, 20_000), (1, 2)),
    "wide kernel": ((1, 1, 1, 9_000), (2, 1, 1, 301), (1, 1), (0, 150), (1, 1)),
}


@pytest.mark.parametrize("name", LONG)
def test_long_rows_and_their_gradients_are_exact(name: str) -> None:
    shape, kernel, stride, padding, dilation = LONG[name]
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, shape), whole_numbers(rng, kernel)
    sides = {"stride": stride, "begin": padding, "end": padding, "dilation": dilation}
    expected = ref.conv(x, w, **sides)
    assert np.array_equal(ops.conv2d(x, w, stride=stride, padding=padding, dilation=dilation), expected)

    grad = whole_numbers(rng, expected.shape)

    def loss(x: Any, w: Any) -> Any:
        return ops.sum(ops.conv2d(x, w, stride=stride, padding=padding, dilation=dilation) * grad)

    by_input, by_weight = cc.grad(loss, argnums=(0, 1))(x, w)
    assert np.array_equal(by_input, ref.conv_backward_data(grad, w, x.shape[2:], **sides))
    assert np.array_equal(by_weight, ref.conv_backward_weight(x, grad, w.shape[2:], **sides))


PHASES: dict[str, tuple[Any, ...]] = {
    "3x3 under 9": ((2, 4, 37, 41), (6, 4, 3, 3), (9, 9), (1, 1), (1, 1), 1),
    "depthwise": ((2, 4, 37, 41), (4, 1, 3, 3), (9, 9), (1, 1), (2, 2), 4),
    "dilated": ((1, 3, 30, 64), (5, 3, 5, 5), (17, 17), (4, 4), (3, 3), 1),
    "groups": ((2, 6, 30, 33), (4, 3, 2, 2), (20, 20), (1, 1), (7, 7), 2),
    "one tap": ((1, 4, 40, 40), (4, 4, 1, 1), (30, 30), (0, 0), (1, 1), 1),
    "padding reaches beyond the kernel": ((2, 5, 23, 50), (7, 5, 1, 3), (6, 7), (0, 40), (1, 5), 1),
    "rows of several runs": ((1, 2, 3, 1500), (2, 2, 1, 2), (1, 700), (0, 0), (1, 3), 1),
    "no phase reached": ((1, 2, 3, 3), (2, 2, 1, 1), (40, 40), (20, 20), (1, 1), 1),
}


@pytest.mark.parametrize("name", PHASES)
def test_pixels_that_no_tap_reaches_are_exact(name: str) -> None:
    shape, kernel, stride, padding, dilation, groups = PHASES[name]
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, shape), whole_numbers(rng, kernel)
    sides = {"stride": stride, "begin": padding, "end": padding, "dilation": dilation, "groups": groups}
    grad = whole_numbers(rng, ref.conv(x, w, **sides).shape)
    settings: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    got = cc.grad(lambda x: ops.sum(ops.conv2d(x, w, **settings) * grad))(x)
    assert np.array_equal(got, ref.conv_backward_data(grad, w, x.shape[2:], **sides))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_transposed_convolution_fills_gaps_with_bias_and_activation(groups: int) -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (2, 4, 5, 6)), whole_numbers(rng, (4, 4 // groups, 2, 3))
    bias = whole_numbers(rng, (4,))
    got = ops.relu(ops.conv_transpose2d(x, w, bias, stride=(7, 9), output_padding=(3, 2), groups=groups))
    ones, zeros = (1, 1), (0, 0)
    expected = ref.conv_backward_data(
        x, w, got.shape[2:], stride=(7, 9), begin=zeros, end=(3, 2), dilation=ones, groups=groups
    )
    assert np.array_equal(got, np.maximum(expected + bias[:, None, None], 0))


def test_a_residual_in_the_results_place_is_added_once_where_no_tap_reaches() -> None:
    rng = np.random.default_rng(0)
    x, w = whole_numbers(rng, (1, 3, 40, 40)), whole_numbers(rng, (3, 3, 1, 1))

    def two(x: Any) -> Any:
        return ops.sum(ops.conv2d(x, w, stride=11)) + ops.sum(ops.exp(x * 0.0) * x)

    alone = cc.grad(lambda x: ops.sum(ops.conv2d(x, w, stride=11)))(x)
    assert np.array_equal(cc.grad(two)(x), alone + 1)


def test_tables_do_not_grow_with_the_signal() -> None:
    """Offsets of 1.2 million pixels would be 19 MB."""
    predictor = cc.compile(
        lambda x: ops.conv2d(x, np.ones((1, 1, 1, 9)), padding=(0, 4)), input_shape=(1, 1, 1, 1_200_000)
    )
    assert predictor.memory.weights < 1 << 18


def test_every_stride_has_the_tables_of_its_taps() -> None:
    """A stride of 500 has 250,000 phases, one of which the single tap reaches."""
    x = np.ones((1, 1, 1000, 1000), np.float32)
    got = cc.grad(lambda x: ops.sum(ops.conv2d(x, np.full((1, 1, 1, 1), 3.0), stride=500)))(x)
    expected = np.zeros_like(x)
    expected[..., ::500, ::500] = 3
    assert np.array_equal(got, expected)
