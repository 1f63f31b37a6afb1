# SPDX-License-Identifier: Apache-2.0
"""Tracing: what a function may do, what it may not, and what its errors say."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.tensor import Tensor
from cnncore.graph.trace import trace
from oracle import assert_close

X = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3, 4, 5)).astype(np.float32)


class Apply(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, *inputs):
        return self.fn(*inputs)


def run(fn, *arrays):
    return Apply(fn)(*arrays)


OPERATORS = {
    "arithmetic": lambda x: (2.0 - x) / (x + 1) * x**2 - -x / 3 + 1 / x,
    "comparisons": lambda x: (x > 1) + (x >= 1) * 2 + (x < 1) * 4 + (x <= 1) * 8,
    "indexing": lambda x: x[0, ..., 1:3] + x[1, :, ::-1, -2:],
    "reductions": lambda x: x.sum((2, 3)) + x.mean((2, 3)) * x.max() - x.min(),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_mean_what_they_mean_in_numpy(name):
    fn = OPERATORS[name]
    assert_close(run(fn, X), np.float64(fn(X)), ulps=16.0, magnitude=8.0)


def test_methods_and_shapes():
    def fn(x):
        assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3, 4, 5), 4, 120, "float32", 2)
        first, second = x
        return first.permute(1, 2, 0).reshape(4, -1).transpose(0, 1) @ second.flatten().reshape((4, 15)), x.T

    y, z = run(fn, X)
    left = X[0].transpose(1, 2, 0).reshape(4, -1).T
    assert_close(y, left @ X[1].reshape(4, 15), ulps=16.0)
    assert np.array_equal(z, X.T)


def test_numpy_arrays_on_the_left_leave_the_operator_to_the_tensor():
    weights = np.arange(5, dtype=np.float64)
    assert_close(run(lambda x: weights * x + np.float32(1.0) - np.ones((4, 1)), X), weights * X, ulps=2.0)


def test_results_in_any_nesting():
    result = run(lambda x: {"a": x + 1, "b": [x * 2, (None, 3)], "c": x}, X)
    assert np.array_equal(result["a"], X + 1)
    assert np.array_equal(result["b"][0], X * 2)
    assert result["b"][1] == (None, 3)
    assert np.array_equal(result["c"], X)


def test_inputs_in_any_nesting():
    def fn(pair, extra):
        return pair[0] + pair[1] * extra["scale"]

    assert np.array_equal(run(fn, [X, X], {"scale": X}), X + X * X)
    assert np.array_equal(run(fn, [X, X], {"scale": 2.0}), X + X * 2)
    assert np.array_equal(run(fn, [X, X], {"scale": 3.0}), X + X * 3)


def test_outputs_never_share_memory_with_inputs_or_parameters():
    parameter = nn.Parameter(np.ones(3))

    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.parameter = parameter

        def forward(self, x):
            return x, x, self.parameter, x.reshape(-1)

    x = X.copy()
    first, second, third, flat = Same()(x)
    for array in (first, second, third, flat):
        array[...] = 0
    assert np.array_equal(x, X)
    assert np.array_equal(np.asarray(parameter), np.ones(3))


def test_branches_on_values_are_refused():
    with pytest.raises(TypeError, match="has no value while a function is being traced"):
        run(lambda x: x if x.sum() > 0 else -x, X)
    with pytest.raises(TypeError, match="has no value"):
        run(lambda x: np.exp(x) if False else float(x.sum()), X)


def test_tensors_do_not_leave_their_function():
    kept = []
    run(lambda x: kept.append(x) or x * 2, X)
    with pytest.raises(ValueError, match="comes from another traced function"):
        run(lambda x: x + kept[0], X)
    with pytest.raises(RuntimeError, match="inside a traced function"):
        ops.relu(kept[0])


def test_a_failed_trace_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        run(lambda x: 1 / 0, X)
    assert np.array_equal(ops.relu(X), X)


def test_errors_name_the_path_of_the_layer():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU()), nn.Conv2d(8, 4, 3))
    message = (
        r"^\[1\] expected input with 8 channels \(weight is \(4, 8, 3, 3\), groups=1\), got \(1, 64, 7, 7\)\."
    )
    with pytest.raises(ValueError, match=message):
        model(np.zeros((1, 3, 9, 9), np.float32))
    with pytest.raises(
        ValueError, match=r"\[0\.0\] .* is the input channels-last\? Axes mean \(batch, channels"
    ):
        model(np.zeros((1, 9, 9, 3), np.float32))


CONV_ERRORS = [
    ({"weight": (4, 3, 3)}, r"expected weight \(out channels, in channels / groups, \*kernel\)"),
    (
        {"groups": 2},
        r"expected input with 6 channels \(weight is \(4, 3, 3, 3\), groups=2\), got \(1, 3, 8, 8\)",
    ),
    ({"groups": 3}, "expected output channels divisible by groups, got 4 and 3"),
    ({"groups": 0}, "expected groups of at least 1, got 0"),
    ({"input": (3, 8, 8)}, r"expected input with 4 axes .* got shape \(3, 8, 8\)\. .*input\[None\]"),
    (
        {"input": (1, 3, 2, 8)},
        r"expected an input at least as large as the kernel.*padded input is \(2, 8\)",
    ),
    ({"dilation": 4}, r"the kernel covers \(9, 9\)"),
    (
        {"weight": (4, 3, 13, 13), "padding": (1, 2)},
        r"the kernel covers \(13, 13\).*the padded input is \(10, 12\) \(input is \(1, 3, 8, 8\)\)",
    ),
    ({"padding": -1}, "expected padding of at least 0, got -1"),
    ({"padding": "full"}, "expected padding as numbers, 'same' or 'valid', got 'full'"),
    ({"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
    ({"stride": 0}, "expected stride of at least 1, got 0"),
    ({"stride": (1, 2, 3)}, "expected stride to be an int or 2 ints"),
    ({"bias": (5,)}, r"expected bias of shape \(4,\) .* got \(5,\)"),
    ({"input": (2, 3, 0, 8)}, r"expected a non-empty array, got shape \(2, 3, 0, 8\)"),
]


@pytest.mark.parametrize(("change", "message"), CONV_ERRORS)
def test_convolution_says_what_it_expected(change, message):
    arguments = {"input": (1, 3, 8, 8), "weight": (4, 3, 3, 3), "bias": None, **change}
    for name in ("input", "weight", "bias"):
        if arguments[name] is not None:
            arguments[name] = np.ones(arguments[name], np.float32)
    with pytest.raises(ValueError, match=r"\[conv2d\] .*" + message):
        ops.conv2d(**arguments)


def test_channels_in_the_last_axis_are_seen_in_every_rank():
    for rank, conv in enumerate((ops.conv1d, ops.conv2d, ops.conv3d), 1):
        weight = np.ones((4, 3, *(3,) * rank))
        with pytest.raises(ValueError, match=r"The last axis is 3: is the input channels-last\?"):
            conv(np.ones((1, *(9,) * rank, 3)), weight)
        with pytest.raises(ValueError, match=r"expected input with 3 channels [^?]*$"):
            conv(np.ones((1, *(9,) * rank, 5)), weight)


def test_linear_says_what_it_expected():
    with pytest.raises(ValueError, match=r"expected input with 12 features .*Is a Flatten missing"):
        ops.linear(np.ones((2, 3, 2, 2)), np.ones((4, 12)))
    with pytest.raises(ValueError, match=r"expected bias of shape \(4,\)"):
        ops.linear(np.ones((2, 12)), np.ones((4, 12)), np.ones(3))
    with pytest.raises(ValueError, match=r"expected the first's last axis to match the second's rows"):
        ops.matmul(np.ones((2, 3)), np.ones((4, 2)))


def test_types_of_settings_are_checked():
    x, w = np.ones((1, 3, 8, 8)), np.ones((4, 3, 3, 3))
    for settings in ({"stride": 1.5}, {"stride": "1"}, {"groups": 1.0}, {"dilation": True}):
        with pytest.raises(TypeError, match=r"\[conv2d\] expected"):
            ops.conv2d(x, w, **settings)
    with pytest.raises(TypeError, match="expected an array of real numbers, got dtype complex128"):
        ops.conv2d(x * 1j, w)


class Interface:
    def __init__(self, array):
        self.__array_interface__ = array.__array_interface__
        self.kept = array


class Dlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **settings):
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [Interface, Dlpack, memoryview, lambda a: a.tolist(), nn.Parameter])
def test_other_array_types(wrap):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert ops.add(wrap(x), 1.0).tolist() == (x + 1).tolist()


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.arange(6.0, requires_grad=True)
    assert ops.add(x, 1.0).tolist() == [1, 2, 3, 4, 5, 6]


def test_images_of_bytes_enter_as_floats():
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6), dtype=np.uint8)
    conv = nn.Conv2d(3, 4, 3)
    assert np.array_equal(conv(image), conv(image.astype(np.float32)))


def test_graphs_hold_parameters_once():
    linear = nn.Linear(5, 5)
    graph, result = trace(lambda x: linear(linear(x)), [X])
    assert isinstance(result, Tensor)
    assert len(graph.stored) == 2


def test_summary_names_are_exported():
    assert set(cc.__all__) <= set(dir(cc))
    for name in cc.__all__:
        assert getattr(cc, name) is not None
