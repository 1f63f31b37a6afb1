# SPDX-License-Identifier: Apache-2.0
"""Activations in the step that makes their argument: the same numbers as a step of their own."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.ops.activation import FUSABLE

RNG = np.random.default_rng(0)
NAMES = sorted(FUSABLE)
CURVED = ["gelu", "silu", "elu", "sigmoid"]


def activation(name):
    if name == "gelu_tanh":
        return lambda x: ops.gelu(x, approximate="tanh")
    return getattr(ops, name)


TRAINED = {
    **{name: activation(name) for name in CURVED},
    "relu": ops.relu,
    "elu 0.3": lambda x: ops.elu(x, 0.3),
    "leaky_relu 0.3": lambda x: ops.leaky_relu(x, 0.3),
}


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


# Name -> input, weight, arguments: each takes another algorithm or kernel of the epilogue.
CONVOLUTIONS = {
    "direct": (array(2, 5, 9, 8), array(19, 5, 3, 3), {"stride": 2}),
    "narrow": (array(2, 4, 9, 8), array(7, 4, 3, 3), {"padding": 1}),
    "winograd": (array(2, 32, 13, 14), array(40, 32, 3, 3), {"padding": 1}),
    "depthwise": (array(2, 21, 9, 11), array(21, 1, 3, 3), {"padding": 1, "groups": 21}),
    "groups of 8": (array(2, 24, 9, 15), array(24, 8, 3, 3), {"padding": 1, "groups": 3}),
    "depthwise pairs": (array(2, 48, 14, 14), array(48, 1, 3, 3), {"padding": 1, "groups": 48}),
    "grouped": (array(2, 6, 7, 7), array(9, 2, 3, 3), {"groups": 3}),
}


class Layer(nn.Module):
    """Convolution and activation, with or without a residual; apart, something else sees the argument."""

    def __init__(self, weight, bias, function, arguments, transposed, apart):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.function, self.arguments = function, arguments
        self.transposed, self.apart = transposed, apart

    def forward(self, x):
        convolve = ops.conv_transpose2d if self.transposed else ops.conv2d
        y = convolve(x, self.weight, self.bias, **self.arguments)
        return (self.function(y), y) if self.apart else self.function(y)


def layers(function, weight, arguments, transposed=False):
    channels = weight.shape[1] * arguments.get("groups", 1) if transposed else weight.shape[0]
    bias = array(channels)
    return [Layer(weight, bias, function, arguments, transposed, apart) for apart in (False, True)]


def assert_trains_as_two_steps(layer, x):
    """The gradients are those of the convolution, given the activation's own gradient."""
    loss, grads = cc.value_and_grad(lambda a: (layer(a) * 0.5).sum(), [layer.weight, layer.bias])(x)
    function, layer.function = layer.function, lambda y: y
    by_argument = cc.grad(lambda y: (function(y) * 0.5).sum())(layer(x))
    _, expected = cc.value_and_grad(lambda a: (layer(a) * by_argument).sum(), [layer.weight, layer.bias])(x)
    np.testing.assert_allclose(loss, float(function(layer(x)).sum()) * 0.5, rtol=1e-5)
    for a, b in zip(grads, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_convolution(name, case):
    x, weight, arguments = CONVOLUTIONS[case]
    fused, apart = layers(activation(name), weight, arguments)
    program = cc.compile(fused, x.shape)
    assert [row["step"] for row in program.explain()].count("elementwise") == 0
    np.testing.assert_array_equal(program(x), cc.compile(apart, x.shape)(x)[0])


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("name", TRAINED)
def test_training_of_a_convolution(name, case):
    x, weight, arguments = CONVOLUTIONS[case]
    fused, _ = layers(TRAINED[name], weight, arguments)
    assert_trains_as_two_steps(fused, x)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("channels", [3, 24])
def test_transposed_convolution(name, channels):
    x, weight = array(2, 16, 7, 6), array(16, channels, 4, 4)
    fused, apart = layers(TRAINED[name], weight, {"stride": 2, "padding": 1}, transposed=True)
    np.testing.assert_array_equal(cc.compile(fused, x.shape)(x), cc.compile(apart, x.shape)(x)[0])
    assert_trains_as_two_steps(fused, x)


class Dense(nn.Module):
    def __init__(self, inputs, outputs, function):
        super().__init__()
        self.linear, self.function = nn.Linear(inputs, outputs), function

    def forward(self, x):
        return self.function(self.linear(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outputs", [5, 1100])
def test_linear(name, outputs):
    x = array(3, 1000)
    layer = Dense(1000, outputs, activation(name))
    program = cc.compile(layer, x.shape)
    assert len(program.explain()) == 1
    np.testing.assert_array_equal(program(x), activation(name)(cc.compile(layer.linear, x.shape)(x)))


class Normalised(nn.Module):
    def __init__(self, channels, function, residual):
        super().__init__()
        self.bn, self.function, self.residual = nn.BatchNorm2d(channels), function, residual

    def forward(self, x):
        y = self.bn(x)
        return self.function(y + x if self.residual else y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("residual", [False, True])
def test_batch_norm(name, residual):
    torch = pytest.importorskip("torch")
    x = array(4, 11, 5, 3)
    layer = Normalised(11, activation(name), residual)
    layer.bn.weight.assign(RNG.uniform(0.5, 1.5, 11))
    layer.bn.bias.assign(RNG.normal(size=11))
    loss, grads = cc.value_and_grad(lambda a: (layer(a) * 0.5).sum(), [layer.bn.weight, layer.bn.bias])(x)
    weight, bias = (
        torch.tensor(np.array(p, copy=True), dtype=torch.float64, requires_grad=True)
        for p in (layer.bn.weight, layer.bn.bias)
    )
    data = torch.tensor(x, dtype=torch.float64)
    y = torch.nn.functional.batch_norm(data, None, None, weight, bias, training=True)
    y = y + data if residual else y
    functional = torch.nn.functional
    known = functional.gelu(y, approximate="tanh") if name == "gelu_tanh" else getattr(functional, name)(y)
    total = (known * 0.5).sum()
    total.backward()
    np.testing.assert_allclose(float(loss), float(total.detach()), rtol=1e-5, atol=1e-4)
    for got, wanted in zip(grads, (weight, bias), strict=True):
        np.testing.assert_allclose(got, wanted.grad.numpy(), rtol=1e-4, atol=1e-4)


def training_steps(model, x):
    step = cc.train_step(lambda a: (model(a) * 0.5).sum(), cc.optim.SGD(model.parameters(), lr=0.0))
    step(x)
    return [row["step"] for row in step.explain()]


def test_training_has_no_step_for_the_activation():
    for name in ("gelu", "sigmoid"):
        fused, _ = layers(activation(name), *CONVOLUTIONS["direct"][1:])
        steps = training_steps(fused, CONVOLUTIONS["direct"][0])
        assert "elementwise" not in steps[: steps.index("conv_forward") + 1]
        assert "activation_backward" in steps
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
    assert "activation_backward" not in training_steps(model, array(2, 3, 8, 8))


def test_max_pooling_stays_after_functions_that_do_not_grow():
    x = array(2, 8, 12, 12)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    for layer in (nn.GELU(), nn.Hardswish(), nn.Mish(), nn.Sigmoid()):
        model = nn.Sequential(conv, layer, nn.MaxPool2d(2))
        wanted = ops.max_pool2d(layer(conv(x)), 2)
        np.testing.assert_allclose(cc.compile(model, x.shape)(x), wanted, rtol=1e-5, atol=1e-6)
        weight = conv.weight
        _, (grad,) = cc.value_and_grad(lambda a, m=model: m(a).sum(), [weight])(x)
        apart = cc.value_and_grad(
            lambda a, f=layer: (ops.max_pool2d(f(conv(a)) + 0.0 * conv(a), 2)).sum(), [weight]
        )
        np.testing.assert_allclose(grad, apart(x)[1][0], rtol=1e-4, atol=1e-4)


class GroupNormalised(nn.Module):
    def __init__(self, function, apart):
        super().__init__()
        self.norm, self.function, self.apart = nn.GroupNorm(3, 12), function, apart

    def forward(self, x):
        y = self.norm(x)
        return (self.function(y), y) if self.apart else self.function(y)


@pytest.mark.parametrize("name", NAMES)
def test_group_norm(name):
    x = array(2, 12, 7, 5)
    fused, apart = GroupNormalised(activation(name), False), GroupNormalised(activation(name), True)
    for layer in (fused, apart):
        layer.norm.weight.assign(np.linspace(0.5, 1.5, 12))
        layer.norm.bias.assign(np.linspace(-1.0, 1.0, 12))
        layer.weight, layer.bias = layer.norm.weight, layer.norm.bias
    program = cc.compile(fused, x.shape)
    assert [row["step"] for row in program.explain()] == ["group_norm"]
    np.testing.assert_array_equal(program(x), cc.compile(apart, x.shape)(x)[0])
    assert_trains_as_two_steps(fused, x)
