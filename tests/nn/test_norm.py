# SPDX-License-Identifier: Apache-2.0
"""Normalising layers: what their arguments mean, parameters and texts as torch's."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops


def test_group_norm_layer():
    x = np.random.default_rng(0).normal(3, 2, (2, 6, 5, 4)).astype(np.float32)
    layer = nn.GroupNorm(2, 6, eps=0.1)
    layer.weight.assign(np.arange(6))
    layer.bias.assign(np.arange(6) - 3.0)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert np.array_equal(layer(x), ops.group_norm(x, 2, layer.weight, layer.bias, 0.1))
    plain = nn.GroupNorm(2, 6, eps=0.1, affine=False)
    assert list(plain.state_dict()) == []
    assert np.array_equal(plain(x), ops.group_norm(x, 2, eps=0.1))
    assert list(nn.GroupNorm(2, 6, bias=False).state_dict()) == ["weight"]
    assert repr(layer) == "GroupNorm(2, 6, eps=0.1, affine=True, bias=True)"


def test_group_norm_errors():
    with pytest.raises(ValueError, match="num_channels to divide into 4 groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"channels in 2 equal groups, got \(2, 3, 4, 4\)"):
        ops.group_norm(np.ones((2, 3, 4, 4)), 2)
    with pytest.raises(ValueError, match="more than one value per group"):
        ops.group_norm(np.ones((1, 2)), 2)
    with pytest.raises(ValueError, match=r"6 channels \(weight is \(6,\)\).*is the input channels-last"):
        nn.GroupNorm(2, 6)(np.ones((2, 4, 4, 6)))


def test_group_norm_of_values_far_from_zero():
    """Float32 sums of squares would lose the variance altogether."""
    x = np.random.default_rng(0).normal(1000.0, 1.0, (2, 4, 33, 31)).astype(np.float32)
    wide = x.astype(np.float64).reshape(2, 2, -1)
    expected = (wide - wide.mean(2, keepdims=True)) / wide.std(2, keepdims=True)
    error = np.abs(ops.group_norm(x, 2, eps=0.0) - expected.reshape(x.shape)).max()
    assert error < 4 * 1000.0 * np.finfo(np.float32).eps


def test_group_norm_of_no_rows():
    assert ops.group_norm(np.ones((0, 4, 3, 3)), 2).shape == (0, 4, 3, 3)


LAYERS = [
    ("BatchNorm2d(3, momentum=None)", (4, 3, 5, 6)),
    ("BatchNorm1d(3, track_running_stats=False)", (4, 3, 5)),
    ("BatchNorm3d(3, bias=False)", (4, 3, 2, 5, 6)),
    ("BatchNorm2d(3, affine=False)", (4, 3, 5, 6)),
    ("InstanceNorm1d(3)", (4, 3, 5)),
    ("InstanceNorm2d(3, momentum=None, track_running_stats=True, affine=True)", (4, 3, 5, 6)),
    ("InstanceNorm3d(3, momentum=0.3, track_running_stats=True)", (4, 3, 2, 5, 6)),
    ("GroupNorm(3, 6)", (2, 6, 5)),
    ("LayerNorm(6)", (2, 5, 6)),
    ("LayerNorm((5, 6), eps=0.1, bias=False)", (2, 5, 6)),
    ("LayerNorm([3, 5, 6], elementwise_affine=False)", (2, 3, 5, 6)),
    ("RMSNorm(6)", (2, 5, 6)),
    ("RMSNorm((5, 6), eps=0.1, elementwise_affine=False)", (2, 5, 6)),
    ("LocalResponseNorm(3, alpha=0.5)", (2, 6, 4, 4)),
]


@pytest.mark.parametrize(("text", "shape"), LAYERS, ids=lambda value: str(value))
def test_layers_follow_torch_through_training_and_evaluation(text, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = eval(f"nn.{text}"), eval(f"torch.nn.{text}")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for seed in range(3):
        x = np.random.default_rng(seed).normal(seed, 1.5, shape).astype(np.float32)
        np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), rtol=2e-5, atol=2e-5)
    for name, value in theirs.state_dict().items():
        if name == "num_batches_tracked":
            continue
        np.testing.assert_allclose(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    ours.eval(), theirs.eval()
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), rtol=2e-5, atol=2e-5)


def test_a_plain_average_of_all_batches():
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [np.random.default_rng(i).normal(i, 1, (5, 2)).astype(np.float32) for i in range(4)]
    for batch in batches:
        layer(batch)
    means, variances = (
        np.mean([b.mean(0) for b in batches], 0),
        np.mean([b.var(0, ddof=1) for b in batches], 0),
    )
    np.testing.assert_allclose(layer.running_mean, means, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, variances, rtol=1e-5)
    assert int(layer.num_batches_tracked) == 4


def test_sync_batch_norm_is_batch_norm_of_one_process():
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype(np.float32)
    layer, plain = nn.SyncBatchNorm(3), nn.BatchNorm2d(3)
    assert np.array_equal(layer(x), plain(x))
    assert list(layer.state_dict()) == list(plain.state_dict())
    with pytest.raises(ValueError, match="the processes are those of comm="):
        nn.SyncBatchNorm(3, process_group=object())


def test_layer_norm_between_linear_layers_copies_nothing():
    model = nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.Linear(16, 8), nn.RMSNorm(8))
    steps = [row["step"] for row in cc.compile(model, (2, 5, 12)).explain()]
    assert steps == ["conv_forward", "row_norm", "conv_forward", "row_norm"]


class Block(nn.Module):
    """ConvNeXt's: layer norm and linear layers over the channels of an image."""

    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x):
        y = ops.permute(self.depthwise(x), (0, 2, 3, 1))
        y = self.narrow(ops.gelu(self.wide(self.norm(y))))
        return x + ops.permute(y, (0, 3, 1, 2))


