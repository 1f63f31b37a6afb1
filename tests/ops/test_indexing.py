# SPDX-License-Identifier: Apache-2.0
"""Indices: out of range, of the wrong kind; masks; methods of tensors and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.dispatch import operator
from cnncore.graph.trace import as_tensor

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def indexed(index: Any) -> Any:
    @operator("input")
    def run(input: Any) -> Any:
        return as_tensor(input)[index]

    return run(X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.gather(X, 1, np.array([[4]])), ValueError, "from 0 to 3, got 1 outside"),
        (lambda: ops.gather(X, 1, np.array([[-1]])), ValueError, "from 0 to 3, got 1 outside"),
        (lambda: ops.gather(X, 1, np.array([[0.5]])), TypeError, "integer indices, got float32"),
        (lambda: ops.gather(X, 1, np.zeros((4, 2), int)), ValueError, r"at most \(3, 4\) but for axis 1"),
        (lambda: ops.index_select(X, 0, np.array([3, 0, 5])), ValueError, "got 2 outside"),
        (lambda: ops.index_select(X, 0, np.zeros((2, 2), int)), ValueError, r"indices \(count,\)"),
        (lambda: ops.take_along_dim(X, np.array([[-5]]), 1), ValueError, "from -4 to 3"),
        (lambda: ops.scatter_add(X, 0, np.array([[3]]), X), ValueError, "from 0 to 2"),
        (lambda: ops.scatter(X, 0, np.zeros((3, 4), int), X[:2]), ValueError, "at least index's shape"),
        (lambda: ops.index_add(X, 0, np.array([0]), X), ValueError, r"source of shape \(1, 4\)"),
        (lambda: ops.bincount(np.array([0, 7]), minlength=3), ValueError, "elements from 0 to 2"),
        (lambda: ops.bincount(np.array([0, 1])), ValueError, "expected minlength"),
        (lambda: ops.masked_select(X, X > 2), TypeError, "shapes do not depend on values"),
        (lambda: indexed(np.array([3])), ValueError, "from -3 to 2"),
        (lambda: indexed(np.array([True, False])), ValueError, r"a mask of shape \(3,\)"),
        (lambda: indexed((np.array([0]), 0, 0)), IndexError, "too many indices"),
        (lambda: indexed((..., ...)), IndexError, r"too many indices for a tensor of shape \(3, 4\)"),
        (lambda: indexed((..., 0, ..., 1)), IndexError, "too many indices"),
        (lambda: indexed((0, 0, 0)), IndexError, "too many indices"),
        (lambda: indexed((..., 0, 0, 0)), IndexError, "too many indices"),
        (lambda: ops.repeat_interleave(X, [0, 0, 0], 0), ValueError, "at least 1"),
        (lambda: ops.einsum("ij,jk->ik", X, X), ValueError, "extents 4 and 3"),
        (lambda: ops.einsum("ij->ijj", X), ValueError, "different axes"),
        (lambda: ops.einsum("i,j", X), ValueError, "2 operands"),
        (lambda: ops.tensordot(X, X, 1), ValueError, "do not go with"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_indices_outside_leave_a_training_step_undone() -> None:
    """Those that enter, and those that are computed."""
    weight = nn.Parameter(np.ones((4, 3), np.float32))
    optimizer = cc.optim.SGD([weight], lr=0.1)
    select = cc.train_step(lambda i: ops.index_select(weight, 0, i).sum(), optimizer)
    shifted = cc.train_step(lambda i: (weight.gather(1, ops.argmax(weight, 1)[:, None] + i)).sum(), optimizer)
    for step, inside, outside in ((select, [0, 1], [0, 4]), (shifted, [[0]] * 4, [[0], [3], [0], [-1]])):
        step(np.array(inside))
        before = weight.numpy().copy()
        with pytest.raises(ValueError, match="expected indices from 0 to"):
            step(np.array(outside))
        assert np.array_equal(weight.numpy(), before)


def test_a_mask_of_values_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match="a mask must be a constant"):
        cc.grad(lambda x: x[x > 2].sum())(X)


@given(
    x=hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5)),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_indices_are_numpys(x: np.ndarray, data: st.DataObject) -> None:
    """Drawn combinations of slices, numbers, new axes and arrays."""
    rank = data.draw(st.integers(1, x.ndim))
    shape = data.draw(hnp.array_shapes(max_dims=2, max_side=3))
    items: list[Any] = []
    for axis in range(rank):
        extent = x.shape[axis]
        kind = data.draw(st.sampled_from(["array", "slice", "number"]))
        if kind == "array":
            items.append(data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-extent, extent - 1))))
        else:
            items.append(
                slice(data.draw(st.integers(0, extent - 1)), None) if kind == "slice" else extent - 1
            )
    if not any(isinstance(item, np.ndarray) for item in items):
        items[0] = np.array([0])
    if data.draw(st.booleans()):
        items.insert(data.draw(st.integers(0, len(items))), None)

    @operator("input")
    def run(input: Any) -> Any:
        return as_tensor(input)[tuple(items)]

    np.testing.assert_array_equal(run(x), x[tuple(items)])


class Wrapped:
    """An object that is an array to numpy only, as data frames' columns are."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


