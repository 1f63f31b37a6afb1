# SPDX-License-Identifier: Apache-2.0
"""Elementwise operations: values against numpy, broadcasting by hypothesis, gradients against torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from cnncore import nn, ops
from cnncore.graph.tensor import Graph, Layout, Tensor
from cnncore.graph.trace import building, trace
from oracle import assert_close, check_gradients

BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
}
UNARY = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "neg": np.negative,
    "square": np.square,
}


def draw(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=5, max_side=4), seed=st.integers(0, 99))
def test_binary_operations_broadcast_as_numpy_does(name, shapes, seed):
    a, b = (draw(*s, seed=seed + i) for i, s in enumerate(shapes.input_shapes))
    expected = BINARY[name](a, b)
    actual = getattr(ops, name)(a, b)
    assert actual.shape == expected.shape
    assert_close(actual, expected, ulps=1.0)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3), seed=st.integers(0, 99))
def test_gradients_are_summed_over_broadcast_axes(name, shapes, seed):
    arrays = [draw(*s, low=0.5, seed=seed + i) for i, s in enumerate(shapes.input_shapes)]
    check_gradients(
        getattr(ops, name), {"div": lambda a, b: a / b}.get(name) or _torch(name), arrays, ulps=64.0
    )


def _torch(name):
    torch = pytest.importorskip("torch")
    return getattr(torch, name)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", [(), (1,), (17,), (3, 5), (2, 3, 5, 7)])
def test_unary_operations(name, shape):
    x = draw(*shape, low=0.1 if name in ("log", "sqrt") else -2.0)
    assert_close(getattr(ops, name)(x), UNARY[name](x.astype(np.float64)), ulps=4.0)


@pytest.mark.parametrize("name", UNARY)
def test_unary_gradients(name):
    check_gradients(getattr(ops, name), _torch(name), [draw(3, 5, low=0.2)])


@pytest.mark.parametrize("name", UNARY)
def test_nan_and_infinities_follow_numpy(name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0], np.float32)
    with np.errstate(all="ignore"):
        expected = UNARY[name](x)
    assert_close(getattr(ops, name)(x), expected)


@pytest.mark.parametrize("name", BINARY)
def test_numbers_on_either_side(name):
    x = draw(3, 4, low=0.5)
    assert_close(getattr(ops, name)(x, 1.5), BINARY[name](x, np.float32(1.5)), ulps=1.0)
    assert_close(getattr(ops, name)(1.5, x), BINARY[name](np.float32(1.5), x), ulps=1.0)


@pytest.mark.parametrize("exponent", [2, 0.5, -1, 3, -1.5, 0])
def test_powers_with_a_number(exponent):
    x = draw(4, 5, low=0.2)
    assert_close(ops.pow(x, exponent), x.astype(np.float64) ** exponent, ulps=8.0)
    check_gradients(lambda a: ops.pow(a, exponent), lambda a: a**exponent, [x], ulps=64.0)


def test_powers_of_tensors_and_of_numbers():
    x, y = draw(3, 4, low=0.2), draw(4)
    check_gradients(ops.pow, lambda a, b: a**b, [x, y], ulps=128.0)
    check_gradients(lambda b: 3.0**b, lambda b: 3.0**b, [y], ulps=128.0)


def test_comparisons_give_one_and_zero():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    assert ops.greater(x, y).tolist() == [0.0, 0.0, 1.0]
    assert ops.greater_equal(x, y).tolist() == [0.0, 1.0, 1.0]
    assert ops.equal(x, y).tolist() == [0.0, 1.0, 0.0]
    assert ops.where(ops.greater(x, y), x, -y).tolist() == [-2.0, -2.0, 3.0]


def test_where_passes_each_gradient_to_the_side_chosen():
    condition = np.array([1, 0, 1])
    check_gradients(
        lambda a, b: ops.where(condition, a, b),
        lambda a, b: (
            a * pytest.importorskip("torch").tensor(condition)
            + b * pytest.importorskip("torch").tensor(1 - condition)
        ),
        [draw(2, 3), draw(3, seed=1)],
    )


def test_maximum_shares_the_gradient_of_equal_elements():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    check_gradients(ops.maximum, _torch("maximum"), [a, b])
    check_gradients(ops.minimum, _torch("minimum"), [a, b])


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32", "int64", "uint8", "uint16", "bool"])
def test_every_real_dtype_is_converted_on_entry(dtype):
    x = np.array([[0, 1, 1], [1, 0, 3]]).astype(dtype)
    y = ops.add(x, 0.5)
    assert y.dtype == np.float32
    assert y.tolist() == (x.astype(np.float32) + 0.5).tolist()


@pytest.mark.parametrize("bad", [np.ones(3, np.complex64), np.array([None, 1]), np.array(["a"])])
def test_other_dtypes_are_refused(bad):
    with pytest.raises(TypeError, match=r"\[add\] expected an array of real numbers, got dtype"):
        ops.add(bad, 1.0)


def test_strided_and_read_only_inputs_are_taken_and_left_alone():
    x = draw(4, 6, 8, 10)
    view = x[::-1, ::2, 1:, ::-3]
    view.flags.writeable = False
    kept = x.copy()
    assert_close(ops.mul(view, 2.0), view * 2.0, ulps=0.0)
    assert np.array_equal(x, kept)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(
        ValueError, match=r"\[add\] shapes \(2, 3\) and \(4,\) do not fit together: axis -1 is 3 and 4"
    ):
        ops.add(np.ones((2, 3)), np.ones(4))


def test_empty_arrays_and_two_numbers_are_refused():
    with pytest.raises(ValueError, match=r"\[relu\] expected a non-empty array, got shape \(3, 0\)"):
        ops.relu(np.ones((3, 0)))
    with pytest.raises(TypeError, match="expected at least one array"):
        ops.add(1.0, 2.0)


@pytest.mark.parametrize(
    ("exponent", "functions"),
    [
        (2, ["square"]),
        (3, ["square", "mul"]),
        (0.5, ["sqrt"]),
        (-1, ["reciprocal"]),
        (-0.5, ["rsqrt"]),
        (1.5, ["pow_scalar"]),
    ],
)
def test_powers_with_functions_of_their_own(exponent, functions):
    with building(Graph()) as graph:
        ops.pow(Tensor((3,), "float32", Layout.C), exponent)
    assert [node.attrs.function for node in graph.nodes] == functions


@pytest.mark.parametrize(
    "bounds",
    [(-1.0, 1.0), (-1.0, None), (None, 1.0), (1.0, -1.0), (np.float32(-1.0), 1.0)],
)
def test_clamping_by_numbers_is_one_operation(bounds):
    graph, _ = trace(lambda x: ops.clamp(x, *bounds), [np.zeros(3, np.float32)])
    assert [node.op.label(node) for node in graph.nodes] == ["clamp"]
    low, high = (-np.inf if bounds[0] is None else bounds[0]), (np.inf if bounds[1] is None else bounds[1])
    x = np.array([-2.0, -1.0, 0.5, 1.0, 3.0], np.float32)
    assert np.array_equal(ops.clamp(x, *bounds), np.minimum(np.maximum(x, low), high))
    limits = np.array([-1.0, 0.5], np.float32)
    rows = np.tile(x, (2, 1)).T
    assert np.array_equal(ops.clamp(rows, limits, 1.0), np.clip(rows, limits, 1.0))
    assert np.array_equal(ops.clamp(rows, -1.0, limits), np.minimum(np.maximum(rows, -1.0), limits))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.int64])
def test_absolute_values_and_signs_of_integers(dtype):
    x = np.array([0, 1, 1, 3]).astype(dtype)
    assert ops.abs(x).dtype == dtype
    assert np.array_equal(ops.abs(x), x)
    assert np.array_equal(ops.sign(x), np.sign(x.astype(int)).astype(dtype))
    if dtype in (np.int32, np.int64):
        assert ops.abs(-x).tolist() == x.tolist()
        assert (-nn.Buffer(x)).tolist() == (-x).tolist()
    if dtype == np.bool_:
        with pytest.raises(TypeError, match="booleans have none"):
            ops.neg(x)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_a_condition_of_numbers_is_whether_they_are_not_zero(dtype):
    chosen = np.array([0.0, 0.5, -2.0], np.float32)
    found = ops.where(chosen, np.array([1, 2, 3]).astype(dtype), np.array([-1, -2, -3]).astype(dtype))
    assert found.dtype == dtype
    assert found.tolist() == [-1, 2, 3]


def test_flipping_nothing():
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(ops.flip(x, ()), x)
    assert np.array_equal(ops.flip(x, 1), x[:, ::-1])
    assert np.array_equal(ops.pad(x, (0, 0, 0, 0)), x)
    assert np.array_equal(ops.pad(x, (0, 0), mode="reflect"), x)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (
            lambda: ops.conv2d(np.ones((3, 8, 8)), np.ones((4, 3, 3, 3))),
            r"add a batch axis of 1: input\[None\]",
        ),
    ],
)
def test_hints_about_axes(call, hint):
    with pytest.raises(ValueError, match=hint):
        call()


def test_places_in_a_number_and_windows_of_one():
    assert ops.gather(np.float32(3.0), 0, np.array(0)) == 3.0
    assert ops.gather(np.float32(3.0), 0, np.array(0)).shape == ()
    assert nn.Parameter(3.0).unfold(0, 1, 1).tolist() == [3.0]
    operands = [np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)]
    assert np.array_equal(ops.einsum("ij,jk->ik", operands), operands[0] @ operands[1])


def test_lerp_reaches_its_end() -> None:
    start, end = np.full(3, 1e8, np.float32), np.array([1.0, -2.0, 0.5], np.float32)
    assert np.array_equal(ops.lerp(start, end, 1.0), end)
    assert np.array_equal(ops.lerp(start, end, 0.0), start)
