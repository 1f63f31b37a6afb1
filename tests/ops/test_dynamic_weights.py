# SPDX-License-Identifier: Apache-2.0
"""Convolutions whose weight is computed in the network: dynamic filters, hypernetworks, cross-correlation.

Whole numbers: sums are exact, so nothing may be off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
import reference
from cases.case import whole
from cnncore import nn, ops, optim

CONV = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
SIZES: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    1: ((40,), (7,)),
    2: ((9, 11), (4, 5)),
    3: ((5, 6, 7), (2, 3, 3)),
}


def correlated(x: Any, kernel: Any) -> Any:
    """Each channel of each image with a filter of its own: siamese trackers, with images as channels."""
    batch, channels, *extents = x.shape
    image = ops.reshape(x, (1, batch * channels, *extents))
    filters = ops.reshape(kernel, (batch * channels, 1, *kernel.shape[2:]))
    y = CONV[len(extents)](image, filters, groups=batch * channels)
    return ops.reshape(y, (batch, channels, *y.shape[2:]))


def conditional(x: Any, kernel: Any) -> Any:
    """Each image with filters of its own over all channels: CondConv, SiamFC."""
    batch, channels, *extents = x.shape
    image = ops.reshape(x, (1, batch * channels, *extents))
    filters = ops.reshape(kernel, (-1, channels, *kernel.shape[3:]))
    y = CONV[len(extents)](image, filters, groups=batch)
    return ops.reshape(y, (batch, -1, *y.shape[2:]))


def by_images(x: Any, kernel: Any, depthwise: bool) -> Any:
    """The same in float64, image by image, and the gradients of the sum of squares over two."""
    results, by_x, by_kernel = [], [], []
    rank = x.ndim - 2
    zeros, ones = (0,) * rank, (1,) * rank
    for image, filters in zip(x.astype(np.float64), kernel.astype(np.float64), strict=True):
        weight = filters[:, None] if depthwise else filters
        groups = len(image) if depthwise else 1
        settings = {"stride": ones, "begin": zeros, "end": zeros, "dilation": ones, "groups": groups}
        y = reference.conv(image[None], weight, None, **settings)
        results.append(y)
        by_x.append(reference.conv_backward_data(y, weight, image.shape[1:], **settings))
        by_kernel.append(reference.conv_backward_weight(image[None], y, weight.shape[2:], **settings))
    return np.concatenate(results), np.concatenate(by_x), np.stack(by_kernel).reshape(kernel.shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("batch", "channels"), [(1, 20), (3, 5), (4, 256), (65, 16)])
def test_a_filter_for_each_channel_of_each_image(rank: int, batch: int, channels: int) -> None:
    """From 1024 channels in all on, images are filtered one after the other, up to 64 of them."""
    extents, taps = SIZES[rank]
    x = whole(batch, channels, *extents, least=-2, most=2)
    kernel = whole(batch, channels, *taps, least=-1, most=1, seed=1)
    y, by_x, by_kernel = by_images(x, kernel, depthwise=True)

    def loss(x: Any, kernel: Any) -> Any:
        y = correlated(x, kernel)
        return ops.square(y).sum() * 0.5, y

    np.testing.assert_array_equal(cc.value_and_grad(lambda: loss(x, kernel), [])()[0][1], y)
    found = cc.grad(loss, (0, 1))(x, kernel)
    np.testing.assert_array_equal(found[0], by_x)
    np.testing.assert_array_equal(found[1], by_kernel)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("filters", [1, 6])
def test_filters_for_each_image(rank: int, filters: int) -> None:
    extents, taps = SIZES[rank]
    x = whole(3, 8, *extents, least=-2, most=2)
    kernel = whole(3, filters, 8, *taps, least=-1, most=1, seed=1)
    y, by_x, by_kernel = by_images(x, kernel, depthwise=False)
    found = cc.grad(lambda x, k: ops.square(conditional(x, k)).sum() * 0.5, (0, 1))(x, kernel)
    np.testing.assert_array_equal(conditional(x, kernel), y)
    np.testing.assert_array_equal(found[0], by_x)
    np.testing.assert_array_equal(found[1], by_kernel)


def test_stride_padding_dilation_and_bias_go_to_each_image() -> None:
    x, bias = whole(4, 256, 9, 8), whole(1024, seed=2)
    kernel = whole(1024, 1, 3, 3, least=-1, most=1, seed=1)
    settings = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    y = ops.conv2d(ops.reshape(x, (1, 1024, 9, 8)), kernel, bias, **settings, groups=1024)
    expected = reference.conv(
        x.reshape(1, 1024, 9, 8).astype(np.float64),
        kernel,
        bias,
        stride=(2, 1),
        begin=(1, 2),
        end=(1, 2),
        dilation=(1, 2),
        groups=1024,
    )
    np.testing.assert_array_equal(y, expected)


def convolutions(fn: Any, *shapes: tuple[int, ...]) -> int:
    rows = cc.compile(fn, shapes if len(shapes) > 1 else shapes[0]).explain()
    return sum(row["step"] == "conv_forward" for row in rows)


@pytest.mark.parametrize(
    ("batch", "channels", "expected"),
    [(1, 1024, 1), (2, 511, 1), (2, 512, 2), (64, 16, 64), (65, 16, 1)],
)
def test_from_how_many_channels_on_images_are_filtered_alone(
    batch: int, channels: int, expected: int
) -> None:
    assert convolutions(correlated, (batch, channels, 5, 5), (batch, channels, 3, 3)) == expected


def test_what_is_not_images_side_by_side_is_filtered_at_once() -> None:
    """An input as it came; other groups; several images; rows cut otherwise; no reshaping before."""
    kernel = whole(1024, 1, 3, 3, least=-1, most=1)

    def filtered(x: Any, groups: int = 1024, weight: Any = kernel) -> Any:
        return ops.conv2d(x, weight, groups=groups)

    assert convolutions(filtered, (1, 1024, 4, 4)) == 1
    assert convolutions(lambda x: filtered(ops.relu(x)), (1, 1024, 4, 4)) == 1
    assert convolutions(lambda x: filtered(ops.reshape(x, (2, 1024, 4, 4))), (4, 512, 4, 4)) == 1
    pairs = np.concatenate([kernel, kernel], 1)[:512]
    assert convolutions(lambda x: filtered(ops.reshape(x, (1, 1024, 4, 4)), 512, pairs), (2, 512, 4, 4)) == 1
    assert convolutions(lambda x: filtered(ops.reshape(x, (1, 1024, 4, 4))), (2, 512, 2, 8)) == 1
    assert convolutions(lambda x: filtered(ops.reshape(x, (1, 1024, 4, 4))), (2, 512, 16)) == 1


class Tracker(nn.Module):
    """A backbone for both images, the second's features filter the first's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, channels, 3)

    def forward(self, search: Any, template: Any) -> Any:
        return correlated(self.features(search), self.features(template))


