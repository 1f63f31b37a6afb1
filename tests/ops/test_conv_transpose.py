# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution: values, gradients and fusion; whole numbers, whose float32 sums are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import nn, ops
from cnncore.compiler.autodiff import add_gradients
from cnncore.graph.trace import current_graph
from oracle import assert_close

Array = NDArray[Any]

SETTINGS = [
    {},
    {"stride": 2},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (3, 1), "padding": (0, 2), "dilation": (1, 2)},
    {"stride": 2, "groups": 2, "output_padding": (0, 1)},
    {"dilation": 3, "padding": (2, 1), "output_padding": 2},
    {"padding": (4, 2), "dilation": 3},
]


def whole(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float32)


def two(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def scattered(x: Array, weight: Array, bias: Array | None = None, **options: Any) -> Array:
    """The definition in float64: each pixel adds its multiple of the filters, then the edges are cut."""
    groups = options.get("groups", 1)
    stride, dilation = two(options.get("stride", 1)), two(options.get("dilation", 1))
    padding, added = two(options.get("padding", 0)), two(options.get("output_padding", 0))
    batch, channels, *size = x.shape
    inputs, outputs, *kernel = channels // groups, *weight.shape[1:]
    reach = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    full = np.zeros((batch, groups * outputs, reach[0] + added[0], reach[1] + added[1]))
    for i, j in np.ndindex(*size):
        for u, v in np.ndindex(*kernel):
            target = full[:, :, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]]
            for g in range(groups):
                own = slice(g * inputs, (g + 1) * inputs)
                target[:, g * outputs : (g + 1) * outputs] += (
                    ref.float64(x[:, own, i, j]) @ weight[own, :, u, v]
                )
    result = full[:, :, padding[0] : full.shape[2] - padding[0], padding[1] : full.shape[3] - padding[1]]
    return result if bias is None else result + bias[:, None, None]


