# SPDX-License-Identifier: Apache-2.0
"""Single convolution steps in all directions against the float64 reference.

Whole numbers make float32 sums exact whatever their order, so there the tolerance is 0.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import _core, nn, ops
from conv_steps import (
    SLOPE,
    Case,
    backward_data,
    backward_weight,
    forward,
    whole_numbers,
)

Array = NDArray[Any]
ACTIVATIONS = ("none", "relu", "leaky_relu", "relu6")


def along_channels(vector: Array, rank: int) -> Array:
    return vector.reshape(1, -1, *(1,) * (rank - 2))


def activated(x: Array, activation: str) -> Array:
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "leaky_relu":
        return np.where(x < 0, SLOPE * x, x)
    if activation == "relu6":
        return np.clip(x, 0, 6)
    return x


def check_statistics(rows: Array, values: Array) -> None:
    """Rows of (count, mean, squared deviations) add up to those of all values."""
    axes = (0, *range(2, values.ndim))
    rows = rows.astype(np.float64)
    count = rows[:, 0].sum(0)
    mean = (rows[:, 0] * rows[:, 1]).sum(0) / count
    deviations = (rows[:, 2] + rows[:, 0] * (rows[:, 1] - mean) ** 2).sum(0)
    scale = np.abs(values).max(axes)
    np.testing.assert_array_equal(count, values.size // values.shape[1])
    assert (np.abs(mean - values.mean(axes)) <= 4 * ref.EPS * scale + 1e-6 * values.std(axes)).all()
    expected = values.var(axes) * count
    assert (np.abs(deviations - expected) <= 1e-5 * expected + count * (8 * ref.EPS * scale) ** 2).all()


def check(case: Case, seed: int = 0) -> None:
    """All directions are exact on whole numbers, with every part of the epilogue."""
    rng = np.random.default_rng(seed)
    x, weight = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.weight_shape)
    grad, residual = whole_numbers(rng, case.output_shape), whole_numbers(rng, case.output_shape)
    bias = whole_numbers(rng, (case.weight_shape[0],))
    activation = ACTIVATIONS[seed % 4]

    plain = ref.conv(x, weight, **case.settings)
    np.testing.assert_array_equal(forward(case, x, weight)[0], plain)
    full = plain + along_channels(bias, plain.ndim) + residual
    output, rows = forward(case, x, weight, bias, residual, activation, statistics=activation == "none")
    np.testing.assert_array_equal(output, activated(full, activation))
    if rows is not None:
        check_statistics(rows, full)

    expected = ref.conv_backward_data(grad, weight, case.size, **case.settings)
    np.testing.assert_array_equal(backward_data(case, grad, weight), expected)

    grad_weight, grad_bias = backward_weight(case, x, grad)
    expected = ref.conv_backward_weight(x, grad, case.kernel, **case.settings)
    np.testing.assert_array_equal(grad_weight, expected)
    np.testing.assert_array_equal(grad_bias, ref.conv_backward_bias(grad))
    np.testing.assert_array_equal(backward_weight(case, x, grad, with_bias=False)[0], expected)


CASES = {
    "pointwise": Case(2, 19, 70, (5, 7), (1, 1)),
    "pointwise with stride": Case(2, 16, 33, (9, 8), (1, 1), (2, 3)),
    "pointwise with padding": Case(1, 5, 17, (4, 4), (1, 1), begin=(1, 0), end=(0, 2)),
    "3x3": Case(2, 32, 64, (12, 12), (3, 3), begin=(1, 1), end=(1, 1)),
    "3x3 with stride": Case(3, 17, 31, (11, 14), (3, 3), (2, 2), (1, 1), (1, 1)),
    "stride beyond kernel": Case(2, 8, 9, (13, 10), (2, 1), (3, 4)),
    "dilated": Case(2, 7, 40, (15, 13), (3, 2), (1, 1), (2, 3), (2, 1), (2, 3)),
    "dilated with stride": Case(1, 6, 12, (17, 16), (3, 3), (2, 3), (3, 1), (0, 2), (2, 3)),
    "stride equal to dilation": Case(2, 4, 5, (12, 11), (3, 3), (2, 3), (2, 3), (2, 3), (2, 3)),
    "asymmetric padding": Case(2, 6, 18, (6, 9), (4, 5), (1, 2), (3, 0), (0, 4)),
    "padding beyond kernel": Case(1, 3, 8, (4, 4), (2, 2), begin=(3, 2), end=(2, 4)),
    "kernel as large as input": Case(3, 6, 16, (5, 5), (5, 5)),
    "first layer, 1 channel": Case(2, 1, 6, (28, 28), (5, 5), begin=(2, 2), end=(2, 2)),
    "first layer, 3 channels": Case(1, 3, 64, (24, 22), (7, 7), (2, 2), (3, 3), (3, 3)),
    "one pixel": Case(1, 13, 21, (1, 1), (3, 3), begin=(1, 1), end=(1, 1)),
    "depthwise": Case(2, 1, 1, (9, 11), (3, 3), begin=(1, 1), end=(1, 1), groups=35),
    "depthwise with stride": Case(2, 1, 1, (10, 13), (5, 5), (2, 2), (2, 1), (2, 3), groups=48),
    "depthwise, dilated": Case(1, 1, 1, (12, 9), (3, 2), (1, 1), (2, 0), (1, 1), (3, 2), groups=16),
    "depthwise, 7 x 7": Case(2, 1, 1, (9, 20), (7, 7), begin=(3, 3), end=(3, 3), groups=35),
    "depthwise, 4 x 4": Case(2, 1, 1, (9, 20), (4, 4), begin=(1, 2), end=(2, 1), groups=35),
    "depthwise, wide kernel": Case(1, 1, 1, (8, 16), (2, 9), (1, 3), (0, 8), (0, 8), groups=7),
    "channel multiplier": Case(2, 1, 3, (7, 7), (3, 3), begin=(1, 1), end=(1, 1), groups=10),
    "groups": Case(2, 4, 6, (8, 9), (3, 3), (1, 2), (1, 1), (1, 1), groups=3),
    "groups of 4": Case(2, 4, 4, (9, 17), (3, 3), begin=(1, 1), end=(1, 1), groups=12),
    "groups of 4 with stride": Case(2, 4, 4, (9, 16), (3, 3), (2, 2), (1, 1), (1, 0), groups=5),
    "groups of 8": Case(2, 8, 8, (5, 23), (5, 3), begin=(2, 1), end=(2, 1), groups=5),
    "groups of 8, few pixels": Case(1, 8, 8, (7, 3), (3, 3), begin=(1, 2), end=(1, 2), groups=2),
    "groups of 8 with stride": Case(2, 8, 8, (8, 15), (3, 3), (1, 2), (0, 2), (1, 1), groups=4),
    "groups of 16": Case(1, 16, 16, (4, 11), (2, 3), begin=(0, 1), end=(0, 1), groups=3),
    "groups of 4, 3-D": Case(1, 4, 4, (3, 4, 9), (3, 2, 3), begin=(1, 0, 1), end=(1, 1, 1), groups=4),
    "wide groups": Case(1, 20, 68, (6, 5), (1, 1), groups=2),
    "1-D": Case(2, 9, 20, (31,), (4,), (2,), (1,), (3,), (2,)),
    "3-D": Case(2, 5, 18, (5, 4, 6), (3, 2, 3), (2, 1, 1), (1, 0, 1), (1, 1, 2), (1, 2, 1)),
    "3-D depthwise": Case(1, 1, 1, (4, 5, 6), (3, 3, 3), (1, 2, 1), (1, 1, 1), (1, 1, 1), groups=17),
    "unreached input": Case(2, 3, 4, (1, 2), (1, 1), (2, 3), (1, 1), (0, 0)),
    "unreached input, depthwise": Case(1, 1, 1, (1, 1), (1, 1), (2, 2), (1, 1), groups=20),
    "long reduction": Case(3, 1100, 66, (2, 3), (1, 1)),
    "long reduction over taps": Case(1, 300, 40, (4, 4), (3, 3), begin=(1, 1), end=(1, 1)),
    "many chunks": Case(6, 8, 24, (40, 40), (3, 3), begin=(1, 1), end=(1, 1)),
    "linear": Case(5, 37, 75),
    "linear, one row": Case(1, 400, 120),
    "linear, long": Case(33, 2100, 10),
}


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_whole_numbers_are_exact(name: str, seed: int) -> None:
    check(CASES[name], seed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_larger_than_the_caches_are_exact(activation: str) -> None:
    """Whole lines of outputs above 32 MB bypass the caches."""
    case = Case(3, 4, 1024, (54, 57), (1, 1))
    rng = np.random.default_rng(5)
    x, weight = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.weight_shape)
    bias, residual = whole_numbers(rng, (1024,)), whole_numbers(rng, case.output_shape)
    full = ref.conv(x, weight, **case.settings) + along_channels(bias, 4) + residual
    output, rows = forward(case, x, weight, bias, residual, activation, activation == "none", offset=0)
    np.testing.assert_array_equal(output, activated(full, activation))
    if rows is not None:
        check_statistics(rows, full)


def test_groups_that_share_lines_of_a_far_input_are_exact() -> None:
    case = Case(1, 6, 6, (47, 49), (3, 3), (2, 2), (1, 1), (1, 1), groups=64)
    assert np.prod(case.input_shape) > 512 * 1024
    check(case)


@pytest.mark.parametrize("outputs", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100])
def test_every_panel_width_is_exact(outputs: int) -> None:
    check(Case(2, 5, outputs, (5, 5), (3, 3), begin=(1, 1), end=(1, 1)), outputs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("outputs", [18, 23, 24, 40, 72, 85, 88, 136, 144, 150, 160, 208, 320])
def test_every_cut_into_panels_is_exact(outputs: int, seed: int) -> None:
    """Panels of unequal width, and last ones of one and a half vectors, with every activation."""
    check(Case(1, 3, outputs, (4, 7), (1, 1)), seed)
    check(Case(1, 2, outputs, (3, 4), (2, 2), groups=2), seed)


@pytest.mark.parametrize("inputs", [7, 8, 15, 16, 17, 40])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
def test_few_outputs_are_exact(outputs: int, inputs: int) -> None:
    """Vectors run along pixels there: whole ones and rests, in one run and apart, and parts of a depth."""
    for seed in range(4):
        check(Case(2, inputs, outputs, (5, 9), (1, 1)), seed)
        check(Case(1, inputs, outputs, (6, 43), (3, 3), (1, 2), (1, 1), (1, 1)), seed)
        check(Case(1, inputs, outputs, (5, 19), (1, 2), groups=2), seed)
    check(Case(1, 40 * inputs, outputs, (3, 7), (3, 3), begin=(1, 1), end=(1, 1)), 1)


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
def test_few_outputs_with_an_activation_of_rows(outputs: int) -> None:
    """Values are those that the same channels have among many, and so are those kept for the gradient."""
    rng = np.random.default_rng(outputs)
    x, weight = whole_numbers(rng, (2, 19, 6, 21)), whole_numbers(rng, (40, 19, 2, 2)) / np.float32(16)
    few = weight[:outputs].copy()
    grad = whole_numbers(rng, (2, outputs, 5, 20))

    def run(weights: Array) -> tuple[Array, Array]:
        parameter = nn.Parameter(weights)

        def loss(x: Any) -> Any:
            y = ops.gelu(ops.conv2d(x, parameter))[:, :outputs]
            return (y * grad).sum(), y

        (_, y), (by_weight,) = cc.value_and_grad(loss, [parameter])(x)
        return y, by_weight[:outputs]

    values, by_few = run(few)
    wanted, by_many = run(weight)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_allclose(by_few, by_many, rtol=1e-5, atol=1e-4)
    case = Case(2, 19, outputs, (6, 21), (2, 2))
    sums = ref.conv(x, few, **case.settings)
    np.testing.assert_allclose(
        forward(case, x, few, activation="sigmoid")[0], 1 / (1 + np.exp(-sums)), rtol=1e-6, atol=1e-30
    )


@pytest.mark.parametrize("pixels", [*range(1, 30), 47, 48, 49, 97])
def test_every_tile_height_is_exact(pixels: int) -> None:
    for outputs in (6, 12, 24, 40, 64):
        check(Case(1, 9, outputs, (pixels,), (1,)), pixels)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any convolution that the reference does in milliseconds."""
    rank = draw(st.sampled_from([0, 1, 2, 2, 2, 3]))
    longest = {0: 1, 1: 40, 2: 12, 3: 6}[rank]

    def extents(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.sampled_from([1, 1, 1, 2, 5, 16, 19])) if rank else 1
    channels = st.integers(1, 40 if groups == 1 else 5)
    depthwise = groups > 1 and draw(st.booleans())
    case = Case(
        draw(st.integers(1, 4)),
        1 if depthwise else draw(channels),
        1 if depthwise else draw(channels),
        extents(1, longest),
        extents(1, 5 if rank < 3 else 3),
        extents(1, 4),
        extents(0, 4),
        extents(0, 4),
        extents(1, 3),
        groups,
    )
    axes = zip(case.size, case.kernel, case.begin, case.end, case.dilation, strict=True)
    assume(all(size + begin + end > dilation * (kernel - 1) for size, kernel, begin, end, dilation in axes))
    return case


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(cases(), st.integers(0, 1000))
def test_any_convolution_is_exact(case: Case, seed: int) -> None:
    check(case, seed)


