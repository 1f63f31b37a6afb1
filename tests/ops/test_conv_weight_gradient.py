# SPDX-License-Identifier: Apache-2.0
"""The direct gradient by the weight: its blocks, chunks of pixels and taps that leave the image."""

from __future__ import annotations

import numpy as np
import pytest

import cnncore as cc
import reference as ref
from conv_steps import Array, Case, Tensor, run, whole_numbers

CASES = {
    # More rows and columns than a block has, and a rest of either.
    "blocks": Case(3, 150, 300, (7, 7), (3, 3), begin=(1, 1), end=(1, 1)),
    "blocks, pointwise": Case(2, 150, 530, (14, 14), (1, 1)),
    "blocks of groups": Case(2, 70, 40, (6, 5), (3, 3), begin=(1, 1), end=(1, 1), groups=3),
    # Chunks that end within an image, and a last one of another size.
    "chunks of rows": Case(2, 32, 20, (41, 29), (3, 3), begin=(1, 1), end=(1, 1)),
    "chunks of rows, stride": Case(2, 48, 33, (55, 61), (3, 3), (2, 2), (1, 1), (1, 1)),
    "chunks of images": Case(17, 16, 40, (7, 7), (3, 3), begin=(1, 1), end=(1, 1)),
    "chunks of planes": Case(2, 17, 24, (5, 13, 11), (2, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1)),
    "one pixel a row": Case(2, 32, 20, (500, 1), (3, 1), begin=(1, 0), end=(1, 0)),
    "pointwise with stride": Case(3, 64, 128, (27, 30), (1, 1), (2, 2)),
    # Copied or read in place, by how often tiles of 16 registers pass over an operand.
    "pointwise in place": Case(2, 72, 40, (17, 19), (1, 1)),
    "pointwise, many rows": Case(2, 40, 130, (16, 17), (1, 1)),
    "pointwise, far rows": Case(1, 96, 256, (20, 20), (1, 1)),
    "pointwise, far columns": Case(2, 256, 40, (18, 18), (1, 1)),
    "pointwise, far columns, few rows": Case(2, 256, 24, (18, 18), (1, 1)),
    "pointwise, blocks of columns": Case(1, 512, 520, (28, 28), (1, 1)),
    "pointwise with padding": Case(2, 33, 20, (5, 6), (1, 1), (2, 1), (1, 2), (2, 0)),
    # Taps that reach into the image from few pixels, or from none.
    "one pixel": Case(4, 40, 33, (1, 1), (3, 3), begin=(1, 1), end=(1, 1)),
    "kernel beyond image": Case(3, 20, 17, (2, 3), (5, 5), begin=(2, 2), end=(2, 2)),
    "padding beyond kernel": Case(2, 24, 19, (3, 2), (2, 2), (2, 1), (4, 3), (3, 5)),
    "wide stride": Case(2, 32, 24, (9, 10), (2, 2), (4, 5), (1, 3), (2, 2)),
    "dilated beyond image": Case(2, 32, 16, (4, 5), (3, 3), (1, 1), (4, 4), (4, 4), (4, 4)),
}


def direct(case: Case, x: Array, grad: Array) -> tuple[Array, Array]:
    """Gradients by weight and bias."""
    weight, bias = Tensor(case.weight_shape, "c"), Tensor((case.weight_shape[0],), "c")
    inputs = [Tensor(x.shape, "channels_last", x), Tensor(grad.shape, "channels_last", grad)]
    run("conv_backward_weight", inputs, [weight, bias], {**case.attrs, "algorithm": "direct"})
    return weight.array, bias.array


@pytest.mark.parametrize("name", CASES)
def test_whole_numbers_are_exact(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(len(name))
    x, grad = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.output_shape)
    grad_weight, grad_bias = direct(case, x, grad)
    np.testing.assert_array_equal(
        grad_weight, ref.conv_backward_weight(x, grad, case.kernel, **case.settings)
    )
    np.testing.assert_array_equal(grad_bias, ref.conv_backward_bias(grad))


@pytest.mark.parametrize(
    "name", ["blocks", "chunks of rows, stride", "pointwise with stride", "pointwise, blocks of columns"]
)
def test_the_threads_do_not_change_a_bit(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(1)
    x = rng.standard_normal(case.input_shape).astype(np.float32)
    grad = rng.standard_normal(case.output_shape).astype(np.float32)
    before = cc.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            cc.set_num_threads(threads)
            found.append(direct(case, x, grad)[0])
    finally:
        cc.set_num_threads(before)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_padding_takes_no_part(value: float) -> None:
    """What lies under a pixel whose tap is outside is not multiplied by it."""
    case = Case(1, 32, 20, (6, 6), (3, 3), begin=(1, 1), end=(1, 1))
    rng = np.random.default_rng(3)
    x, grad = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.output_shape)
    grad[0, 4, 0, 0] = value
    found = np.isfinite(direct(case, x, grad)[0])
    expected = np.ones_like(found)
    expected[4, :, 1:, 1:] = False
    np.testing.assert_array_equal(found, expected)
