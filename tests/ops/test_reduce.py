# SPDX-License-Identifier: Apache-2.0
"""Reductions: values against numpy's float64, gradients against torch, axes by hypothesis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import ops
from oracle import assert_close, check_gradients

NUMPY = {"sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min}


@pytest.mark.parametrize("name", NUMPY)
@given(data=st.data())
def test_any_axes_of_any_shape(name, data):
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple))
    axes = data.draw(st.none() | st.sets(st.integers(-len(shape), len(shape) - 1), min_size=1))
    if axes is not None:
        axes = tuple({axis % len(shape) for axis in axes})
    keepdim = data.draw(st.booleans())
    x = np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)
    expected = NUMPY[name](x.astype(np.float64), axis=axes, keepdims=keepdim)
    magnitude = np.sum(np.abs(x), axis=axes, keepdims=keepdim)
    assert_close(getattr(ops, name)(x, axes, keepdim), expected, ulps=8.0, magnitude=magnitude)


@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 2, 3), (1, 3)])
def test_gradients(axes):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    check_gradients(lambda a: ops.sum(a, axes), lambda a: torch.sum(a, axes), [x])
    check_gradients(lambda a: ops.mean(a, axes, True), lambda a: torch.mean(a, axes, keepdim=True), [x])
    every = tuple(range(4)) if axes is None else axes
    check_gradients(lambda a: ops.amax(a, axes), lambda a: torch.amax(a, every), [x])
    check_gradients(lambda a: ops.amin(a, axes), lambda a: torch.amin(a, every), [x])


def test_equal_maxima_share_the_gradient():
    torch = pytest.importorskip("torch")
    check_gradients(
        lambda a: ops.amax(a, 1), lambda a: torch.amax(a, 1), [np.array([[1.0, 2, 2], [3, 3, 3]])]
    )


def test_argmax_takes_the_first_of_equals():
    x = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.float32)
    assert np.array_equal(ops.argmax(x), np.argmax(x))
    for axis in (0, 1, -1):
        y = ops.argmax(x, axis)
        assert y.dtype == np.int64
        assert np.array_equal(y, np.argmax(x, axis))
    assert ops.argmax(x, 1, keepdim=True).shape == (3, 1, 5)


def test_sums_of_integers_are_exact():
    x = np.random.default_rng(0).integers(-8, 9, (37, 101, 13))
    assert float(ops.sum(x)) == x.sum()


def test_a_long_sum_stays_accurate():
    x = np.full(10_000_000, 0.1, np.float32)
    assert_close(ops.sum(x), np.sum(x, dtype=np.float64), ulps=16.0)


def test_bad_axes_are_named():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\[sum\] expected an axis from -2 to 1, got 2"):
        ops.sum(x, 2)
    with pytest.raises(ValueError, match="expected different axes"):
        ops.mean(x, (0, -2))
    with pytest.raises(TypeError, match="expected an axis number"):
        ops.max(x, 1.0)


@pytest.mark.parametrize("number", [0.0, 1.0, -2.5])
def test_norms_of_one_number(number):
    for order, expected in (
        (0, float(number != 0)),
        (1, abs(number)),
        (2, abs(number)),
        (np.inf, abs(number)),
    ):
        found = ops.norm(np.float32(number), order)
        assert (found.shape, float(found)) == ((), expected)


@pytest.mark.parametrize(
    "shapes", [((3,), (2, 3, 4)), ((2, 5, 3), (3,)), ((3,), (3,)), ((2, 1, 4, 3), (5, 3, 2))]
)
def test_products_with_vectors(shapes):
    a, b = (
        np.random.default_rng(i).integers(-3, 4, shape).astype(np.float32) for i, shape in enumerate(shapes)
    )
    assert np.array_equal(ops.matmul(a, b), a @ b)
    assert np.array_equal(ops.matmul(a.astype(int), b.astype(int)), (a @ b).astype(int))


@pytest.mark.parametrize("dim", [1, -2, (1,), (0, 1)])
def test_a_number_has_one_axis_only(dim):
    for name in ("sum", "mean", "amax", "amin", "logsumexp", "norm", "any"):
        with pytest.raises(ValueError, match=r"an axis from -1 to 0"):
            getattr(ops, name)(np.float32(2.0), dim=dim)
    assert ops.sum(np.float32(2.0), dim=(0,)) == ops.sum(np.float32(2.0), dim=-1) == 2.0