@pytest.mark.parametrize("name", ["3x3", "depthwise", "groups", "first layer, 3 channels", "long reduction"])
def test_random_numbers_stay_within_the_bound_of_a_plain_sum(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(1)
    x, weight, grad = (
        rng.standard_normal(shape, np.float32)
        for shape in (case.input_shape, case.weight_shape, case.output_shape)
    )
    taps = int(np.prod(case.kernel))
    pixels = case.batch * int(np.prod(case.output_shape[2:]))
    found = forward(case, x, weight)[0]
    magnitude = ref.conv(np.abs(x), np.abs(weight), **case.settings)
    bound = ref.dot_bound(taps * case.inputs, magnitude)
    assert (np.abs(found - ref.conv(x, weight, **case.settings)) <= bound).all()

    found = backward_data(case, grad, weight)
    magnitude = ref.conv_backward_data(np.abs(grad), np.abs(weight), case.size, **case.settings)
    expected = ref.conv_backward_data(grad, weight, case.size, **case.settings)
    assert (np.abs(found - expected) <= ref.dot_bound(taps * case.outputs, magnitude)).all()

    found = backward_weight(case, x, grad)[0]
    magnitude = ref.conv_backward_weight(np.abs(x), np.abs(grad), case.kernel, **case.settings)
    expected = ref.conv_backward_weight(x, grad, case.kernel, **case.settings)
    assert (np.abs(found - expected) <= ref.dot_bound(pixels, magnitude)).all()


@pytest.mark.parametrize("name", ["3x3", "depthwise"])
def test_statistics_survive_a_mean_far_above_the_deviation(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(2)
    x = rng.standard_normal(case.input_shape, np.float32)
    weight = rng.standard_normal(case.weight_shape, np.float32)
    bias = np.full(case.weight_shape[0], 3e4, np.float32)
    output, rows = forward(case, x, weight, bias, statistics=True)
    check_statistics(rows, output.astype(np.float64))


def test_statistics_describe_the_values_before_the_activation() -> None:
    case = CASES["3x3"]
    rng = np.random.default_rng(3)
    x, weight = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.weight_shape)
    for activation in ACTIVATIONS:
        output, rows = forward(case, x, weight, activation=activation, statistics=True)
        plain = ref.conv(x, weight, **case.settings)
        np.testing.assert_array_equal(output, activated(plain, activation))
        check_statistics(rows, plain)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["3x3", "depthwise", "linear"])
