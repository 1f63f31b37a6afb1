# SPDX-License-Identifier: Apache-2.0
"""Step `reduce`: exact on integers for all axes and layouts, bounded on random data, threads bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncore import _core
from core.helpers import run_step

Array = np.ndarray

REFERENCE: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "sum": lambda x, axes: x.sum(axes),
    "mean": lambda x, axes: x.mean(axes),
    "sum_squares": lambda x, axes: (x * x).sum(axes),
    "max": lambda x, axes: x.max(axes),
    "min": lambda x, axes: x.min(axes),
}
# Roundings of a float32 partial sum: 32 additions in a row, 6 to join chains and lanes, 3 at a row's end.
STRETCH = 41


def reduce(
    x: Array, function: str, axes: tuple[int, ...], layout: str = "channels_last", keepdim: bool = False
) -> Array:
    if keepdim:
        shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    else:
        shape = [n for i, n in enumerate(x.shape) if i not in axes]
    dtype = "int64" if function == "argmax" else "float32"
    (y,) = run_step("reduce", [(x, layout)], [(shape, dtype)], {"function": function, "axes": list(axes)})
    assert y is not None
    return y


def argmax_reference(x: Array, axes: tuple[int, ...]) -> Array:
    """Index of the first largest element in C order over `axes`."""
    kept = [i for i in range(x.ndim) if i not in axes]
    return x.transpose([*kept, *axes]).reshape([*(x.shape[i] for i in kept), -1]).argmax(-1)


def subsets(rank: int) -> Iterator[tuple[int, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(range(rank), k) for k in range(rank + 1))


@pytest.mark.parametrize("layout", ["channels_last", "c"])
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 7), (3, 17, 4, 6), (1, 64, 9, 11), (5, 1, 33, 2), (2, 130, 3, 1)]
)
@pytest.mark.parametrize("function", REFERENCE)
def test_integers_are_exact_over_all_axes(function: str, shape: tuple[int, ...], layout: str) -> None:
    x = np.random.default_rng(0).integers(-8, 9, shape).astype(np.float32)
    for axes in subsets(4):
        expected = REFERENCE[function](x.astype(np.float64), axes).astype(np.float32)
        np.testing.assert_array_equal(reduce(x, function, axes, layout), expected)


@pytest.mark.parametrize("layout", ["channels_last", "c"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 21, 9, 11), (4, 1, 3, 2)])
def test_argmax_finds_the_first_largest(shape: tuple[int, ...], layout: str) -> None:
    x = np.random.default_rng(1).integers(0, 4, shape).astype(np.float32)
    for axes in subsets(4):
        if axes:
            np.testing.assert_array_equal(reduce(x, "argmax", axes, layout), argmax_reference(x, axes))


@given(
    shape=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    goes=st.lists(st.booleans(), min_size=6, max_size=6),
    layout=st.sampled_from(["c", "channels_last"]),
    function=st.sampled_from([*REFERENCE, "argmax"]),
    keepdim=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_shape(shape: list[int], goes: list[bool], layout: str, function: str, keepdim: bool) -> None:
    axes = tuple(i for i in range(len(shape)) if goes[i]) or (0,)
    x = np.random.default_rng(2).integers(-9, 10, shape).astype(np.float32)
    expected = (
        argmax_reference(x, axes) if function == "argmax" else REFERENCE[function](x.astype(np.float64), axes)
    )
    actual = reduce(x, function, axes, layout, keepdim)
    np.testing.assert_array_equal(actual.reshape(expected.shape), expected.astype(actual.dtype))


@pytest.mark.parametrize("length", [*range(1, 36), 63, 64, 65, 127, 2047, 2048, 2049, 16384, 16385, 100003])
@pytest.mark.parametrize("function", ["sum", "sum_squares", "max", "min", "mean"])
def test_every_length_and_offset(function: str, length: int) -> None:
    base = np.random.default_rng(3).integers(-8, 9, length + 3).astype(np.float32)
    for start in (0, 1, 3):
        x = base[start : start + length]
        expected = REFERENCE[function](x.astype(np.float64), (0,)).astype(np.float32)
        assert reduce(x, function, (0,)) == expected


SHAPES_AND_AXES = [
    ((1_000_003,), (0,)),
    ((4, 64, 56, 56), (0, 2, 3)),
    ((4, 3, 111, 113), (0, 2, 3)),
    ((16, 48, 14, 14), (2, 3)),
    ((64, 1000), (1,)),
    ((3000, 10), (0,)),
    ((2, 700, 30, 31), (0, 2, 3)),
]


@pytest.mark.parametrize("layout", ["channels_last", "c"])
@pytest.mark.parametrize(("shape", "axes"), SHAPES_AND_AXES)
@pytest.mark.parametrize("function", ["sum", "mean", "sum_squares"])
def test_error_does_not_grow_with_the_length(
    function: str, shape: tuple[int, ...], axes: tuple[int, ...], layout: str
) -> None:
    x = np.random.default_rng(4).normal(1, 2, shape).astype(np.float32)
    x64 = x.astype(np.float64)
    reference = REFERENCE[function](x64, axes)
    magnitude = REFERENCE["sum_squares" if function == "sum_squares" else "sum"](np.abs(x64), axes)
    if function == "mean":
        magnitude = magnitude / np.prod([shape[i] for i in axes])
    bound = STRETCH * np.finfo(np.float32).eps / 2 * magnitude
    assert (np.abs(reduce(x, function, axes, layout) - reference) <= bound).all()


@pytest.mark.parametrize("layout", ["channels_last", "c"])
@pytest.mark.parametrize(("shape", "axes"), SHAPES_AND_AXES)
@pytest.mark.parametrize("function", ["sum", "max", "argmax"])
def test_same_bits_on_any_number_of_threads(
    function: str, shape: tuple[int, ...], axes: tuple[int, ...], layout: str
) -> None:
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    before = _core.num_threads()
    results = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        results.append(reduce(x, function, axes, layout))
    _core.set_num_threads(before)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


@pytest.mark.parametrize("axes", [(1,), (0, 2, 3), (2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("function", ["sum", "mean", "max", "min", "sum_squares"])
def test_nan_reaches_its_results_and_no_other(function: str, axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(6).normal(size=(3, 37, 6, 5)).astype(np.float32)
    x[1, 20, 3, 2] = np.nan
    x[2, 0, 0, 0] = np.inf
    expected = REFERENCE[function](x.astype(np.float64), axes)
    actual = reduce(x, function, axes)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(actual), np.isinf(expected))


def test_argmax_counts_nan_as_the_largest() -> None:
    x = np.array([[1, np.nan, 7, np.nan], [-np.inf, -np.inf, -np.inf, -np.inf], [0, 5, 5, 1]], np.float32)
    np.testing.assert_array_equal(reduce(x, "argmax", (1,)), [1, 0, 1])
    wide = np.zeros((2, 3, 4, 5), np.float32)
    wide[1, 2, 0, 3] = np.nan
    wide[1, 2, 3, 4] = 9
    assert reduce(wide, "argmax", (0, 1, 2, 3)) == np.argmax(wide)


def test_axes_default_to_all_and_may_be_negative() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    (total,) = run_step("reduce", [x], [((), "float32")], {"function": "sum"})
    assert total == x.sum()
    (rows,) = run_step("reduce", [x], [((2, 3), "float32")], {"function": "max", "axes": [-1]})
    np.testing.assert_array_equal(rows, x.max(-1))


def test_empty_reductions() -> None:
    x = np.zeros((3, 0), np.float32)
    np.testing.assert_array_equal(reduce(x, "sum", (1,)), np.zeros(3))
    assert np.isnan(reduce(x, "mean", (1,))).all()
    assert reduce(x, "sum", (0,)).shape == (0,)
    with pytest.raises(ValueError, match="nothing to choose from"):
        reduce(x, "max", (1,))


def test_errors() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="got 'median'"):
        reduce(x, "median", (0,))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        run_step("reduce", [x], [((2,), "float32")], {"function": "sum", "axes": [2]})
    with pytest.raises(ValueError, match="listed twice"):
        run_step("reduce", [x], [((), "float32")], {"function": "sum", "axes": [0, 0]})
    with pytest.raises(ValueError, match="does not give"):
        run_step("reduce", [x], [((), "float32")], {"function": "sum", "axes": [0]})
    with pytest.raises(ValueError, match="result of int64"):
        run_step("reduce", [x], [((2,), "float32")], {"function": "argmax", "axes": [1]})
