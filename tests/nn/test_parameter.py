# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.arrays import ALIGNMENT
from cnncore.nn import Buffer, Parameter


def test_reads_as_a_read_only_array() -> None:
    parameter = Parameter(np.arange(6.0).reshape(2, 3))
    view = np.asarray(parameter)
    assert view.dtype == np.float32
    assert parameter.shape == (2, 3)
    assert (parameter.ndim, parameter.size, parameter.nbytes, len(parameter)) == (2, 6, 24, 2)
    for readable in (view, parameter.numpy(), parameter[0]):
        with pytest.raises(ValueError, match="read-only"):
            readable[...] = 0.0
    np.testing.assert_array_equal(np.exp(parameter), np.exp(view))
    assert np.array(parameter, dtype=np.float64).dtype == np.float64
    assert [row.tolist() for row in parameter] == view.tolist()


def test_initial_values_are_copied() -> None:
    values = np.ones(3, np.float32)
    parameter = Parameter(values)
    values[0] = 5.0
    assert parameter[0] == 1.0


def test_assign_changes_values_and_version() -> None:
    parameter = Parameter(np.zeros((2, 2)))
    view, before = parameter.numpy(), parameter.version
    parameter.assign([[1, 2], [3, np.nan]])
    assert parameter.version > before
    np.testing.assert_array_equal(view, [[1, 2], [3, np.nan]])


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((2, 3)), 1.0])
def test_assign_refuses_other_shapes(value: object) -> None:
    parameter = Parameter(np.ones((3, 2)), name="weight")
    with pytest.raises(ValueError, match=r"\[weight\] expected an array of shape \(3, 2\), got \("):
        parameter.assign(value)
    assert (np.asarray(parameter) == 1).all()


@pytest.mark.parametrize("value", [np.zeros(2, complex), np.array(["a", "b"]), np.array([None, 1])])
def test_refuses_what_is_no_real_number(value: object) -> None:
    with pytest.raises(TypeError, match="expected an array of real numbers"):
        Parameter(np.zeros(2)).assign(value)
    with pytest.raises(TypeError, match="expected an array of real numbers"):
        Parameter(value)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint64, bool])
def test_converts_numbers(dtype: type) -> None:
    parameter = Parameter(np.zeros(4))
    parameter.assign(np.array([0, 1, 1, 0], dtype))
    assert parameter.data.dtype == np.float32
    assert parameter.numpy().tolist() == [0, 1, 1, 0]


def test_takes_strided_arrays() -> None:
    source = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(Parameter(source.T[::-1]).numpy(), source.T[::-1])


def test_takes_torch_tensors_with_gradient() -> None:
    torch = pytest.importorskip("torch")
    assert Parameter(torch.ones(2, 3, requires_grad=True)).shape == (2, 3)


def test_arithmetic_is_numpy_outside_of_a_trace() -> None:
    parameter, array = Parameter([1.0, 2.0]), np.array([3.0, 4.0])
    assert (parameter + array).tolist() == [4, 6]
    assert (array - parameter).tolist() == [2, 2]
    assert (2 * parameter / parameter).tolist() == [2, 2]
    assert (-parameter @ parameter).tolist() == -5
    assert (parameter**2).tolist() == [1, 4]
    assert abs(-1 * parameter).tolist() == [1, 2]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_independent_and_aligned(duplicate: object) -> None:
    parameter = Parameter(np.arange(5.0), requires_grad=False, name="scale")
    other = duplicate(parameter)  # type: ignore[operator]
    assert (other.name, other.requires_grad) == ("scale", False)
    assert other.data.ctypes.data % ALIGNMENT == 0
    other.assign(np.zeros(5))
    assert parameter.numpy().tolist() == [0, 1, 2, 3, 4]


def test_buffers_keep_integers() -> None:
    counter = Buffer(np.int64(0))
    counter.assign(3)
    assert (counter.dtype, counter.shape, counter.item(), int(counter)) == (np.int64, (), 3, 3)
    assert not counter.requires_grad
    with pytest.raises(TypeError, match="expected integers"):
        counter.assign(0.5)
    assert Buffer([1.5]).dtype == np.float32


def test_repr_shows_values() -> None:
    assert repr(Parameter([1.0, 2.0])) == "Parameter([1., 2.])"
    assert repr(Parameter([1.0], requires_grad=False)) == "Parameter([1.], requires_grad=False)"