def test_layer_norm_over_channels_of_images_copies_nothing():
    steps = [row["step"] for row in cc.compile(Block(), (2, 8, 9, 10)).explain()]
    assert not any("copy" in step for step in steps), steps


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LayerNorm(5)(np.ones((2, 4))), r"expected input \(\.\.\., 5\), got \(2, 4\)"),
        (
            lambda: ops.layer_norm(np.ones((2, 4)), 4, np.ones(3)),
            r"expected weight of shape \(4,\), got \(3,\)",
        ),
        (lambda: nn.LayerNorm(()), "normalized_shape of at least one axis"),
        (lambda: ops.instance_norm(np.ones((2, 3, 1))), "more than one value per channel of a sample"),
        (lambda: ops.instance_norm(np.ones((2, 3))), "at least 3 axes"),
        (
            lambda: nn.InstanceNorm2d(3)(np.ones((2, 3, 4))),
            r"expected input \(batch, channels, height, width\)",
        ),
        (lambda: ops.local_response_norm(np.ones((2, 3)), 2), "at least 3 axes"),
        (lambda: nn.BatchNorm2d(3, momentum=2.0), "momentum from 0 to 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_far_from_zero_and_of_no_rows():
    x = np.random.default_rng(0).normal(1000.0, 1.0, (7, 5000)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    error = np.abs(ops.layer_norm(x, 5000, eps=0.0) - expected).max()
    assert error < 4 * 1000.0 * np.finfo(np.float32).eps
    assert ops.layer_norm(np.ones((0, 4)), 4).shape == (0, 4)
    assert ops.local_response_norm(np.ones((0, 4, 2)), 3).shape == (0, 4, 2)


def test_gradients_at_zero_are_zero():
    for p in (0.5, 1.0, 1.5, 2.0, 3.0, np.inf):
        for function in (
            lambda x, p=p: ops.normalize(x, p).sum(),
            lambda x, p=p: ops.pairwise_distance(x, x * 0.0, p, 0.0).sum(),
        ):
            assert np.isfinite(cc.grad(function)(np.zeros((2, 3), np.float32))).all()


PLACED = {
    "BatchNorm1d": (3,),
    "BatchNorm2d": (3,),
    "BatchNorm3d": (3,),
    "SyncBatchNorm": (3,),
    "InstanceNorm1d": (3,),
    "InstanceNorm2d": (3,),
    "InstanceNorm3d": (3,),
    "GroupNorm": (1, 3),
    "LayerNorm": (3,),
    "RMSNorm": (3,),
    "PReLU": (3,),
}


@pytest.mark.parametrize("name", PLACED)
def test_device_and_dtype_are_a_cpu_and_float32(name):
    layer = getattr(nn, name)
    layer(*PLACED[name], device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="computes on CPUs"):
        layer(*PLACED[name], device="cuda")
    with pytest.raises(ValueError, match="float32"):
        layer(*PLACED[name], dtype="float64")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_instance_norm_without_a_bias(axes):
    layer = getattr(nn, f"InstanceNorm{axes}d")(3, affine=True, bias=False)
    assert list(layer.state_dict()) == ["weight"]
