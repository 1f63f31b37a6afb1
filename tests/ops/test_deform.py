# SPDX-License-Identifier: Apache-2.0
"""Deformable convolution: offsets beyond floats' sense, plain convolution, bits, torchvision, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cases.deform import moves_of
from cnncore import ops
from cnncore.compiler.autodiff import add_gradients
from cnncore.graph.trace import current_graph
from oracle import EPS


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_without_moves_it_is_convolution(groups: int) -> None:
    x, w, b = drawn(2, 8, 9, 7), drawn(4, 8 // groups, 3, 3, seed=1), drawn(4, seed=2)
    settings = {"stride": 2, "padding": 1, "dilation": 2}
    expected = ops.conv2d(x, w, b, groups=groups, **settings)
    moves = np.zeros((2, 36, *expected.shape[2:]), np.float32)
    found = ops.deform_conv2d(x, moves, w, b, **settings)
    assert np.abs(found - expected).max() <= 72 * EPS * float(np.abs(expected).max())
    whole = ops.deform_conv2d(x, moves + 1, w, b, mask=np.full((2, 18, *expected.shape[2:]), 0.5), **settings)
    moved = np.zeros_like(x)
    moved[:, :, :-1, :-1] = x[:, :, 1:, 1:] * 0.5
    # The frame's pixels move in, too.
    inner = ops.conv2d(moved, w, b, groups=groups, **settings)[:, :, 1:, 1:]
    assert np.abs(whole[:, :, 1:, 1:] - inner).max() <= 72 * EPS * float(np.abs(expected).max())


def test_moves_that_lead_nowhere() -> None:
    x, w = np.abs(drawn(1, 3, 5, 6)) + 1, np.ones((2, 3, 1, 1), np.float32)
    moves = np.zeros((1, 2, 5, 6), np.float32)
    bad = [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, 7.0, -7.0]
    moves[0, 0, 0, :] = bad[:6]
    moves[0, 1, 1, :] = bad[2:]
    moves[0, :, 2, 0] = np.nan
    y = ops.deform_conv2d(x, moves, w)
    assert not y[:, :, :2].any()
    assert not y[:, :, 2, 0].any()
    assert np.abs(y[:, :, 3:] - x.sum(1, keepdims=True)[:, :, 3:]).max() <= 8 * EPS * float(y.max())
    by_input, by_moves = cc.grad(lambda a, m: ops.deform_conv2d(a, m, w).sum(), (0, 1))(x, moves)
    assert not by_input[:, :, :2].any()
    assert np.isfinite(by_moves).all()
    assert not by_moves[:, :, :2].any()


def test_sums_of_gradients_do_not_depend_on_threads() -> None:
    for channels in (4, 200):
        x, w = drawn(1, channels, 15, 13), drawn(3, channels, 3, 3)
        moves, mask = moves_of(1, 18, 15, 13), drawn(1, 9, 15, 13)
        found = []
        for threads in (1, 2, 3):
            with cc.threads(threads):
                loss = cc.grad(
                    lambda *t: (ops.deform_conv2d(*t[:3], padding=1, mask=t[3]) ** 2).sum(), (0, 1, 2, 3)
                )
                found.append(loss(x, moves, w, mask))
        for other in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_an_empty_batch() -> None:
    y = ops.deform_conv2d(np.zeros((0, 2, 4, 4)), np.zeros((0, 2, 4, 4)), np.zeros((3, 2, 1, 1)))
    assert y.shape == (0, 3, 4, 4)


def test_drawn_shapes_against_torchvision() -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchvision.ops")
    random = np.random.default_rng(1)
    for _ in range(20):
        groups, offset_groups = int(random.integers(1, 4)), int(random.integers(1, 4))
        channels, taps = 6 * int(random.integers(1, 3)), 6 * offset_groups
        x, w = drawn(2, channels, 7, 8), drawn(groups * 2, channels // groups, 2, 3)
        moves, mask = moves_of(2, 2 * taps, 8, 8), drawn(2, taps, 8, 8)
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, moves, w, mask)]
        y = theirs.deform_conv2d(*leaves[:3], padding=1, mask=leaves[3])
        y.sum().backward()
        found = ops.deform_conv2d(x, moves, w, padding=1, mask=mask)
        bound = 64 * EPS * channels * 6 * 8
        assert np.abs(found - y.detach().numpy()).max() <= bound
        loss = cc.grad(lambda *t: ops.deform_conv2d(*t[:3], padding=1, mask=t[3]).sum(), (0, 1, 2, 3))
        for ours, leaf in zip(loss(x, moves, w, mask), leaves, strict=True):
            assert np.abs(ours - leaf.grad.numpy()).max() <= bound * 8


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 4, 5, 5), (1, 18, 3, 3), (2, 3, 3, 3)), "weight of 1 / groups of the input's 4 channels"),
        (((1, 4, 5, 5), (1, 18, 3, 3), (3, 2, 3, 3)), "output channels that divide by 2 groups"),
        (((1, 4, 5, 5), (1, 17, 3, 3), (2, 4, 3, 3)), "offset with a multiple of 18 channels"),
        (((1, 4, 5, 5), (1, 54, 3, 3), (2, 4, 3, 3)), "input channels that divide by 3 offset groups"),
        (
            ((1, 4, 5, 5), (1, 18, 5, 5), (2, 4, 3, 3)),
            r"expected offset \(1, 18, 3, 3\), got \(1, 18, 5, 5\)",
        ),
        (((1, 4, 2, 5), (1, 18, 1, 3), (2, 4, 3, 3)), "an image that holds the kernel"),
        (((1, 4, 5, 5), (1, 18, 3, 3), (2, 4, 3, 3), (1, 8, 3, 3)), r"expected mask \(1, 9, 3, 3\)"),
        (((4, 5, 5), (1, 18, 3, 3), (2, 4, 3, 3)), "expected input with 4 axes"),
    ],
)
def test_errors(shapes: Any, message: str) -> None:
    arrays = [drawn(*shape) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        ops.deform_conv2d(*arrays[:3], mask=arrays[3] if len(arrays) > 3 else None)


def test_how_the_gradient_by_the_image_moves_with_offsets_and_masks() -> None:
    """It is linear in the image: along a direction, that gradient is the operation of the direction."""
    rng = np.random.default_rng(0)
    x, along = (rng.normal(size=(1, 3, 4, 5)).astype(np.float32) for _ in range(2))
    weight = rng.normal(size=(2, 3, 2, 2)).astype(np.float32)
    offset = (rng.integers(-2, 2, (1, 8, 3, 4)) + 0.375).astype(np.float32)
    mask = rng.uniform(0.5, 1, (1, 4, 3, 4)).astype(np.float32)
    factors = rng.normal(size=(1, 2, 3, 4)).astype(np.float32)

    def loss(image: Any, offset: Any, mask: Any) -> Any:
        return (ops.deform_conv2d(image, offset, weight, mask=mask) * factors).sum()

    def by_image(image: Any, offset: Any, mask: Any) -> Any:
        (found,) = add_gradients(current_graph(), loss(image, offset, mask), [image])
        return (found * along).sum()

    found = cc.grad(lambda o, m, i: by_image(i, o, m), (0, 1))(offset, mask, x)
    expected = cc.grad(lambda o, m: loss(along, o, m), (0, 1))(offset, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
