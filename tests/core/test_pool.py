# SPDX-License-Identifier: Apache-2.0
"""Pooling steps against float64 references: every rank, width of channels and kind of window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from core.helpers import EPS, Array, assert_same_bits_on_any_threads, assert_within, random_floats, run_step

# Around the vector widths 4, 8 and 16, the groups of 2 and 4 vectors, and primes.
CHANNELS = [1, 3, 4, 6, 7, 8, 15, 16, 17, 31, 33, 64, 67, 129]
# kernel, stride, padding, dilation, ceil_mode
WINDOWS = [
    (2, 2, 0, 1, False),
    (2, 2, 0, 1, True),
    (3, 2, 1, 1, False),
    (3, 3, 0, 1, False),
    (3, 1, 1, 1, False),
    (2, 3, 0, 1, False),
    (3, 2, 1, 2, True),
    (1, 2, 0, 1, False),
    (5, 3, 2, 1, True),
]
SIZES = {1: (23,), 2: (11, 9), 3: (5, 7, 6)}


def attributes(rank: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> dict[str, Any]:
    return {
        "kernel": [kernel] * rank,
        "stride": [stride] * rank,
        "padding_begin": [padding] * rank,
        "padding_end": [padding] * rank,
        "dilation": [dilation] * rank,
    }


def few_values(seed: int, *shape: int) -> Array:
    """Values of which many are equal, so that the choice among equals is tested."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def check_max_pool(x: Array, window: tuple[int, int, int, int, bool], index_dtype: str = "uint8") -> None:
    kernel, stride, padding, dilation, ceil_mode = window
    rank = x.ndim - 2
    attrs = attributes(rank, kernel, stride, padding, dilation)
    lists = [attrs[key] for key in ("kernel", "stride", "padding_begin", "padding_end", "dilation")]
    expected, expected_index = reference.max_pool(x, *lists, ceil_mode)
    shape = expected.shape
    (alone,) = run_step("max_pool", [x], [(shape, "float32"), None], attrs)
    y, index = run_step("max_pool", [x], [(shape, "float32"), (shape, index_dtype)], attrs)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(alone, expected)
    np.testing.assert_array_equal(index, expected_index)

    grad = np.random.default_rng(1).integers(-8, 9, shape).astype(np.float32)
    (grad_input,) = run_step("max_pool_backward", [grad, index], [(x.shape, "float32")], attrs)
    expected_grad = reference.max_pool_backward(
        grad,
        expected_index,
        x.shape[2:],
        [kernel] * rank,
        [stride] * rank,
        [padding] * rank,
        [dilation] * rank,
    )
    np.testing.assert_array_equal(grad_input, expected_grad)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool_is_exact_for_any_channels(channels: int, window: tuple[int, int, int, int, bool]) -> None:
    check_max_pool(few_values(0, 2, channels, *SIZES[2]), window)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool_is_exact_for_any_rank(rank: int, window: tuple[int, int, int, int, bool]) -> None:
    check_max_pool(few_values(0, 2, 19, *SIZES[rank]), window, "int32")


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(9, 14), st.integers(9, 14)),
    channels=st.integers(1, 40),
    data=st.data(),
)
def test_max_pool_is_exact(
    kernel: int, stride: int, dilation: int, size: tuple[int, int], channels: int, data: st.DataObject
) -> None:
    padding = data.draw(st.integers(0, kernel // 2))
    ceil_mode = data.draw(st.booleans())
    check_max_pool(few_values(2, 1, channels, *size), (kernel, stride, padding, dilation, ceil_mode))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool_passes_nan_and_infinities(window: tuple[int, int, int, int, bool]) -> None:
    kernel, stride, padding, dilation, ceil_mode = window
    x = random_floats(0, 2, 21, 9, 8)
    x.flat[::17], x.flat[::29], x.flat[5::31] = np.nan, np.inf, -np.inf
    x[1, 3] = -np.inf
    attrs = attributes(2, kernel, stride, padding, dilation)
    lists = [attrs[key] for key in ("kernel", "stride", "padding_begin", "padding_end", "dilation")]
    expected, _ = reference.max_pool(x, *lists, ceil_mode)
    shape = expected.shape
    (alone,) = run_step("max_pool", [x], [(shape, "float32"), None], attrs)
    y, index = run_step("max_pool", [x], [(shape, "float32"), (shape, "uint8")], attrs)
    np.testing.assert_array_equal(alone, expected)
    np.testing.assert_array_equal(y, expected)
    # Wherever the output is NaN, so is the element the index names: the gradient goes to a NaN.
    grad = np.where(np.isnan(y), 1, 0).astype(np.float32)
    (grad_input,) = run_step("max_pool_backward", [grad, index], [(x.shape, "float32")], attrs)
    assert np.all(np.isnan(x[grad_input != 0]))
    assert grad_input.sum() == grad.sum()


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] == 1], ids=str)
def test_avg_pool_matches_the_reference(
    channels: int, include: int, window: tuple[int, int, int, int, bool]
) -> None:
    check_avg_pool(random_floats(0, 2, channels, *SIZES[2]), window, include, 0)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("divisor", [0, 5])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] == 1], ids=str)