class Hyper(nn.Module):
    """A convolution whose weight a linear layer computes."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.weight = nn.Linear(4, 16 * 16 * 3**rank)
        self.code = nn.Parameter(np.linspace(-1, 1, 4))

    def forward(self, x: Any) -> Any:
        weight = ops.reshape(self.weight(self.code * 1.0), (16, 16, *(3,) * self.rank))
        return ops.relu(CONV[self.rank](x, weight, padding=1))


def algorithms(rows: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["step"], set()).add(row["algorithm"])
    return found


def test_images_of_a_tracker_are_not_rearranged() -> None:
    search, template = whole(4, 3, 20, 20), whole(4, 3, 9, 9, seed=1)
    cc.manual_seed(0)
    model = Tracker(256)
    step = cc.train_step(lambda s, t: ops.square(model(s, t)).mean(), optim.SGD(model.parameters(), lr=1e-3))
    losses = [step(search, template) for _ in range(4)]
    assert losses[-1] < losses[0]
    chosen = algorithms(step.explain())
    images = [row for row in step.explain(search, template) if "transposition" in row["algorithm"]]
    assert len(images) <= 2  # the arrays that come in
    assert "depthwise" in chosen["conv_forward"]
    assert chosen["conv_backward_data"] == {"depthwise"}
    assert "depthwise" in chosen["conv_backward_weight"]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_computed_weight_trains_on_the_algorithms_of_a_parameter(rank: int) -> None:
    """Steps, predictors and what they choose are as for a layer of the same shapes."""
    x = whole(2, 16, *(12,) * rank)
    cc.manual_seed(0)
    model, layer = Hyper(rank), (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1](16, 16, 3, padding=1, bias=False)
    inner = nn.Sequential(nn.ReLU(), layer, nn.ReLU())
    outer = nn.Sequential(nn.ReLU(), model)

    def step(net: Any) -> Any:
        loss = lambda x: ops.square(net(x) - 1.0).mean()  # noqa: E731
        return cc.train_step(loss, optim.Adam(net.parameters(), lr=1e-2))

    computed, plain = step(outer), step(inner)
    losses = [computed(x) for _ in range(5)]
    plain(x)
    assert losses[-1] < losses[0]
    ours, theirs = algorithms(computed.explain()), algorithms(plain.explain())
    for name in ("conv_forward", "conv_backward_weight"):
        assert theirs[name] <= ours[name]
    predictor = cc.compile(outer, x.shape)
    np.testing.assert_array_equal(predictor(x), outer(x))
    wide = x.astype(np.float64)
    weight = np.array(model.weight.weight, np.float64) @ np.array(model.code, np.float64)
    weight = (weight + np.array(model.weight.bias)).reshape(16, 16, *(3,) * rank)
    ones = (1,) * rank
    expected = reference.conv(
        np.maximum(wide, 0), weight, None, stride=ones, begin=ones, end=ones, dilation=ones, groups=1
    )
    # The reduction has 48 to 432 terms of up to 4; Winograd's rounding is twice a plain sum's.
    bound = 16 * 3**rank * 2.0**-23 * 4 * np.abs(weight).max() * 2
    np.testing.assert_allclose(predictor(x), np.maximum(expected, 0), rtol=0, atol=bound)
