# SPDX-License-Identifier: Apache-2.0
"""Batch norm: training and inference against the float64 reference and torch, running statistics, errors."""

import numpy as np
import pytest

import reference
from cnncore import nn, ops
from oracle import assert_close, check_gradients

SHAPES = [(8, 3), (4, 5, 6), (3, 17, 5, 7), (2, 64, 9, 9)]


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(1.5, 2.0, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_training_normalises_each_channel(shape):
    x = draw(shape)
    axes = (0, *range(2, x.ndim))
    x64 = x.astype(np.float64)
    center = x64 - x64.mean(axes, keepdims=True)
    expected = center / np.sqrt(x64.var(axes, keepdims=True) + 1e-5)
    assert_close(
        ops.batch_norm(x, None, None, training=True), expected, ulps=8.0, magnitude=np.abs(expected).max()
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_gradients(shape, training):
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    mean, var = draw(shape[1], 1), np.abs(draw(shape[1], 2)) + 0.5
    arrays = [draw(shape), draw(shape[1], 3), draw(shape[1], 4)]

    def theirs(x, w, b):
        running = torch.tensor(mean, dtype=torch.float64), torch.tensor(var, dtype=torch.float64)
        return functional.batch_norm(x, *running, w, b, training=training)

    check_gradients(
        lambda x, w, b: ops.batch_norm(x, mean, var, w, b, training=training), theirs, arrays, ulps=128.0
    )


def test_running_statistics_follow_torch():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm2d(5, momentum=0.3), torch.nn.BatchNorm2d(5, momentum=0.3)
    for seed in range(4):
        x = draw((4, 5, 6, 7), seed)
        ours(x)
        theirs(torch.tensor(x))
    assert_close(np.asarray(ours.running_mean), theirs.running_mean.numpy(), ulps=8.0)
    assert_close(np.asarray(ours.running_var), theirs.running_var.numpy(), ulps=8.0)
    assert int(ours.num_batches_tracked) == 4


def test_a_layer_called_twice_updates_its_statistics_twice():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    x, y = draw((2, 3, 4, 4)), draw((2, 3, 4, 4), 1)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = ours

        def forward(self, a, b):
            return self.norm(a) + self.norm(b)

    Twice()(x, y)
    theirs(torch.tensor(x))
    theirs(torch.tensor(y))
    assert_close(np.asarray(ours.running_mean), theirs.running_mean.numpy(), ulps=8.0)
    assert_close(np.asarray(ours.running_var), theirs.running_var.numpy(), ulps=8.0)


def test_inference_leaves_the_statistics_alone():
    norm = nn.BatchNorm2d(3).eval()
    before = np.array(norm.running_mean), np.array(norm.running_var)
    norm(draw((2, 3, 4, 4)))
    assert np.array_equal(before, (np.asarray(norm.running_mean), np.asarray(norm.running_var)))
    assert int(norm.num_batches_tracked) == 0


def test_large_means_do_not_ruin_the_variance():
    x = (draw((16, 4, 8, 8)) + 1000.0).astype(np.float32)
    x64 = x.astype(np.float64)
    expected = (x64 - x64.mean((0, 2, 3), keepdims=True)) / x64.std((0, 2, 3), keepdims=True)
    # The inputs themselves are rounded to 1000 * eps; nothing may be added to that but a few ulps of it.
    assert_close(ops.batch_norm(x, None, None, training=True, eps=0.0), expected, ulps=4.0, magnitude=1000.0)


def test_errors_name_the_layer():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match=r"\[1\] expected more than one value per channel when training"):
        model(np.ones((1, 1, 1, 1), np.float32))
    with pytest.raises(
        ValueError, match=r"expected input with 3 channels \(running_mean is \(3,\)\), got \(2, 5, 4, 3\)"
    ):
        nn.BatchNorm2d(3)(np.ones((2, 5, 4, 3), np.float32))
    with pytest.raises(ValueError, match="is the input channels-last"):
        nn.BatchNorm2d(3)(np.ones((2, 5, 4, 3), np.float32))
    with pytest.raises(ValueError, match="expected running_mean and running_var when not training"):
        ops.batch_norm(np.ones((2, 3)), None, None)


@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0, None])
@pytest.mark.parametrize("layer", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_running_statistics_move_to_those_of_the_batch(layer, momentum):
    """Variances are the unbiased ones. Without momentum all batches count alike in batch norm, none in
    instance norm, as in torch."""
    norm = layer(3, momentum=momentum, track_running_stats=True)
    axes = (0, 2, 3) if layer is nn.BatchNorm2d else (2, 3)
    mean, var = np.zeros(3), np.ones(3)
    for i in range(1, 4):
        x = np.random.default_rng(i).normal(i, i, (4, 3, 5, 2))
        norm(x.astype(np.float32))
        share = momentum
        if momentum is None:
            share = 1 / i if layer is nn.BatchNorm2d else 0.0
        mean += share * (x.mean(axes).reshape(-1, 3).mean(0) - mean)
        var += share * (x.var(axes, ddof=1).reshape(-1, 3).mean(0) - var)
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(norm.running_var, var, rtol=1e-5, atol=1e-5)


def test_groups_beyond_the_caches():
    """Images whose pixels fill no vectors, in blocks that go past the caches."""
    x = draw((3, 6, 685, 701))
    weight, bias = draw(6, 1), draw(6, 2)
    found = ops.group_norm(x, 2, weight, bias)
    wanted = reference.group_norm(x, 2, weight, bias)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=16 * 2.0**-23 * np.abs(wanted).max())
