# SPDX-License-Identifier: Apache-2.0
"""Interpolation and shuffling: errors, layers, extremes. Values and gradients: `cases/upsample.py`."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

IMAGE = np.ones((1, 4, 3, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.interpolate(IMAGE), "expected size or scale_factor"),
        (lambda: ops.interpolate(IMAGE, 2, 2.0), "expected size or scale_factor"),
        (
            lambda: ops.interpolate(IMAGE, 2, mode="linear"),
            "expected input with 1 spatial axes for mode 'linear'",
        ),
        (lambda: ops.interpolate(IMAGE, 2, mode="cubic"), "expected mode 'nearest', .*got 'cubic'"),
        (lambda: ops.interpolate(IMAGE, 2, align_corners=True), "align_corners None for mode 'nearest'"),
        (lambda: ops.interpolate(IMAGE, 2, antialias=True), "'bilinear' or 'bicubic' with antialias"),
        (lambda: ops.interpolate(IMAGE, (2, 2, 2)), "size to be an int or 2 ints"),
        (lambda: ops.interpolate(IMAGE, scale_factor=(2.0,)), "a scale_factor or 2 of them"),
        (lambda: ops.interpolate(IMAGE, scale_factor=0.1), "leaves nothing of"),
        (lambda: ops.interpolate(IMAGE, 4, recompute_scale_factor=True), "scale_factor with recompute"),
        (lambda: ops.interpolate(IMAGE, 0), "size of at least 1"),
        (lambda: ops.pixel_shuffle(IMAGE, 3), "channels that divide by 9"),
        (lambda: ops.pixel_unshuffle(IMAGE, 2), "height and width that divide by 2"),
        (lambda: ops.channel_shuffle(IMAGE, 3), "channels in 3 equal groups"),
        (lambda: nn.Upsample(scale_factor=float("nan")), "finite scale_factor"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "text",
    [
        "Upsample(scale_factor=2)",
        "Upsample(size=(7, 3), mode='bilinear', align_corners=True)",
        "Upsample(scale_factor=(1.5, 2), mode='bicubic')",
        "UpsamplingNearest2d(scale_factor=2)",
        "UpsamplingBilinear2d(size=5)",
        "PixelShuffle(2)",
        "ChannelShuffle(2)",
    ],
)
def test_layers_follow_torch(text):
    torch = pytest.importorskip("torch")
    ours, theirs = eval(f"nn.{text}"), eval(f"torch.nn.{text}")
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_takes_the_same_pixels_as_torch(mode):
    torch = pytest.importorskip("torch")
    for n in range(1, 30):
        x = np.arange(n, dtype=np.float32)[None, None]
        for m in range(1, 61):
            wanted = torch.nn.functional.interpolate(torch.tensor(x), m, mode=mode)
            assert np.array_equal(ops.interpolate(x, m, mode=mode), wanted)


def test_infinities_stay_at_their_places():
    x = np.array([[[1.0, np.inf, 2.0, 3.0]]], np.float32)
    y = ops.interpolate(x, 7, mode="linear", align_corners=True)
    assert y.tolist() == [[[1.0, np.inf, np.inf, np.inf, 2.0, 2.5, 3.0]]]
    assert ops.interpolate(x, 8).tolist() == [[[1.0, 1.0, np.inf, np.inf, 2.0, 2.0, 3.0, 3.0]]]


def test_no_images_and_joined_with_convolutions():
    assert ops.interpolate(np.ones((0, 3, 4, 4)), 8).shape == (0, 3, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1)
    )
    steps = [row["step"] for row in cc.compile(model, (2, 3, 8, 9)).explain()]
    assert steps == ["conv_forward", "interpolate", "conv_forward"]


def test_pixels_in_the_last_axis_are_seen() -> None:
    with pytest.raises(ValueError, match="is the input channels-last"):
        ops.pixel_shuffle(np.zeros((1, 6, 5, 8), np.float32), 2)
    with pytest.raises(ValueError, match=r"divide by 4, got \(1, 6, 5, 7\)\.$"):
        ops.pixel_shuffle(np.zeros((1, 6, 5, 7), np.float32), 2)


@pytest.mark.parametrize(
    ("mode", "ranks"),
    [
        ("nearest", (1, 2, 3)),
        ("nearest-exact", (1, 2, 3)),
        ("area", (1, 2, 3)),
        ("linear", (1,)),
        ("bilinear", (2,)),
        ("bicubic", (2,)),
        ("trilinear", (3,)),
    ],
)
def test_which_images_a_mode_takes(mode, ranks):
    for rank in range(5):
        x = np.ones((2, 3, *(4, 2, 6, 2)[:rank]), np.float32)
        if rank in ranks:
            assert ops.interpolate(x, scale_factor=2, mode=mode).shape == (2, 3, *(8, 4, 12)[:rank])
        else:
            with pytest.raises(ValueError, match=f"{' or '.join(map(str, ranks))} spatial axes for mode"):
                ops.interpolate(x, 2, mode=mode)


def test_areas_are_means_of_the_pixels_under_them():
    x = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
    expected = x.reshape(2, 3, 2, 2, 3, 2).mean((3, 5))
    np.testing.assert_array_equal(ops.interpolate(x, (2, 3), mode="area"), expected)
    cubes = x.reshape(1, 6, 2, 2, 6)
    expected = cubes.reshape(1, 6, 1, 2, 1, 2, 3, 2).mean((3, 5, 7))
    np.testing.assert_array_equal(ops.interpolate(cubes, (1, 1, 3), mode="area"), expected)
