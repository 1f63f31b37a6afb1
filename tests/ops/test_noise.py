# SPDX-License-Identifier: Apache-2.0
"""Random numbers in networks: their distributions, their seed, one draw for forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

DRAWS: dict[str, Callable[[Any], Any]] = {
    "rrelu": lambda x: ops.rrelu(x, 0.2, 0.6, training=True),
    "gumbel_softmax": lambda x: ops.gumbel_softmax(x, tau=0.5),
    "gumbel_softmax of axis 0": lambda x: ops.gumbel_softmax(x, dim=0),
    "fractional_max_pool2d": lambda x: ops.fractional_max_pool2d(x[None, None], 2, output_size=(20, 10)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_seed_repeats_and_runs_differ(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)
    cc.manual_seed(5)
    first, second = DRAWS[name](x), DRAWS[name](x)
    cc.manual_seed(5)
    with cc.threads(1):
        again = DRAWS[name](x)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_slopes_are_drawn_evenly_and_kept_for_the_gradient() -> None:
    x = nn.Parameter(-np.ones((200, 300), np.float32))

    def loss() -> Any:
        y = ops.rrelu(x, 0.2, 0.6, training=True)
        return y.sum(), y

    (_, y), (gradient,) = cc.value_and_grad(loss, [x])()
    assert np.array_equal(gradient, -y)
    assert gradient.min() >= np.float32(0.2)
    assert gradient.max() <= np.float32(0.6)
    # Six standard deviations of a mean of uniform numbers.
    assert abs(gradient.mean() - 0.4) < 6 * 0.4 / np.sqrt(12 * gradient.size)
    positive = np.ones((3, 4), np.float32)
    assert np.array_equal(ops.rrelu(positive, 0.2, 0.6, training=True), positive)


def test_a_layer_draws_in_training_alone() -> None:
    layer = nn.RReLU(0.25, 0.75)
    x = -np.ones((4, 5), np.float32)
    assert len(np.unique(layer(x))) > 1
    assert np.array_equal(layer.eval()(x), x / 2)


def test_gumbel_samples_have_the_probabilities_of_softmax() -> None:
    count = 60000
    logits = np.log(np.array([0.1, 0.2, 0.7], np.float32))
    hard = ops.gumbel_softmax(np.broadcast_to(logits, (count, 3)), tau=0.3, hard=True)
    assert np.allclose(np.sort(hard, 1), [0, 0, 1], atol=2**-22)
    for share, p in zip(hard.mean(0), (0.1, 0.2, 0.7), strict=True):
        assert abs(share - p) < 6 * np.sqrt(p * (1 - p) / count)


def test_hard_samples_have_the_gradient_of_soft_ones() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    factor = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)

    def gradient(hard: bool) -> Any:
        cc.manual_seed(2)
        return cc.grad(lambda a: (ops.gumbel_softmax(a, hard=hard) * factor).sum())(x)

    assert np.array_equal(gradient(True), gradient(False))


def test_windows_at_random_distances_cover_the_input() -> None:
    """Windows are drawn, and the last one ends where the input does."""
    x = np.arange(30.0, dtype=np.float32).reshape(1, 1, 30, 1)
    runs = [ops.fractional_max_pool2d(x, (2, 1), output_size=(9, 1))[0, 0, :, 0] for _ in range(20)]
    assert len({tuple(run) for run in runs}) > 1
    for run in runs:
        assert run[-1] == 29
        assert (np.diff(run) > 0).all()
    layer = nn.FractionalMaxPool2d((2, 1), output_size=(9, 1), _random_samples=np.full((1, 1, 2), 0.5))
    assert np.array_equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("shape", "kernel", "output"),
    [((2, 3, 17, 13), (2, 3), (7, 5)), ((2, 2, 10, 12, 9), (2, 3, 2), (1, 7, 4))],
)
def test_windows_are_those_of_torch(
    shape: tuple[int, ...], kernel: tuple[int, ...], output: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    name = f"fractional_max_pool{len(kernel)}d"
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    samples = rng.random((*shape[:2], len(kernel))).astype(np.float32)
    theirs = getattr(torch.nn.functional, name)(
        torch.tensor(x), kernel, output, return_indices=True, _random_samples=torch.tensor(samples)
    )
    ours = getattr(ops, name)(x, kernel, output, return_indices=True, _random_samples=samples)
    for our, their in zip(ours, theirs, strict=True):
        assert np.array_equal(our, their.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.rrelu([1.0], 0.5, 0.2), "lower of at most upper"),
        (lambda: nn.RReLU(0.5, 0.2), "lower of at most upper"),
        (lambda: ops.gumbel_softmax([1.0], tau=0), r"\[gumbel_softmax\] expected tau above 0"),
        (lambda: ops.fractional_max_pool2d(np.ones((1, 1, 4, 4)), 2), "either output_size or output_ratio"),
        (lambda: nn.FractionalMaxPool2d(2), "either output_size or output_ratio"),
        (lambda: ops.fractional_max_pool2d(np.ones((1, 1, 4, 4)), 2, 4), "output extents from 1 to 3"),
        (
            lambda: ops.fractional_max_pool2d(np.ones((1, 1, 4, 4)), 2, 2, _random_samples=np.ones((1, 2))),
            r"samples of shape \(1, 1, 2\)",
        ),
        (lambda: ops.max_unpool2d(np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), 16), 2), "from 0 to 15"),
        (lambda: ops.max_unpool2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), 2), "integer indices"),
        (lambda: ops.max_unpool2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 3), int), 2), "indices of shape"),
        (
            lambda: ops.max_unpool1d(np.ones((1, 1, 2)), np.ones((1, 1, 2), int), 2, output_size=(6,)),
            "output_size less than the stride",
        ),
        (lambda: ops.pdist(np.ones((1, 2))), "at least two rows"),
        (lambda: ops.pdist(np.ones((2, 2)), p=-1), "p of at least 0"),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
