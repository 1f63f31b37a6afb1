# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation and activation_backward against float64 references."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from cnncore import _core
from core.helpers import EPS, Array, assert_same_bits_on_any_threads, assert_within, random_floats, run_step

# Channels around the vector widths; pixels around groups of 8 and chunks of 1024; all ranks.
SHAPES = [
    (2, 1, 5),
    (4, 3, 7, 5),
    (3, 6, 1111),
    (64, 10),
    (5, 17),
    (2, 16, 9, 9),
    (2, 24, 23, 23),
    (2, 64, 33, 31),
    (2, 130, 3, 4, 5),
    (9, 1024, 2, 1),
    (2000, 8),
    (1, 4, 1, 1025),
]
ACTIVATIONS = ["none", "relu", "leaky_relu", "relu6"]
ALPHA = 0.1
MOMENTUM = 0.1
BN_EPS = 1e-5


def per_channel(x: Array, value: Array) -> NDArray[np.float64]:
    """`value` (channels,) in float64, shaped to go with x."""
    return value.astype(np.float64).reshape(1, -1, *(1,) * (x.ndim - 2))


def all_but_channels(x: Array) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def activated(x: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "leaky_relu":
        return np.where(x > 0, x, ALPHA * x)
    return np.clip(x, 0, 6) if activation == "relu6" else x


def gated(grad: Array, output: Array, activation: str) -> NDArray[np.float64]:
    """The gradient before an activation with this output."""
    if activation == "relu":
        return np.where(output > 0, grad, 0).astype(np.float64)
    if activation == "leaky_relu":
        return np.where(output > 0, grad, np.float32(ALPHA) * grad).astype(np.float64)
    if activation == "relu6":
        return np.where((output > 0) & (output < 6), grad, 0).astype(np.float64)
    return grad.astype(np.float64)


def batch_statistics(x: Array) -> Array:
    channels = x.shape[1]
    rows = _core.statistics_rows(x.shape)
    return run_step("batch_norm_statistics", [x], [((rows, 3, channels), "float32", "c")])[0]


def mean_and_invstd(x: Array) -> tuple[Array, Array]:
    vector = ((x.shape[1],), "float32")
    attrs = {"momentum": MOMENTUM, "eps": BN_EPS}
    mean, invstd = run_step(
        "batch_norm_finalize", [(batch_statistics(x), "c"), None, None], [vector, vector, None, None], attrs
    )
    return mean, invstd


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_match_the_reference(shape: tuple[int, ...]) -> None:
    x = 2 * random_floats(0, *shape) + 5
    channels = shape[1]
    running_mean, running_var = random_floats(1, channels), np.abs(random_floats(2, channels)) + 0.5
    statistics = batch_statistics(x)
    count = x.size // channels
    assert statistics[:, 0].sum() == count * channels
    vector = ((channels,), "float32")
    mean, invstd, new_mean, new_var = run_step(
        "batch_norm_finalize",
        [(statistics, "c"), running_mean, running_var],
        [vector] * 4,
        {"momentum": MOMENTUM, "eps": BN_EPS},
    )
    axes = all_but_channels(x)
    x64 = x.astype(np.float64)
    # 128 groups of 8 are joined one after the other, each join rounding the mean once.
    joins = min(count, 1024) / 8 + 8
    size = np.abs(x64).max(axes)
    assert_within(mean, x64.mean(axes), joins * EPS * size)
    expected_invstd = 1 / np.sqrt(x64.var(axes) + BN_EPS)
    assert_within(invstd, expected_invstd, joins * EPS * expected_invstd)
    expected = reference.batch_norm_running(
        running_mean, running_var, x64.mean(axes), x64.var(axes), count, MOMENTUM
    )
    assert_within(new_mean, expected[0], joins * EPS * (np.abs(running_mean) + size))
    assert_within(new_var, expected[1], joins * EPS * (running_var + 2 * x64.var(axes)))


def test_statistics_of_a_large_mean_lose_nothing() -> None:
    x = (4096 + np.random.default_rng(0).integers(-1, 2, (4, 20, 40, 40))).astype(np.float32)
    mean, invstd = mean_and_invstd(x)
    axes = all_but_channels(x)
    expected = 1 / np.sqrt(x.astype(np.float64).var(axes) + BN_EPS)
    # E[x^2] - E[x]^2 would have an error of about 4096^2 EPS = 2.
    assert_within(invstd, expected, 1e-3 * expected)
    assert_within(mean, x.astype(np.float64).mean(axes), 136 * EPS * 4096)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("residual", [False, True])
def test_apply_matches_the_reference(shape: tuple[int, ...], activation: str, residual: bool) -> None:
    x, added = 2 * random_floats(0, *shape) + 1, random_floats(1, *shape)
    mean, var, weight, bias = (random_floats(seed, shape[1]) for seed in (2, 3, 4, 5))
    (invstd,) = run_step("batch_norm_invstd", [np.abs(var)], [((shape[1],), "float32")], {"eps": BN_EPS})
    assert_within(invstd, 1 / np.sqrt(np.abs(var.astype(np.float64)) + BN_EPS), EPS * np.abs(invstd))

    inputs = [x, mean, invstd, weight, bias, *([added] if residual else [])]
    attrs = {"activation": activation, "alpha": ALPHA}
    (y,) = run_step("batch_norm_apply", inputs, [(shape, "float32")], attrs)
    m, i, w, b = (per_channel(x, value) for value in (mean, invstd, weight, bias))
    expected = (x - m) * i * w + b + (added if residual else 0)
    size = (np.abs(x) + 2 * np.abs(m)) * np.abs(i * w) + np.abs(b) + 2 * np.abs(added)
    assert_within(y, activated(expected, activation), 3 * EPS * size)


def test_apply_without_weight_and_bias_passes_nan() -> None:
    x = random_floats(0, 2, 5, 7, 7)
    x[0, 1, 2, 3], x[1, 4, 0, 0] = np.nan, np.inf
    mean, invstd = np.zeros(5, np.float32), np.ones(5, np.float32)
    for activation in ACTIVATIONS:
        attrs = {"activation": activation, "alpha": ALPHA}
        (y,) = run_step("batch_norm_apply", [x, mean, invstd], [(x.shape, "float32")], attrs)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
            assert_within(y, activated(x.astype(np.float64), activation), EPS * 6)


@pytest.mark.parametrize("shape", [s for s in SHAPES if np.prod(s) // s[1] > 4], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("source", ["output", "input", "residual"])
@pytest.mark.parametrize("training", [0, 1])
def test_backward_matches_the_reference(
    shape: tuple[int, ...], activation: str, source: str, training: int
) -> None:
    """The activation's gate comes from its output, from x, or from its output with a residual added."""
    channels, count = shape[1], int(np.prod(shape)) // shape[1]
    x, grad = 2 * random_floats(0, *shape) + 1, random_floats(1, *shape)
    weight, bias = random_floats(2, channels), random_floats(3, channels)
    if training:
        mean, invstd = mean_and_invstd(x)
    else:
        mean, invstd = random_floats(4, channels), np.abs(random_floats(5, channels)) + 0.5
    residual = source == "residual"
    inputs = [x, mean, invstd, weight, bias, *([random_floats(6, *shape)] if residual else [])]
    attrs = {"activation": activation, "alpha": ALPHA}
    (y,) = run_step("batch_norm_apply", inputs, [(shape, "float32")], attrs)

    vector, like_x = ((channels,), "float32"), (shape, "float32")
    tail = [None, bias] if source == "input" else [y]
    found = run_step(
        "batch_norm_backward",
        [grad, x, mean, invstd, weight, *tail],
        [like_x, vector, vector, like_x if residual else None],
        {**attrs, "training": training},
    )
    passed = gated(grad, y, activation)
    axes = all_but_channels(x)
    m, i, w = (per_channel(x, value) for value in (mean, invstd, weight))
    normalised = (x - m) * i
    grad_weight, grad_bias = (passed * normalised).sum(axes), passed.sum(axes)
    expected = passed * w * i
    if training:
        share = per_channel(x, grad_bias) + normalised * per_channel(x, grad_weight)
        expected = expected - w * i * share / count
    terms = np.abs(passed).sum(axes), np.abs(passed * normalised).sum(axes)
    # Sums run over at most 32 pixels and then 32 such sums before they continue in double; the errors of the
    # pixels' sums partly cancel, so that an eighth of their number bounds them.
    rounding = EPS * (min(count, 1024) / 8 + 16)
    assert_within(found[1], grad_weight, rounding * (terms[1] + terms[0]))
    assert_within(found[2], grad_bias, rounding * terms[0])
    per_pixel = (
        per_channel(x, terms[0]) + (np.abs(normalised) + 2) * per_channel(x, terms[0] + terms[1])
    ) / count
    assert_within(found[0], expected, rounding * np.abs(w * i) * (np.abs(grad) + per_pixel))
    if residual:
        np.testing.assert_array_equal(found[3], passed)


@pytest.mark.parametrize("shape", [(2, 24, 23, 23), (9, 1024, 2, 1)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_in_place(shape: tuple[int, ...], activation: str) -> None:
    """grad_residual may be the memory of grad_output, and grad_input that of x."""
    grad, x, y = (random_floats(seed, *shape) for seed in range(3))
    mean, invstd = mean_and_invstd(x)
    like_x, vector = (shape, "float32"), ((shape[1],), "float32")
    attrs = {"activation": activation, "alpha": ALPHA}
    inputs = [grad, x, mean, invstd, None, y]
    expected = run_step("batch_norm_backward", inputs, [like_x, vector, vector, like_x], attrs)

    program = _core.Program()
    arrays = [np.moveaxis(np.moveaxis(t, 1, -1).copy(), -1, 1) for t in (grad, x)]
    arrays += [mean, invstd, np.moveaxis(np.moveaxis(y, 1, -1).copy(), -1, 1)]
    values = [program.add_value(t.shape, "float32", "channels_last") for t in arrays]
    for value, array in zip(values, arrays, strict=True):
        program.bind(value, array, True)
    results = [program.add_value(t.shape, "float32", "channels_last") for t in expected]
    program.alias(results[0], values[1])
    program.alias(results[3], values[0])
    step = program.add_step("batch_norm_backward", [*values[:4], -1, values[4]], results, attrs)
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs(results[1:3])
    program.finish(program.step_info(step)["workspace"])
    found = [arrays[1], *program.run([]), arrays[0]]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_backward(shape: tuple[int, ...], activation: str) -> None:
    grad = random_floats(0, *shape)
    y = activated(4 * random_floats(1, *shape).astype(np.float64), activation).astype(np.float32)
    attrs = {"activation": activation, "alpha": ALPHA}
    inputs = [grad] if activation == "none" else [grad, y]
    like_x, vector = (shape, "float32"), ((shape[1],), "float32")
    grad_input, grad_bias = run_step("activation_backward", inputs, [like_x, vector], attrs)
    (alone,) = run_step("activation_backward", inputs, [None, vector], attrs)
    (masked,) = run_step("activation_backward", inputs, [like_x], attrs)
    expected = gated(grad, y, activation)
    np.testing.assert_array_equal(grad_input, expected.astype(np.float32))
    np.testing.assert_array_equal(masked, grad_input)
    np.testing.assert_array_equal(alone, grad_bias)
    axes = all_but_channels(grad)
    count = grad.size // shape[1]
    bound = EPS * (min(count, 1024) / 8 + 16) * np.abs(expected).sum(axes)
    assert_within(grad_bias, expected.sum(axes), bound)


def test_activation_backward_sums_integers_exactly() -> None:
    rng = np.random.default_rng(0)
    grad = rng.integers(-9, 10, (4, 40, 50, 31)).astype(np.float32)
    y = rng.integers(-1, 2, grad.shape).astype(np.float32)
    _, grad_bias = run_step(
        "activation_backward",
        [grad, y],
        [(grad.shape, "float32"), ((40,), "float32")],
        {"activation": "relu"},
    )
    np.testing.assert_array_equal(grad_bias, np.where(y > 0, grad, 0).sum((0, 2, 3), dtype=np.float64))


@pytest.mark.parametrize("shape", [(8, 64, 40, 40), (4, 24, 60, 61), (16, 512, 7, 7)], ids=str)
def test_same_bits_on_any_threads(shape: tuple[int, ...]) -> None:
    x, grad = random_floats(0, *shape) + 3, random_floats(1, *shape)
    weight, bias = random_floats(2, shape[1]), random_floats(3, shape[1])
    like_x, vector = (shape, "float32"), ((shape[1],), "float32")
    attrs = {"activation": "relu"}

    def run() -> list[Array]:
        mean, invstd = mean_and_invstd(x)
        (y,) = run_step("batch_norm_apply", [x, mean, invstd, weight, bias], [like_x], attrs)
        inputs = [grad, x, mean, invstd, weight, y]
        found = run_step("batch_norm_backward", inputs, [like_x, vector, vector], {**attrs, "training": 1})
        return [mean, invstd, y, *found, *run_step("activation_backward", [grad, y], [like_x, vector], attrs)]

    assert_same_bits_on_any_threads(run)


def test_wrong_specifications_are_refused() -> None:
    x = random_floats(0, 2, 3, 4, 4)
    three, four = np.ones(3, np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"statistics: expected shape \(1, 3, 3\)"):
        run_step("batch_norm_statistics", [x], [((2, 3, 3), "float32", "c")])
    with pytest.raises(ValueError, match="invstd: expected 3"):
        run_step("batch_norm_apply", [x, three, four], [(x.shape, "float32")])
    with pytest.raises(ValueError, match="activation: expected"):
        run_step("batch_norm_apply", [x, three, three], [(x.shape, "float32")], {"activation": "swish"})
    with pytest.raises(ValueError, match="activation's result"):
        run_step("activation_backward", [x], [(x.shape, "float32")], {"activation": "relu"})
    with pytest.raises(ValueError, match="channels-last"):
        run_step("activation_backward", [(x, "c")], [(x.shape, "float32", "c")])
