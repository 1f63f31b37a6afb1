# SPDX-License-Identifier: Apache-2.0
"""Operations that move elements: exactly numpy's results, gradients against torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

from cnncore import ops
from oracle import check_gradients


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(data=st.data())
def test_reshape_keeps_the_order_of_elements(data):
    shape = data.draw(array_shapes(max_dims=5, max_side=6))
    extents = sorted(data.draw(st.permutations(list(_factors(int(np.prod(shape)))))))
    cut = data.draw(st.integers(0, len(extents)))
    new = (int(np.prod(extents[:cut])), *extents[cut:])[:7]
    new = (*new[:-1], int(np.prod(shape)) // int(np.prod(new[:-1])))
    x = numbered(*shape)
    assert np.array_equal(ops.reshape(x, new), x.reshape(new))


def _factors(n: int) -> list[int]:
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    return found or [1]


@pytest.mark.parametrize(
    "new", [(24, 5), (2, 60), (2, 3, 20), (5, 4, 3, 2), (8, 15), (120,), (3, -1), (1, 2, 60, 1)]
)
def test_reshape_between_layouts(new):
    x = numbered(2, 3, 4, 5)
    assert np.array_equal(ops.reshape(x, new), x.reshape(new))
    check_gradients(lambda a: ops.reshape(a, new), lambda a: a.reshape(new), [x])


@given(data=st.data())
def test_permute(data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=5, max_side=5))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    x = numbered(*shape)
    assert np.array_equal(ops.permute(x, order), x.transpose(order))


@given(data=st.data())
def test_slices_are_those_of_numpy(data):
    shape = data.draw(array_shapes(max_dims=4, max_side=6))
    index = data.draw(basic_indices(shape, allow_newaxis=True))
    x = numbered(*shape)
    expected = x[index]
    if expected.size == 0:
        with pytest.raises(ValueError, match="selects nothing"):
            ops.slice(x, index)
    else:
        assert np.array_equal(ops.slice(x, index), expected)


def test_gradients_of_moves():
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    check_gradients(lambda a: ops.permute(a, (0, 2, 3, 1)), lambda a: a.permute(0, 2, 3, 1), [x])
    check_gradients(lambda a: ops.transpose(a, 1, -1), lambda a: a.transpose(1, -1), [x])
    check_gradients(lambda a: a[1:, 2, ..., ::2], lambda a: a[1:, 2, ..., ::2], [x])
    check_gradients(lambda a: ops.flatten(a, 1, 2), lambda a: a.flatten(1, 2), [x])


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_concat(dim):
    torch = pytest.importorskip("torch")
    shapes = [[2, 3, 4, 5] for _ in range(3)]
    for i, shape in enumerate(shapes):
        shape[dim] = i + 1
    arrays = [np.random.default_rng(i).normal(size=s).astype(np.float32) for i, s in enumerate(shapes)]
    assert np.array_equal(ops.concat(arrays, dim), np.concatenate(arrays, dim))
    check_gradients(lambda *a: ops.concat(a, dim), lambda *a: torch.cat(a, dim), arrays)


@pytest.mark.parametrize("amounts", [(1, 2), (1, 0, 2, 3), (0, 1, 0, 0, 2, 1), (-1, 1), (-1, -1, 2, -2)])
def test_pad(amounts):
    functional = pytest.importorskip("torch.nn.functional")
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    check_gradients(
        lambda a: ops.pad(a, amounts, value=1.5), lambda a: functional.pad(a, amounts, value=1.5), [x]
    )


def test_integers_stay_integers():
    labels = np.array([[3, 1, 2], [4, 5, 6]])
    for y in (ops.reshape(labels, (3, 2)), ops.transpose(labels, 0, 1), ops.slice(labels, 0)):
        assert y.dtype == np.int64
    assert ops.concat([labels, labels]).dtype == np.int64


@pytest.mark.parametrize(
    "shape", [(5, -1), (-1, -1, 24), (7,), (2, 3, 5), (-2, -12), (-3, -8, 1), (0, -1), (0,), ()]
)
def test_reshape_refuses_shapes_of_other_sizes(shape):
    for x in (numbered(2, 3, 4), numbered(2, 3, 4).astype(np.int64)):
        with pytest.raises(ValueError, match=r"\[reshape\] expected a shape of 24 elements"):
            ops.reshape(x, shape)
    assert ops.reshape(np.zeros((0, 3), np.float32), (3, 0)).shape == (3, 0)


def test_errors_say_what_was_expected():
    x = numbered(2, 3, 4)
    with pytest.raises(ValueError, match=r"\[reshape\] expected a shape of 24 elements .* got \(5, -1\)"):
        ops.reshape(x, (5, -1))
    with pytest.raises(ValueError, match=r"expected each of 3 axes once, got \(0, 0, 1\)"):
        ops.permute(x, (0, 0, 1))
    with pytest.raises(ValueError, match="differ along axis 1 only"):
        ops.concat([x, numbered(2, 3, 5)], 1)
    with pytest.raises(IndexError, match="index 7 is out of range for axis 0 with extent 2"):
        ops.slice(x, 7)
    with pytest.raises(IndexError, match="too many indices"):
        ops.slice(x, (0, 0, 0, 0))
    with pytest.raises(ValueError, match="start_dim before end_dim"):
        ops.flatten(x, 2, 1)
    with pytest.raises(TypeError, match="expected a list of at least one tensor"):
        ops.concat([])
