# SPDX-License-Identifier: Apache-2.0
"""Named pairs, NaN, ties and errors of the operations that need an order."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

NAN = np.float32(np.nan)
X = np.array([[3, 1, NAN, 1], [NAN, NAN, 0, 2], [np.inf, -np.inf, 0, -0.0]], np.float32)


@pytest.mark.parametrize(
    "name", ["max", "min", "median", "sort", "topk", "kthvalue", "mode", "cummax", "cummin"]
)
def test_results_have_names(name):
    more = {"k": 2} if name in ("topk", "kthvalue") else {}
    pair = getattr(ops, name)(X, dim=1, **more)
    values, indices = pair
    assert pair.values is values is pair[0]
    assert pair.indices is indices
    assert np.array_equal(
        np.take_along_axis(X, indices.reshape(3, -1), 1), values.reshape(3, -1), equal_nan=True
    )

    class Model(nn.Module):
        def forward(self, x):
            pair = getattr(x, name)(dim=1, **more)
            return {"first": pair.values * 2.0, "pair": pair}

    found = Model()(X)
    assert np.array_equal(found["first"], 2 * values, equal_nan=True)
    assert np.array_equal(found["pair"].indices, indices)


def test_nan_wins_extremes_and_medians():
    for pair in (ops.max(X, 1), ops.min(X, 1), ops.median(X, 1)):
        assert np.isnan(pair.values).tolist() == [True, True, False]
        assert pair.indices.tolist()[:2] == [2, 0]
    assert np.isnan(ops.median(X))
    assert np.isnan(ops.max(X))
    assert np.isnan(ops.amin(X))
    assert ops.argmin(X, 1).tolist() == [2, 0, 1]


def test_nan_is_the_largest_element_of_an_order():
    assert ops.sort(X, 1).indices.tolist() == [[1, 3, 0, 2], [2, 3, 0, 1], [1, 2, 3, 0]]
    assert ops.sort(X, 1, descending=True).indices.tolist() == [[2, 0, 1, 3], [0, 1, 3, 2], [0, 2, 3, 1]]
    assert ops.topk(X, 2).indices.tolist() == [[2, 0], [0, 1], [0, 2]]
    assert ops.kthvalue(X, 2).values.tolist() == [1.0, 2.0, 0.0]
    assert ops.cummax(X, 1).indices.tolist() == [[0, 0, 2, 2], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert ops.cummin(X, 1).indices.tolist() == [[0, 1, 2, 2], [0, 1, 1, 1], [0, 1, 1, 1]]


def test_the_place_taken_has_the_whole_gradient_and_a_value_alone_shares_it():
    x = np.array([[2.0, 1.0, 2.0, 1.0]], np.float32)
    gradients = {
        name: cc.grad(lambda a, n=name: getattr(ops, n)(a, 1).values.sum())(x).tolist()
        for name in ("max", "min")
    }
    assert gradients == {"max": [[1, 0, 0, 0]], "min": [[0, 1, 0, 0]]}
    assert cc.grad(lambda a: ops.max(a))(x).tolist() == [[0.5, 0, 0.5, 0]]
    assert cc.grad(lambda a: ops.amax(a, (0, 1)))(x).tolist() == [[0.5, 0, 0.5, 0]]
    assert cc.grad(lambda a: ops.median(a))(x).tolist() == [[0, 0.5, 0, 0.5]]
    assert cc.grad(lambda a: ops.mode(a).values.sum())(x).tolist() == [[0, 0, 0, 1]]
    assert cc.grad(lambda a: ops.cummax(a, 1).values.sum())(x).tolist() == [[2, 0, 2, 0]]


def test_a_scalar_is_an_axis_of_one():
    pair = ops.max(np.float32(3.0), 0)
    assert (float(pair.values), int(pair.indices)) == (3.0, 0)
    assert ops.sort(np.array(2)).values.shape == ()


def test_long_axes():
    x = np.random.default_rng(0).normal(size=(2, 100_003)).astype(np.float32)
    for data, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
        pair = ops.sort(data, axis)
        places = np.argsort(data, axis, kind="stable")
        assert np.array_equal(pair.indices, places)
        assert np.array_equal(pair.values, np.take_along_axis(data, places, axis))
        assert np.array_equal(ops.median(data, axis).values, np.take(pair.values, 50_001, axis))


def test_errors():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\[max\] expected one axis, got \(0, 1\); amax takes several"):
        ops.max(x, (0, 1))
    with pytest.raises(ValueError, match=r"expected an axis from -2 to 1, got 2"):
        ops.sort(x, 2)
    with pytest.raises(ValueError, match=r"\[topk\] expected k of at most 3, the extent of axis 1, got 4"):
        ops.topk(x, 4, 1)
    with pytest.raises(ValueError, match=r"\[kthvalue\] expected k of at least 1, got 0"):
        ops.kthvalue(x, 0)
    with pytest.raises(TypeError, match=r"expected an axis number, got 1\.0"):
        ops.cummax(x, 1.0)