@pytest.mark.parametrize(
    "index",
    [
        np.int64(1),
        np.array(1),
        (np.array(1), slice(1, None)),
        (slice(None), np.array(-1)),
        (np.array(1), np.array(2)),
        (np.array(1), [0, 2]),
        ([0, 1], None, np.array(1)),
        Wrapped([0, 2]),
        (slice(None), Wrapped([[0, 2]])),
        (Wrapped([2, 1]), np.array(1)),
    ],
)
def test_arrays_of_no_axes_and_objects_that_are_arrays(index: Any) -> None:
    items = index if isinstance(index, tuple) else (index,)
    plain = tuple(np.asarray(item) if isinstance(item, Wrapped) else item for item in items)
    np.testing.assert_array_equal(indexed(index), X[plain])


@pytest.mark.parametrize("index", [True, np.bool_(False), np.array(True), (True,), (slice(None), False)])
def test_masks_of_no_axes_are_refused(index: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a mask with axes, got .*: x\[None\] adds an axis"):
        indexed(index)
    with pytest.raises(TypeError, match="expected numbers, slices"):
        indexed(Wrapped(1))


def test_methods_of_tensors_are_those_of_parameters() -> None:
    weight = nn.Parameter(X)
    calls: list[Callable[[Any], Any]] = [
        lambda w: w.clamp(1, 5),
        lambda w: w.view(w.size(0), -1),
        lambda w: w.mT.contiguous(),
        lambda w: w.std(1),
        lambda w: w.norm(dim=0),
        lambda w: w.float().long().float(),
        lambda w: w.type_as(w).to("float32").to(device="cpu"),
        lambda w: w.masked_fill(w > 4, 0.0),
        lambda w: w.cumsum(1) + w.tril(),
        lambda w: w.sin() + w.erf() + w.floor() + w.sign(),
        lambda w: w.prod(0) + w.any(0).float() + w.all(0).float(),
        lambda w: w.eq(w).float() + w.gt(2).float() + (w.bool() & (w < 9)).float(),
        lambda w: w.unfold(1, 2, 1),
        lambda w: w.t().reshape_as(w) + w.expand_as(w),
        lambda w: w.index_select(0, np.array([1, 0])),
        lambda w: w.logsumexp(1, keepdim=True),
        lambda w: w.addmm(w, np.eye(4)),
    ]
    for call in calls:
        _, (of_parameter,) = cc.value_and_grad(lambda c=call: (c(weight) * weight.sum()).sum(), [weight])()
        of_tensor = cc.grad(lambda x, c=call: (c(x) * x.sum()).sum())(X)
        np.testing.assert_array_equal(of_tensor, of_parameter)


def test_types_that_nothing_is_computed_in_are_refused() -> None:
    weight = nn.Parameter(X)
    with pytest.raises(TypeError, match="numpy can check them in float64"):
        weight.double()
    with pytest.raises(TypeError, match="values are computed in float32"):
        weight.half()
    with pytest.raises(TypeError, match="expected device 'cpu', got 'cuda'"):
        weight.to("cuda")


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((33000, 256), 0),
        ((3, 5, 16), 1),
        ((2, 40, 250), 1),
        ((9, 50, 256), 1),
        ((3, 5000), 0),
        ((7, 4), 0),
        ((6, 9), 1),
    ],
)
def test_gradients_of_rows_are_exact_sums(shape: tuple[int, ...], axis: int) -> None:
    """Of tensors beyond the caches, of several tables on all threads, of rows of any length."""
    rng = np.random.default_rng(0)
    x = np.zeros(shape, np.float32)
    indices = rng.integers(0, shape[axis], 700)
    given = rng.integers(-8, 9, np.take(x, indices, axis).shape).astype(np.float32)
    gradient = cc.grad(lambda x: ops.sum(ops.index_select(x, axis, indices) * given))(x)
    wanted = np.zeros(shape)
    np.add.at(np.moveaxis(wanted, axis, 0), indices, np.moveaxis(given, axis, 0))
    np.testing.assert_array_equal(gradient, wanted)