def same_on_both(fn):
    """Check that a function gives of a parameter what it gives of an array's symbolic tensor."""
    w = nn.Parameter(np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]))
    x = np.array(w)
    traced = cc.compile(lambda t: fn(w) + 0.0 * ops.sum(t), x.shape)(x)
    symbolic = cc.compile(lambda t: fn(t) + 0.0, x.shape)(x)
    np.testing.assert_array_equal(traced, symbolic)
    np.testing.assert_array_equal(np.asarray(fn(w), np.float32), symbolic)
    return symbolic


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda w: w.sum(), 5.0),
        (lambda w: w.sum(1), [2.0, 3.0]),
        (lambda w: w.mean(0, keepdim=True), [[2.5, 1.5, -1.5]]),
        (lambda w: w.max(), 5.0),
        (lambda w: w > 0, [[1, 0, 1], [1, 1, 0]]),
        (lambda w: w >= 4, [[0, 0, 0], [1, 1, 0]]),
        (lambda w: 5 > w, [[1, 1, 1], [1, 0, 1]]),  # noqa: SIM300
        (lambda w: w == 3.0, [[0, 0, 1], [0, 0, 0]]),
        (lambda w: w != 3.0, [[1, 1, 0], [1, 1, 1]]),
        (lambda w: w == w, [[1, 1, 1], [1, 1, 1]]),
        (lambda w: w == np.array([1.0, 5.0, 3.0]), [[1, 0, 1], [0, 1, 0]]),
        (lambda w: np.array([1.0, 5.0, 3.0]) == w, [[1, 0, 1], [0, 1, 0]]),
        (lambda w: w // 2, [[0, -1, 1], [2, 2, -3]]),
        (lambda w: 7 // w, [[7, -4, 2], [1, 1, -2]]),
        (lambda w: w % 4, [[1, 2, 3], [0, 1, 2]]),
        (lambda w: 3 % w, [[0, -1, 0], [3, 3, -3]]),
        (lambda w: w % np.array([2.0, -3.0, 4.0]), [[1, -2, 3], [0, -1, 2]]),
        (lambda w: np.array([2.0, -3.0, 4.0]) // w, [[2, 1, 1], [0, -1, -1]]),
        (lambda w: w.view(3, 2), [[1, -2], [3, 4], [5, -6]]),
        (lambda w: w.reshape((6,)), [1, -2, 3, 4, 5, -6]),
        (lambda w: w.T, [[1, 4], [-2, 5], [3, -6]]),
        (lambda w: w.abs(), [[1, 2, 3], [4, 5, 6]]),
        (lambda w: abs(-w), [[1, 2, 3], [4, 5, 6]]),
        (lambda w: w.relu(), [[1, 0, 3], [4, 5, 0]]),
        (lambda w: w[1], [4, 5, -6]),
        (lambda w: w * 0 + w.dim() + 10 * w.numel() + 100 * w.size(1) + 1000 * w.size, [[6362.0] * 3] * 2),
    ],
)
def test_operators_and_methods_are_those_of_tensors(fn, expected):
    assert same_on_both(fn).tolist() == np.array(expected, np.float32).tolist()


def test_size_is_a_number_and_a_function():
    w = nn.Parameter(np.zeros((2, 3)))
    assert (w.size, w.size(), w.size(0), w.numel(), w.dim()) == (6, (2, 3), 2, 6, 2)


def test_parameters_are_keys_by_identity():
    a, b = nn.Parameter([1.0, 2.0]), nn.Parameter([1.0, 2.0])
    assert len({a, b, a}) == 2
    assert {a: "a", b: "b"}[b] == "b"
    assert (a == b).tolist() == [True, True]
    assert (a == None) is False  # noqa: E711
    assert (a != None) is True  # noqa: E711
    assert (a == "a") is False


def test_numpy_functions_see_the_values():
    w, count = nn.Parameter([[1.0, 2.0], [3.0, 4.5]]), Buffer(np.array([1 << 60, 1]))
    assert np.sum(w, dtype=np.float64) == 10.5
    assert np.sum(count) == (1 << 60) + 1
    assert np.max(w, axis=1).tolist() == [2.0, 4.5]
    assert np.concatenate([w, w]).shape == (4, 2)
    assert np.reshape(w, -1).tolist() == [1.0, 2.0, 3.0, 4.5]


def test_values_as_arrays_and_lists() -> None:
    weight = Parameter([[1.0, 2.5]])
    assert weight.tolist() == [[1.0, 2.5]]
    copy = weight.copy()
    copy[0, 0] = 7
    assert weight.astype("int64").tolist() == [[1, 2]]
    assert weight.astype(np.float32) is not weight.numpy()
    assert weight[0, 0] == 1.0
    assert type(copy) is np.ndarray


def test_a_parameter_without_elements() -> None:
    for shape in ((0,), (0, 3), (3, 0)):
        parameter = Parameter(np.zeros(shape))
        parameter.assign(np.ones(shape))
        assert parameter.shape == shape
        assert np.asarray(parameter).shape == shape


def test_exchange_by_dlpack_is_a_copy():
    parameter = Parameter(np.arange(6.0).reshape(2, 3))
    taken = np.from_dlpack(parameter)
    assert np.array_equal(taken, parameter)
    assert not np.shares_memory(taken, parameter.numpy())
    with pytest.raises(BufferError, match="exchanged as a copy"):
        parameter.__dlpack__(copy=False)


def test_torch_takes_parameters():
    torch = pytest.importorskip("torch")
    parameter = Parameter(np.arange(6.0).reshape(2, 3))
    taken = torch.from_dlpack(parameter)
    taken += 1
    assert parameter.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (taken.numpy() == parameter.numpy() + 1).all()


@pytest.mark.parametrize(
    "read",
    [lambda p: p.numpy(), lambda p: np.asarray(p, np.float64), float, int],
    ids=["numpy", "asarray", "float", "int"],
)
def test_a_forward_that_reads_values_as_numbers_follows_them(read) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = Parameter(np.array([2.0]))

        def forward(self, x):
            return x * float(np.sum(read(self.scale)))

    model, x = Scaled(), np.ones((1, 3), np.float32)
    assert (model(x) == 2.0).all()
    model.scale.assign([5.0])
    assert (model(x) == 5.0).all()


def test_the_form_that_a_reader_of_dlpack_asks_for() -> None:
    pytest.importorskip("numpy", minversion="2.1")
    for settings in ({}, {"max_version": (1, 0)}):
        ours, theirs = (made.__dlpack__(**settings) for made in (nn.Parameter([1.0]), np.ones(1)))
        assert repr(ours).split()[2] == repr(theirs).split()[2]
