# SPDX-License-Identifier: Apache-2.0
"""The matmul step against numpy in float64. Whole numbers make float32 sums exact: tolerance 0 there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference as ref
from cnncore import _core
from steps import run_step

Array = NDArray[Any]
LAYOUTS = ("c", "channels_last")


def whole(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float32)


def product(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Array:
    first, second = ref.float64(a), ref.float64(b)
    return (np.swapaxes(first, -1, -2) if transpose_a else first) @ (
        np.swapaxes(second, -1, -2) if transpose_b else second
    )


def matmul(
    a: Array,
    b: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    layouts: tuple[str, str, str] = ("c", "c", "c"),
) -> Array:
    shape = product(a, b, transpose_a, transpose_b).shape
    attrs = {"transpose_a": int(transpose_a), "transpose_b": int(transpose_b)}
    inputs = [(a, layouts[0]), (b, layouts[1])]
    return run_step("matmul", inputs, [(shape, "float32", layouts[2])], attrs)[0]


def check(
    rows: int,
    columns: int,
    depth: int,
    batches: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
    transpose_a: bool = False,
    transpose_b: bool = False,
    layouts: tuple[str, str, str] = ("c", "c", "c"),
) -> None:
    rng = np.random.default_rng(rows * 1000 + columns)
    a = whole(rng, (*batches[0], *((depth, rows) if transpose_a else (rows, depth))))
    b = whole(rng, (*batches[1], *((columns, depth) if transpose_b else (depth, columns))))
    found = matmul(a, b, transpose_a, transpose_b, layouts)
    np.testing.assert_array_equal(found, product(a, b, transpose_a, transpose_b))


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [
        (1, 1, 1),
        (1, 64, 7),
        (7, 1, 13),
        (6, 16, 8),
        (13, 17, 5),
        (14, 33, 64),
        (113, 65, 3),
        (230, 40, 31),
        (5, 9, 1024),
        (3, 70, 2500),
        (200, 200, 200),
    ],
)
def test_whole_numbers_are_exact(
    rows: int, columns: int, depth: int, transpose_a: bool, transpose_b: bool
) -> None:
    check(rows, columns, depth, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize(
    "batches",
    [
        ((3,), (3,)),
        ((3,), ()),
        ((), (4,)),
        ((2, 3), (3,)),
        ((2, 1), (1, 3)),
        ((1,), (5,)),
        ((2, 1, 3), (4, 1)),
    ],
)
def test_batches_broadcast(batches: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    check(9, 21, 6, batches)
    check(9, 21, 6, batches, transpose_a=True, transpose_b=True)


@settings(max_examples=150)
@given(st.data())
def test_any_product_is_exact(data: st.DataObject) -> None:
    extent = st.integers(1, 40)
    shape = data.draw(st.lists(st.integers(1, 3), max_size=2))
    first = tuple(1 if data.draw(st.booleans()) else n for n in shape)
    second = tuple(1 if data.draw(st.booleans()) else n for n in shape)[
        data.draw(st.integers(0, len(shape))) :
    ]
    check(
        data.draw(extent),
        data.draw(extent),
        data.draw(extent),
        (first, second),
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        (
            data.draw(st.sampled_from(LAYOUTS)),
            data.draw(st.sampled_from(LAYOUTS)),
            data.draw(st.sampled_from(LAYOUTS)),
        ),
    )


def test_random_numbers_stay_within_the_bound_of_a_plain_sum() -> None:
    rng = np.random.default_rng(1)
    for depth in (17, 1500):
        a = rng.standard_normal((60, depth), np.float32)
        b = rng.standard_normal((depth, 45), np.float32)
        excess = np.abs(matmul(a, b) - product(a, b, False, False))
        assert (excess <= ref.dot_bound(depth, np.abs(a) @ np.abs(b))).all()


def test_threads_do_not_change_a_bit() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((3, 150, 300), np.float32)
    b = rng.standard_normal((300, 130), np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(matmul(a, b))
    finally:
        _core.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_nan_and_infinity_stay_in_their_row_and_column() -> None:
    rng = np.random.default_rng(3)
    a, b = whole(rng, (20, 11)), whole(rng, (11, 19))
    a[5, 3], b[2, 7] = np.nan, np.nan
    found = np.isnan(matmul(a, b))
    expected = np.zeros_like(found)
    expected[5], expected[:, 7] = True, True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("a", "b", "c", "message"),
    [
        ((3, 4), (5, 6), (3, 6), "expected the inner extents to agree"),
        ((3, 4), (4, 6), (3, 5), "expected output of 3 x 6"),
        ((4,), (4, 6), (1, 6), "expected at least 2 axes"),
        ((2, 3, 4), (4, 6), (3, 6), "expected output of 3 axes"),
        ((2, 3, 4), (3, 4, 6), (2, 3, 6), "does not broadcast"),
        ((0, 4), (4, 6), (0, 6), "expected a non-empty array"),
    ],
)
def test_what_does_not_fit_is_refused(
    a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...], message: str
) -> None:
    program = _core.Program()
    values = [program.add_value(shape, "float32", "c") for shape in (a, b, c)]
    with pytest.raises(ValueError, match=message):
        program.add_step("matmul", values[:2], values[2:], {})