def test_avg_pool_of_any_rank_and_divisor(
    rank: int, divisor: int, window: tuple[int, int, int, int, bool]
) -> None:
    check_avg_pool(random_floats(0, 2, 19, *SIZES[rank]), window, 1, divisor)


def check_avg_pool(x: Array, window: tuple[int, int, int, int, bool], include: int, divisor: int) -> None:
    kernel, stride, padding, _, ceil_mode = window
    rank = x.ndim - 2
    attrs = {**attributes(rank, kernel, stride, padding), "count_include_pad": include}
    attrs["divisor_override"] = divisor
    lists = ([kernel] * rank, [stride] * rank, [padding] * rank, [padding] * rank)
    expected = reference.avg_pool(x, *lists, ceil_mode, bool(include), divisor)
    (y,) = run_step("avg_pool", [x], [(expected.shape, "float32")], attrs)
    largest = np.abs(x).max() * max(1.0, kernel**rank / (divisor or kernel**rank))
    assert_within(y, expected, reference.dot_bound(2 * rank * kernel, largest))

    grad = random_floats(1, *expected.shape)
    (grad_input,) = run_step("avg_pool_backward", [grad], [(x.shape, "float32")], attrs)
    expected_grad = reference.avg_pool_backward(grad, x.shape[2:], *lists, bool(include), divisor)
    covering = (-(-kernel // stride)) ** rank
    assert_within(grad_input, expected_grad, reference.dot_bound(covering + 2, covering * np.abs(grad).max()))


def test_avg_pool_of_integers_is_exact() -> None:
    x = np.random.default_rng(0).integers(-4, 5, (2, 21, 8, 8)).astype(np.float32)
    (y,) = run_step("avg_pool", [x], [((2, 21, 4, 4), "float32")], attributes(2, 2, 2, 0))
    np.testing.assert_array_equal(y, reference.avg_pool(x, [2, 2], [2, 2], [0, 0], [0, 0]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("extent", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("channels", [1, 6, 16, 70])
def test_adaptive_pooling_matches_the_reference(rank: int, extent: int, channels: int) -> None:
    size, extents = (9, 7, 8)[:rank], (extent,) * rank
    shape = (2, channels, *extents)
    grad = np.random.default_rng(1).integers(-8, 9, shape).astype(np.float32)

    x = few_values(0, 2, channels, *size)
    expected, expected_index = reference.adaptive_max_pool(x, extents)
    y, index = run_step("adaptive_max_pool", [x], [(shape, "float32"), (shape, "int32")])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, expected_index)
    (grad_input,) = run_step("adaptive_max_pool_backward", [grad, index], [(x.shape, "float32")])
    np.testing.assert_array_equal(
        grad_input, reference.adaptive_max_pool_backward(grad, expected_index, size)
    )

    x = random_floats(2, 2, channels, *size)
    (y,) = run_step("adaptive_avg_pool", [x], [(shape, "float32")])
    assert_within(y, reference.adaptive_avg_pool(x, extents), reference.dot_bound(27, np.abs(x).max()))
    (grad_input,) = run_step("adaptive_avg_pool_backward", [grad], [(x.shape, "float32")])
    expected_grad = reference.adaptive_avg_pool_backward(grad, size)
    covering = (1 + -(-extent // min(size))) ** rank
    assert_within(grad_input, expected_grad, (covering + 2) * EPS * 8 * covering)


@pytest.mark.parametrize("window", [w for w in WINDOWS if w[4] is False], ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("index_dtype", ["uint8", "int32"])
def test_an_addend_is_added_once(
    window: tuple[int, int, int, int, bool], channels: int, index_dtype: str
) -> None:
    """Also to pixels that no window covers; the sum has one rounding."""
    kernel, stride, padding, dilation, _ = window
    attrs = attributes(2, kernel, stride, padding, dilation)
    x, addend = few_values(0, 2, channels, 11, 9), random_floats(1, 2, channels, 11, 9)
    lists = [attrs[key] for key in ("kernel", "stride", "padding_begin", "padding_end", "dilation")]
    shape = reference.max_pool(x, *lists)[0].shape
    grad = random_floats(2, *shape)
    _, index = run_step("max_pool", [x], [(shape, "float32"), (shape, index_dtype)], attrs)
    given = [grad, index, None]
    (alone,) = run_step("max_pool_backward", given, [(x.shape, "float32")], attrs)
    (both,) = run_step("max_pool_backward", [*given, addend], [(x.shape, "float32")], attrs)
    np.testing.assert_array_equal(both, alone + addend)


@pytest.mark.parametrize(
    ("op", "backward", "shape", "attrs"),
    [
        ("max_pool", "max_pool_backward", (3, 40, 65, 63), attributes(2, 3, 2, 1)),
        ("max_pool", "max_pool_backward", (9, 32, 50, 46), attributes(2, 2, 2, 0)),
        ("avg_pool", "avg_pool_backward", (3, 40, 65, 63), attributes(2, 3, 2, 1)),
        ("adaptive_avg_pool", "adaptive_avg_pool_backward", (1, 520, 31, 33), {}),
    ],
)
def test_pooling_has_the_same_bits_on_any_threads(
    op: str, backward: str, shape: tuple[int, ...], attrs: dict[str, Any]
) -> None:
    extents = (1, 1) if op.startswith("adaptive") else tuple((n + 1) // 2 for n in shape[2:])
    out = (*shape[:2], *extents)
    x, grad = random_floats(0, *shape), random_floats(1, *out)
    wanted = [(out, "float32"), (out, "uint8")] if op == "max_pool" else [(out, "float32")]

    def run() -> list[Array]:
        found = run_step(op, [x], wanted, attrs)
        return [*found, *run_step(backward, [grad, *found[1:]], [(shape, "float32")], attrs)]

    assert_same_bits_on_any_threads(run)


def test_wrong_specifications_are_refused() -> None:
    x = random_floats(0, 1, 3, 8, 8)
    with pytest.raises(ValueError, match="kernel"):
        run_step("max_pool", [x], [((1, 3, 4, 4), "float32")])
    with pytest.raises(ValueError, match="stride: expected 2 numbers"):
        run_step("max_pool", [x], [((1, 3, 4, 4), "float32")], {"kernel": [2, 2], "stride": [2]})
    with pytest.raises(ValueError, match="batch and channels"):
        run_step("max_pool", [x], [((1, 4, 4, 4), "float32")], attributes(2, 2, 2, 0))
    with pytest.raises(ValueError, match="outside the input"):
        run_step("max_pool", [x], [((1, 3, 6, 6), "float32")], attributes(2, 2, 2, 0))
    large = attributes(2, 17, 1, 8)
    with pytest.raises(ValueError, match="need int32"):
        run_step("max_pool", [x], [((1, 3, 8, 8), "float32"), ((1, 3, 8, 8), "uint8")], large)
    with pytest.raises(ValueError, match="float32"):
        run_step("avg_pool", [x], [((1, 3, 4, 4), "int32")], attributes(2, 2, 2, 0))
    half, index = x[:, :, :4, :4], np.zeros((1, 3, 4, 4), np.uint8)
    for addend in (half, x.astype(np.int32), (x, "c")):
        with pytest.raises(ValueError, match="addend"):
            run_step(
                "max_pool_backward",
                [half, index, None, addend],
                [(x.shape, "float32")],
                attributes(2, 2, 2, 0),
            )
