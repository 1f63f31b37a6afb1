# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

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