def test_nan_and_infinity_reach_the_output(name: str, activation: str) -> None:
    case = CASES[name]
    weight = np.ones(case.weight_shape, np.float32)
    for value in (np.nan, np.inf, -np.inf):
        x = np.zeros(case.input_shape, np.float32)
        x[0, 0] = value
        with np.errstate(invalid="ignore"):
            expected = activated(ref.conv(x, weight, **case.settings), activation)
        expected = np.where(np.isnan(ref.conv(x, weight, **case.settings)), np.nan, expected)
        np.testing.assert_array_equal(forward(case, x, weight, activation=activation)[0], expected)


def test_a_nan_stays_where_the_kernel_sees_it() -> None:
    """Padding and the columns past the last channel are zeros, never memory of neighbours."""
    case = Case(2, 5, 11, (9, 8), (3, 3), begin=(1, 1), end=(1, 1))
    rng = np.random.default_rng(4)
    x, weight = whole_numbers(rng, case.input_shape), whole_numbers(rng, case.weight_shape)
    x[0, :, 4, 4] = np.nan
    found = np.isnan(forward(case, x, weight)[0])
    expected = np.zeros_like(found)
    expected[0, :, 3:6, 3:6] = True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "case",
    [
        Case(4, 24, 70, (20, 21), (3, 3), begin=(1, 1), end=(1, 1)),
        Case(4, 130, 40, (14, 14), (1, 1)),
        Case(8, 3, 32, (32, 32), (5, 5), (2, 2), (2, 2), (2, 2)),
        Case(4, 1, 1, (30, 30), (3, 3), begin=(1, 1), end=(1, 1), groups=96),
        Case(3, 16, 16, (20, 20), (3, 3), (2, 2), (1, 1), (1, 1), groups=4),
        Case(64, 1300, 96),
    ],
    ids=["3x3", "pointwise", "first", "depthwise", "groups", "linear"],
)
def test_threads_do_not_change_a_bit(case: Case) -> None:
    rng = np.random.default_rng(5)
    x, weight, grad, residual = (
        rng.standard_normal(shape, np.float32)
        for shape in (case.input_shape, case.weight_shape, case.output_shape, case.output_shape)
    )
    bias = rng.standard_normal(case.weight_shape[0], np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(
                [
                    *forward(case, x, weight, bias, residual, statistics=True),
                    backward_data(case, grad, weight),
                    *backward_weight(case, x, grad),
                ]
            )
    finally:
        _core.set_num_threads(before)
    for first, other in itertools.product(results[:1], results[1:]):
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_image_does_not_depend_on_the_rest_of_its_batch() -> None:
    case = CASES["3x3"]
    rng = np.random.default_rng(6)
    x = rng.standard_normal(case.input_shape, np.float32)
    weight = rng.standard_normal(case.weight_shape, np.float32)
    both = forward(case, x, weight)[0]
    for i in range(case.batch):
        alone = Case(1, case.inputs, case.outputs, case.size, case.kernel, case.stride, case.begin, case.end)
        np.testing.assert_array_equal(forward(alone, x[i : i + 1], weight)[0], both[i : i + 1])


def test_the_choice_names_every_refusal() -> None:
    for direction in ("forward", "backward_data", "backward_weight"):
        dense = CASES["3x3"].choose(direction)
        assert dense.algorithm == "direct"
        assert ("depthwise", "groups 1 != input channels 32") in dense.refused
        assert CASES["depthwise"].choose(direction).algorithm == "depthwise"
        multiplied = CASES["channel multiplier"].choose(direction)
        assert ("depthwise", "groups 10 != output channels 30") in multiplied.refused
    assert CASES["3x3"].choose("forward").problem.startswith("batch=2 in_channels=32 out_channels=64")


EVERY = ("forward", "backward_data", "backward_weight")


def _chosen(*directions: str, **changes: Any) -> set[str]:
    wide = {"size": (14, 15), "kernel": (3, 3), "begin": (1, 1), "end": (1, 1), "groups": 6}
    return {Case(1, **{"inputs": 8, "outputs": 8, **wide, **changes}).choose(d).algorithm for d in directions}


@pytest.mark.skipif(_core.cpu_info()["isa"] == "portable", reason="its vectors hold no two groups")
def test_groups_of_four_channels_have_an_algorithm_of_their_own() -> None:
    assert _chosen(*EVERY, inputs=4, outputs=4) == {"grouped"}
    assert _chosen("forward", "backward_weight", inputs=4, outputs=4, stride=(2, 2), size=(28, 30)) == {
        "grouped"
    }
    assert _chosen("backward_data", inputs=4, outputs=4, stride=(2, 2)) == {"direct"}
    assert _chosen("backward_weight", inputs=4, outputs=4, size=(7, 7)) == {"direct"}


@pytest.mark.skipif(_core.cpu_info()["isa"] != "avx2", reason="vectors of eight floats")
def test_groups_of_a_whole_vector_have_none() -> None:
    eight = Case(1, 8, 8, (14, 15), (3, 3), begin=(1, 1), end=(1, 1), groups=6)
    for direction in EVERY:
        choice = eight.choose(direction)
        assert choice.algorithm != "grouped"
        assert ("grouped", "groups of 8 channels fill direct's vectors") in choice.refused


@pytest.mark.skipif(_core.cpu_info()["isa"] != "avx512", reason="vectors hold several groups")
def test_small_groups_have_an_algorithm_of_their_own() -> None:
    assert _chosen(*EVERY) == _chosen(*EVERY, inputs=4, outputs=4) == {"grouped"}
    assert _chosen(*EVERY[:2], inputs=16, outputs=16) == {"grouped"}
    assert _chosen("forward", "backward_weight", stride=(2, 2), size=(28, 30)) == {"grouped"}
    assert _chosen("backward_data", stride=(2, 2)) == {"direct"}  # phases of one and of two taps
    assert _chosen("backward_weight", size=(7, 7)) == {"direct"}
    assert _chosen(*EVERY, outputs=16) == _chosen(*EVERY, kernel=(3, 5)) == {"direct"}
    large = Case(1, 16, 16, (20, 20), (3, 3), begin=(1, 1), end=(1, 1), groups=2).choose("forward")
    assert ("grouped", "more than 256 pixels of 16 channels a group") in large.refused


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "attrs", "message"),
    [
        (
            (1, 3, 8, 8),
            (4, 2, 3, 3),
            {},
            r"expected input with 2 channels \(weight is \(4, 2, 3, 3\), groups=1\)",
        ),
        (
            (1, 4, 8, 8),
            (6, 1, 3, 3),
            {"groups": 4},
            "expected groups to divide 4 input and 6 output channels",
        ),
        ((1, 4, 8), (6, 4, 3, 3), {}, "expected a weight of 3 axes"),
        ((1, 4, 2, 8), (6, 4, 3, 3), {}, "the kernel reaches over 3 pixels"),
        ((0, 4, 8, 8), (6, 4, 3, 3), {}, "expected a non-empty input"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": [0, 1]}, "stride: expected numbers from 1"),
        (
            (1, 4, 8, 8),
            (6, 4, 3, 3),
            {"padding_begin": [-1, 0]},
            "padding_begin: expected numbers from 0",
        ),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"dilation": [1]}, "dilation: expected 2 numbers, got 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], attrs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _core.conv_choose("forward", input_shape, weight_shape, attrs, "exact")


def test_a_step_checks_its_tensors() -> None:
    case = CASES["3x3"]
    attrs = {**case.attrs, "weight_shape": list(case.weight_shape), "algorithm": "direct"}
    program = _core.Program()
    x = program.add_value(case.input_shape, "float32", "channels_last")
    weight = program.add_value((case.choose("forward").packed.count,), "float32", "c")
    short = program.add_value((7,), "float32", "c")
    y = program.add_value(case.output_shape, "float32", "channels_last")
    wrong_order = program.add_value(case.output_shape, "float32", "c")
    for inputs, outputs, extra, message in (
        ([x, short], [y], {}, "packed weight: expected"),
        ([x, weight, short], [y], {}, "bias: expected 64"),
        ([x, weight], [wrong_order], {}, "output: expected channels-last"),
        ([x, weight], [x], {}, "output: expected shape"),
        ([x, weight], [y], {"activation": "swish"}, "activation: expected one of none"),
        ([x, weight], [y], {"algorithm": "fft"}, "unknown convolution algorithm 'fft'"),
        ([x, weight], [y], {"algorithm": "depthwise"}, "does not take this problem: groups 1"),
    ):
        with pytest.raises(ValueError, match=message):
            program.add_step("conv_forward", inputs, outputs, {**attrs, **extra})
