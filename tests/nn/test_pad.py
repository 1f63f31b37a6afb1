# SPDX-License-Identifier: Apache-2.0
"""Padding layers, convolutions that pad otherwise than with zeros, and layers of rectifiers, as torch's."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

LAYERS = [
    ("ReflectionPad1d(2)", (2, 3, 5)),
    ("ReplicationPad1d((3, 1))", (2, 3, 5)),
    ("CircularPad1d(2)", (2, 3, 5)),
    ("ZeroPad1d((1, 0))", (2, 3, 5)),
    ("ConstantPad1d(1, 3.5)", (2, 3, 5)),
    ("ReflectionPad2d((1, 2, 3, 0))", (2, 3, 5, 4)),
    ("ReplicationPad2d(2)", (2, 3, 5, 4)),
    ("CircularPad2d((1, 2, 0, 1))", (2, 3, 5, 4)),
    ("ZeroPad2d(1)", (2, 3, 5, 4)),
    ("ConstantPad2d((1, -1, 2, 0), 3.5)", (2, 3, 5, 4)),
    ("ReflectionPad3d(1)", (2, 3, 3, 5, 4)),
    ("ReplicationPad3d((1, 2, 0, 1, 2, 2))", (2, 3, 3, 5, 4)),
    ("CircularPad3d(1)", (2, 3, 3, 5, 4)),
    ("ZeroPad3d(1)", (2, 3, 3, 5, 4)),
    ("ConstantPad3d(1, 0.5)", (2, 3, 3, 5, 4)),
    ("Unfold((2, 3), padding=1, stride=2)", (2, 3, 5, 4)),
    ("Fold((5, 4), 2)", (2, 8, 12)),
    ("LPPool1d(2, 3, stride=2)", (2, 3, 7)),
    ("LPPool2d(2, (2, 3), ceil_mode=True)", (2, 3, 5, 4)),
    ("LPPool3d(2, 2)", (2, 3, 4, 5, 4)),
    ("CELU(0.5)", (3, 4)),
    ("Threshold(0.1, 20.0)", (3, 4)),
    ("Hardtanh(-0.5, 0.25)", (3, 4)),
    ("Hardshrink(0.3)", (3, 4)),
    ("Softshrink(0.3)", (3, 4)),
    ("PReLU()", (3, 4)),
    ("PReLU(3, init=0.1)", (2, 3, 4)),
    ("Softmin(dim=1)", (3, 4)),
    ("Softmax2d()", (2, 3, 4, 5)),
    ("GLU(dim=1)", (2, 4, 3)),
]


@pytest.mark.parametrize(("text", "shape"), LAYERS, ids=lambda value: str(value))
def test_layers_follow_torch(text, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = eval(f"nn.{text}"), eval(f"torch.nn.{text}")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, "same", "valid"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_with_a_padding_mode(mode, padding, rank):
    torch = pytest.importorskip("torch")
    arguments = {"kernel_size": 4, "padding": padding, "padding_mode": mode, "dilation": 1}
    ours = getattr(nn, f"Conv{rank}d")(2, 3, **arguments)
    theirs = getattr(torch.nn, f"Conv{rank}d")(2, 3, **arguments)
    theirs.load_state_dict({name: torch.tensor(np.array(value)) for name, value in ours.state_dict().items()})
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).normal(size=(2, 2, *(5,) * rank)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-5)


def test_a_convolution_pads_its_sides_differently():
    layer = nn.Conv2d(2, 3, 3, padding=((0, 2), (1, 0)), padding_mode="circular")
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 6)).astype(np.float32)
    wide = np.pad(x, [(0, 0), (0, 0), (0, 2), (1, 0)], mode="wrap")
    assert np.array_equal(layer(x), ops.conv2d(wide, layer.weight, layer.bias))


def test_bilinear_layer_follows_torch():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Bilinear(3, 4, 5), torch.nn.Bilinear(3, 4, 5)
    assert "bias=True" in repr(ours)
    theirs.load_state_dict({name: torch.tensor(np.array(value)) for name, value in ours.state_dict().items()})
    a, b = (np.random.default_rng(i).normal(size=(2, 6, 3 + i)).astype(np.float32) for i in (0, 1))
    np.testing.assert_allclose(
        ours(a, b), theirs(torch.tensor(a), torch.tensor(b)).detach(), rtol=1e-5, atol=1e-5
    )
    assert np.abs(np.asarray(ours.weight)).max() <= 3**-0.5


def test_a_weight_of_prelu_is_trained():
    layer = nn.PReLU(2)
    x = np.array([[-1.0, -2.0], [3.0, -4.0]], np.float32)
    (gradient,) = cc.value_and_grad(lambda a: layer(a).sum(), [layer.weight])(x)[1]
    assert gradient.tolist() == [-1.0, -6.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.pad(np.ones((2, 3)), (3, 0), "reflect"),
            "at most 2 for an extent of 3",
        ),
        (lambda: ops.pad(np.ones((2, 3)), (4, 0), "circular"), "circular padding of at most 3"),
        (lambda: ops.pad(np.ones((2, 3)), (1, 0), "mirror"), "expected mode 'constant', 'reflect'"),
        (lambda: ops.pad(np.ones((2, 3)), (1, 0), "reflect", 1.0), "no value with mode 'reflect'"),
        (lambda: nn.ReflectionPad2d((1, 2)), "padding as an int or 4 of them"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "padding_mode 'zeros' or 'reflect'"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), "expected padding_mode 'zeros'"),
        (lambda: ops.glu(np.ones((2, 3))), "an even extent along axis 1"),
        (lambda: ops.prelu(np.ones((2, 3)), np.ones(2)), r"weight \(1,\) or \(3,\)"),
        (lambda: ops.hardtanh(np.ones(3), 1.0, -1.0), "min_val of at most max_val"),
        (lambda: nn.Hardtanh(1.0, 1.0), "min_val below max_val"),
        (lambda: ops.unfold(np.ones((1, 1, 2, 2)), 3), r"it covers \(3, 3\), the image is \(2, 2\)"),
        (lambda: ops.fold(np.ones((1, 5, 4)), 3, 2), r"input \(batch, a multiple of 4, 4\)"),
        (lambda: ops.lp_pool1d(np.ones((1, 1, 4)), 0, 2), "norm_type other than 0"),
        (lambda: ops.bilinear(np.ones((2, 3)), np.ones((3, 4)), np.ones((5, 3, 4))), "got .*3.* and .*4"),
        (lambda: ops.celu(np.ones(3), 0), "alpha other than 0"),
        (lambda: ops.softshrink(np.ones(3), -1), "at least 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("padding", "pad"),
    [("valid", (0, 0, 0, 0)), ("same", (1, 2, 2, 2)), (1, (1, 1, 1, 1)), ((2, 1), (1, 1, 2, 2))],
)
def test_convolutions_that_pad_otherwise(mode: str, padding: object, pad: tuple[int, ...]) -> None:
    """Along the last axis 4 taps, along the one before 3 at a distance of 2."""
    layer = nn.Conv2d(2, 3, (3, 4), dilation=(2, 1), padding=padding, padding_mode=mode)
    x = np.random.default_rng(0).normal(size=(2, 2, 7, 8)).astype(np.float32)
    expected = ops.conv2d(ops.pad(x, pad, mode), layer.weight, layer.bias, dilation=(2, 1))
    assert np.array_equal(layer(x), expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Constant", "Zero", "Reflection", "Replication", "Circular"])
def test_one_number_is_both_sides_of_each_spatial_axis(kind, axes):
    layer = getattr(nn, f"{kind}Pad{axes}d")(*((1, 7.0) if kind == "Constant" else (1,)))
    x = np.arange(2 * 3 * 4**axes, dtype=np.float32).reshape(2, 3, *[4] * axes)
    modes = {"Reflection": "reflect", "Replication": "edge", "Circular": "wrap"}
    settings = (
        {"mode": modes[kind]} if kind in modes else {"constant_values": 7.0 if kind == "Constant" else 0.0}
    )
    np.testing.assert_array_equal(layer(x), np.pad(x, [(0, 0)] * 2 + [(1, 1)] * axes, **settings))