@pytest.mark.parametrize("options", SETTINGS)
def test_values_are_exact(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, bias = whole(rng, 2, 4, 4, 3), whole(rng, 6)
    weight = whole(rng, 4, 6 // options.get("groups", 1), 3, 2)
    np.testing.assert_array_equal(ops.conv_transpose2d(x, weight, **options), scattered(x, weight, **options))
    np.testing.assert_array_equal(
        ops.conv_transpose2d(x, weight, bias, **options), scattered(x, weight, bias, **options)
    )


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    added=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_any_geometry(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    added: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    channels: tuple[int, int],
) -> None:
    assume(all(a < max(s, d) for a, s, d in zip(added, stride, dilation, strict=True)))
    rng = np.random.default_rng(1)
    x, weight = (
        whole(rng, 2, groups * channels[0], *size),
        whole(rng, groups * channels[0], channels[1], *kernel),
    )
    bias = whole(rng, groups * channels[1])
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": added,
        "dilation": dilation,
        "groups": groups,
    }
    expected = scattered(x, weight, bias, **options)
    assume(expected.size > 0)
    np.testing.assert_array_equal(ops.conv_transpose2d(x, weight, bias, **options), expected)


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("activation", [None, ops.relu, ops.relu6])
def test_gradients_are_exact(options: dict[str, Any], activation: Any) -> None:
    rng = np.random.default_rng(2)
    groups = options.get("groups", 1)
    arrays = whole(rng, 2, 4, 4, 3), whole(rng, 4, 6 // groups, 3, 2), whole(rng, 6)
    before = scattered(*arrays, **options)
    weights = whole(rng, *before.shape)
    parameters = [nn.Parameter(array) for array in arrays]

    def loss() -> Any:
        y = ops.conv_transpose2d(*parameters, **options)
        return ops.sum((y if activation is None else activation(y)) * weights)

    _, (grad_x, grad_weight, grad_bias) = cc.value_and_grad(loss, parameters)()
    passes = (before > 0) & ((before < 6) | (activation is not ops.relu6)) | (activation is None)
    grad = ref.float64(weights * passes)
    np.testing.assert_array_equal(grad_bias, grad.sum((0, 2, 3)))
    for array, found, place in ((arrays[0], grad_x, 0), (arrays[1], grad_weight, 1)):
        for index in rng.choice(array.size, 20, replace=False):
            unit = [arrays[0], arrays[1]]
            unit[place] = np.eye(1, array.size, index).reshape(array.shape)
            assert found.flat[index] == (scattered(*unit, **options) * grad).sum()


def test_gradients_of_gradients() -> None:
    rng = np.random.default_rng(3)
    x, weight = whole(rng, 1, 2, 3, 3) / 4, whole(rng, 2, 2, 3, 3) / 4

    def gradient(x: Any, weight: Any) -> Any:
        loss = ops.sum(ops.square(ops.conv_transpose2d(x, weight, stride=2, padding=1)))
        return add_gradients(current_graph(), loss, [x])[0]

    cc.grad_check(gradient, [x, weight])


def test_it_is_the_adjoint_of_the_convolution() -> None:
    rng = np.random.default_rng(4)
    x, weight, y = whole(rng, 2, 6, 7, 8), whole(rng, 4, 3, 3, 3), whole(rng, 2, 4, 4, 4)
    options: dict[str, Any] = {"stride": 2, "padding": 1, "groups": 2}
    forward = ops.conv2d(x, weight, **options)
    back = ops.conv_transpose2d(y, weight, output_padding=(0, 1), **options)
    assert (forward * y).sum() == (x * back).sum()


def test_accepts_any_strides_and_integers() -> None:
    rng = np.random.default_rng(5)
    x, weight = whole(rng, 2, 4, 5, 3), whole(rng, 4, 2, 2, 2)
    expected = ops.conv_transpose2d(x, weight, stride=2)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    np.testing.assert_array_equal(ops.conv_transpose2d(last, weight.astype(np.int64), stride=2), expected)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((4, 5, 5), (4, 2, 2, 2)), {}, "expected input with 4 axes"),
        (((1, 4, 5, 5), (4, 2, 2)), {}, r"expected weight \(in channels, out channels / groups"),
        (((1, 3, 5, 5), (4, 2, 2, 2)), {}, r"expected input with 4 channels \(weight is \(4, 2, 2, 2\)\)"),
        (((1, 5, 5, 4), (4, 2, 2, 2)), {}, "is the input channels-last?"),
        (((1, 4, 5, 5), (4, 2, 2, 2)), {"groups": 3}, "input channels divisible by groups, got 4 and 3"),
        (((1, 4, 5, 5), (4, 2, 2, 2), (3,)), {}, r"expected bias of shape \(2,\)"),
        (((1, 4, 5, 5), (4, 2, 2, 2), (2,)), {"groups": 2}, r"expected bias of shape \(4,\)"),
        (((1, 4, 5, 5), (4, 2, 2, 2)), {"output_padding": 1}, "output_padding smaller than stride"),
        (((1, 4, 1, 1), (4, 2, 2, 2)), {"padding": 1}, r"leaves some output, got extents \(0, 0\)"),
        (((1, 4, 5, 5), (4, 2, 2, 2)), {"stride": (1, 2, 3)}, "stride to be an int or 2 ints"),
        (((1, 4, 5, 5), (4, 2, 2, 2)), {"padding": -1}, "padding of at least 0"),
        (((1, 4, 5, 5), (4, 2, 2, 2)), {"groups": 0}, "groups of at least 1"),
    ],
)
def test_errors(shapes: tuple[tuple[int, ...], ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^\[conv_transpose2d\].*{message}"):
        ops.conv_transpose2d(*(np.zeros(shape) for shape in shapes), **options)


class UpBlock(nn.Module):
    """A transposed convolution with all that may be fused into it."""

    def __init__(self, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=groups, bias=bias)
        self.bn = nn.BatchNorm2d(6)
        rng = np.random.default_rng(6)
        for stored in (*self.parameters(), self.bn.running_mean, self.bn.running_var):
            stored.assign(rng.uniform(0.25, 1.5, stored.shape))

    def forward(self, x: Any, skip: Any) -> Any:
        return ops.relu(self.bn(self.up(x)) + skip)


@pytest.mark.parametrize(("groups", "bias"), [(1, True), (1, False), (2, True)])
def test_norm_residual_and_activation_are_one_step(
    groups: int, bias: bool, unfused: Callable[[], None]
) -> None:
    model = UpBlock(groups, bias).eval()
    rng = np.random.default_rng(7)
    x, skip = rng.normal(size=(2, 4, 3, 5)), rng.normal(size=(2, 6, 6, 10))
    predictor = cc.compile(model, (x.shape, skip.shape))
    assert [row["step"] for row in predictor.explain()] == ["conv_backward_data"]
    fused = predictor(x, skip)
    unfused()
    plain = cc.compile(model, (x.shape, skip.shape))
    assert len(plain.explain()) > 3
    # Four products a pixel, their weights rounded once more, the shift and the skip.
    assert_close(fused, plain(x, skip), ulps=16.0, magnitude=np.abs(fused).max())


@pytest.mark.parametrize("training", [True, False])
def test_fused_gradients_equal_unfused(training: bool, unfused: Callable[[], None]) -> None:
    model = UpBlock().train(training)
    rng = np.random.default_rng(8)
    x, skip = rng.normal(size=(2, 4, 3, 5)), rng.normal(size=(2, 6, 6, 10))
    parameters = dict(model.named_parameters())

    def loss(x: Any, skip: Any) -> Any:
        return ops.mean(ops.square(model(x, skip)))

    value, grads = cc.value_and_grad(loss, parameters)(x, skip)
    unfused()
    plain_value, plain = cc.value_and_grad(loss, parameters)(x, skip)
    assert_close(value, plain_value, ulps=64.0)
    for name, grad in grads.items():
        assert_close(grad, plain[name], ulps=512.0, magnitude=max(np.abs(plain[name]).max(), 1e-2))
