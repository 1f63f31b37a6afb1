# SPDX-License-Identifier: Apache-2.0
"""Layers that pool regions, pyramids, anchors: against the functions, by definition, and torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from oracle import EPS

ROIS = np.array([[0, 1, 2, 9, 12], [1, 3, 3, 4, 15], [1, 0, 0, 15, 15]], np.float32)


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_layers_are_the_functions() -> None:
    x, wide = drawn(2, 3, 8, 8), drawn(2, 12, 8, 8)
    for layer, expected in (
        (nn.RoIAlign(3, 0.5, 2, True), ops.roi_align(x, ROIS, 3, 0.5, 2, True)),
        (nn.RoIPool((3, 2), 0.5), ops.roi_pool(x, ROIS, (3, 2), 0.5)),
    ):
        assert np.array_equal(layer(x, ROIS), expected)
    for layer, expected in (
        (nn.PSRoIAlign(2, 0.5, 2), ops.ps_roi_align(wide, ROIS, 2, 0.5, 2)),
        (nn.PSRoIPool(2, 0.5), ops.ps_roi_pool(wide, ROIS, 2, 0.5)),
    ):
        assert np.array_equal(layer(wide, ROIS), expected)
    with pytest.raises(ValueError, match="output_size"):
        nn.RoIPool(0, 1.0)


def test_deformable_convolution_learns() -> None:
    """Offsets and masks come from a convolution, as in the papers."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.moves = nn.Conv2d(3, 27, 3, padding=1)
            self.conv = nn.DeformConv2d(3, 4, 3, padding=1)

        def forward(self, x: Any) -> Any:
            moves = self.moves(x)
            return self.conv(x, moves[:, :18], ops.sigmoid(moves[:, 18:]))

    model, x, target = Block(), drawn(2, 3, 9, 9), drawn(2, 4, 9, 9, seed=1)
    assert list(model.conv.state_dict()) == ["weight", "bias"]
    step = cc.train_step(
        lambda x, t: ((model(x) - t) ** 2).mean(), cc.optim.Adam(model.parameters(), lr=0.02)
    )
    losses = [float(step(x, target)) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_regions_go_to_the_level_of_their_size() -> None:
    maps = {
        "a": drawn(2, 3, 64, 64),
        "b": drawn(2, 3, 32, 32),
        "c": drawn(2, 3, 16, 16),
        "other": drawn(2, 9, 4, 4),
    }
    boxes = [
        np.array([[0, 0, 20, 20], [5, 5, 250, 240]], np.float32),
        np.array([[3, 9, 130, 100]], np.float32),
    ]
    layer = nn.MultiScaleRoIAlign(["a", "b", "c"], 2, 2, canonical_scale=64, canonical_level=3)
    found = layer(maps, boxes, [(256, 250), (200, 256)])
    rois = np.concatenate([np.array([[0], [0], [1]], np.float32), np.concatenate(boxes)], 1)
    levels = np.clip(np.floor(3 + np.log2(np.sqrt(np.prod(rois[:, 3:] - rois[:, 1:3], 1)) / 64) + 1e-6), 2, 4)
    assert sorted(levels) == [2, 3, 4]
    for bins, roi, level in zip(found, rois, levels, strict=True):
        name = "abc"[int(level) - 2]
        assert np.array_equal(bins, ops.roi_align(maps[name], roi[None], 2, 0.5**level, 2)[0])
    one = nn.MultiScaleRoIAlign(["b"], 2, 2)(maps, boxes, [(256, 256)])
    assert np.array_equal(one, ops.roi_align(maps["b"], rois, 2, 0.125, 2))
    with pytest.raises(ValueError, match="expected maps of"):
        nn.MultiScaleRoIAlign(["d"], 2, 2)(maps, boxes, [(256, 256)])


def test_pyramid() -> None:
    maps = {"a": drawn(1, 4, 9, 8), "b": drawn(1, 6, 5, 4)}
    network = nn.FeaturePyramidNetwork([4, 6], 5, nn.LastLevelP6P7(6, 5), norm_layer=nn.BatchNorm2d).eval()
    assert "inner_blocks.0.0.weight" in network.state_dict()
    assert "layer_blocks.1.1.running_mean" in network.state_dict()
    found = network(maps)
    assert list(found) == ["a", "b", "p6", "p7"]
    top = network.inner_blocks[1](maps["b"])
    below = network.inner_blocks[0](maps["a"]) + ops.interpolate(top, size=(9, 8))
    for name, expected in (
        ("b", network.layer_blocks[1](top)),
        ("a", network.layer_blocks[0](below)),
        ("p6", network.extra_blocks.p6(maps["b"])),
    ):
        assert np.abs(found[name] - expected).max() <= 64 * EPS * float(np.abs(expected).max())
    with pytest.raises(ValueError, match="expected 2 maps"):
        network({"a": maps["a"]})
    with pytest.raises(TypeError, match="expected an ExtraFPNBlock"):
        nn.FeaturePyramidNetwork([4], 5, nn.ReLU())


def test_anchors() -> None:
    images, maps = np.zeros((2, 3, 60, 80), np.float32), [np.zeros((2, 1, 3, 4)), np.zeros((2, 1, 1, 2))]
    layer = nn.AnchorGenerator(((16, 32), (64, 128)), (0.5, 2.0))
    assert layer.num_anchors_per_location() == [4, 4]
    found = layer(images, maps)
    assert len(found) == 2
    assert found[0].shape == (4 * 12 + 4 * 2, 4)
    place = found[0][4 * (1 * 4 + 3) + 1]  # row 1, column 3; ratio 0.5, size 32
    w, h = np.round(32 / np.sqrt(0.5) / 2), np.round(32 * np.sqrt(0.5) / 2)
    assert place.tolist() == [60 - w, 20 - h, 60 + w, 20 + h]
    with pytest.raises(ValueError, match="expected 2 feature maps"):
        layer(images, maps[:1])
    with pytest.raises(ValueError, match="as many maps"):
        nn.AnchorGenerator(((16,), (32,)), ((1.0,),))


def test_default_boxes() -> None:
    images, maps = np.zeros((1, 3, 100, 200), np.float32), [np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 1, 1))]
    layer = nn.DefaultBoxGenerator([[2], [2, 3]], steps=[50, 100])
    assert layer.num_anchors_per_location() == [4, 6]
    assert layer.scales == [0.15, 0.9, 1.0]
    (boxes,) = layer(images, maps)
    assert boxes.shape == (4 * 8 + 6, 4)
    wide = 0.15 * np.sqrt(2), 0.15 / np.sqrt(2)
    expected = [75 - 100 * wide[0], 75 - 50 * wide[1], 75 + 100 * wide[0], 75 + 50 * wide[1]]
    assert np.abs(boxes[4 * 5 + 2] - expected).max() <= 1e-4
    with pytest.raises(ValueError, match="expected 3 scales for 2 aspect_ratios, got 2"):
        nn.DefaultBoxGenerator([[2], [2]], scales=[0.1, 0.2])


def test_anchors_against_torchvision() -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchvision.models.detection.anchor_utils")
    listed = pytest.importorskip("torchvision.models.detection.image_list")
    images, maps = np.zeros((2, 3, 90, 70), np.float32), [np.zeros((2, 1, 9, 7)), np.zeros((2, 1, 4, 3))]
    given = listed.ImageList(torch.tensor(images), [(90, 70)] * 2), [torch.tensor(m) for m in maps]
    for name, settings in (
        ("AnchorGenerator", (((16, 32), (64, 100)), ((0.5, 1.0), (1.0, 2.0, 3.0)))),
        ("DefaultBoxGenerator", ([[2], [2, 3]],)),
    ):
        ours = getattr(nn, name)(*settings)(images, maps)
        for a, b in zip(ours, getattr(theirs, name)(*settings)(*given), strict=True):
            assert np.abs(a - b.numpy()).max() <= 4 * EPS * 128


def test_a_pyramid_begins_without_biases() -> None:
    network = nn.FeaturePyramidNetwork([4, 6], 5)
    biases = [value for name, value in network.state_dict().items() if name.endswith("bias")]
    assert len(biases) == 4
    assert not any(np.any(bias) for bias in biases)


def test_default_boxes_larger_than_the_image() -> None:
    settings = {"aspect_ratios": [[4]], "scales": [0.75, 1.5]}
    clipped, whole = (nn.DefaultBoxGenerator(**settings, clip=clip).sides(0) for clip in (True, False))
    np.testing.assert_allclose(whole, [[0.75, 0.75], [1.125**0.5] * 2, [1.5, 0.375], [0.375, 1.5]], rtol=1e-6)
    np.testing.assert_array_equal(clipped, np.minimum(whole, 1))


def test_settings_of_anchors() -> None:
    one = nn.AnchorGenerator((16, 32), (0.5, 1.0))
    assert (one.sizes, one.aspect_ratios) == (((16,), (32,)), ((0.5, 1.0),) * 2)
    assert one.num_anchors_per_location() == [2, 2]
    assert repr(one) == "AnchorGenerator(sizes=((16,), (32,)), aspect_ratios=((0.5, 1.0), (0.5, 1.0)))"
    with pytest.raises(ValueError, match="as many maps, got 2 and 1"):
        nn.AnchorGenerator((16, 32), ((1.0,),))
    images, maps = np.zeros((1, 3, 64, 32), np.float32), [np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 1, 1))]
    (boxes,) = nn.AnchorGenerator((8, 16), (4.0,))(images, maps)
    # A ratio of 4 is twice as high and half as wide; cells are 32 high and 16 wide.
    corners = [[x - 2, y - 8, x + 2, y + 8] for y in (0, 32) for x in (0, 16)]
    assert boxes.tolist() == [*corners, [-4, -16, 4, 16]]
    text = "DefaultBoxGenerator(aspect_ratios=[[2]], clip=False, scales=[0.2, 1.0], steps=[8])"
    assert repr(nn.DefaultBoxGenerator([[2]], scales=[0.2, 1.0], steps=[8], clip=False)) == text


def test_the_last_level_is_every_second_pixel() -> None:
    x = np.arange(50, dtype=np.float32).reshape(1, 2, 5, 5)
    maps, names = nn.LastLevelMaxPool()([np.zeros(1), x], [], ["a", "b"])
    assert names == ["a", "b", "pool"]
    assert np.array_equal(maps[2], x[:, :, ::2, ::2])
    assert np.array_equal(maps[1], x)


def test_regions_of_two_levels() -> None:
    maps = {"a": drawn(1, 3, 32, 32), "b": drawn(1, 3, 16, 16)}
    boxes = [np.array([[0, 0, 20, 20], [5, 5, 110, 100], [100, 2, 126, 28], [2, 100, 28, 126]], np.float32)]
    found = nn.MultiScaleRoIAlign(["a", "b"], 2, 2, canonical_scale=64, canonical_level=3)(
        maps, boxes, [(128, 128)]
    )
    for bins, box, name, scale in zip(found, boxes[0], "abaa", (0.25, 0.125, 0.25, 0.25), strict=True):
        roi = np.concatenate([[0], box]).astype(np.float32)
        assert np.array_equal(bins, ops.roi_align(maps[name], roi[None], 2, scale, 2)[0])
    one = nn.MultiScaleRoIAlign(["a"], 1, 2)(maps, boxes, [(128, 128)])
    assert one.shape == (4, maps["a"].shape[1], 1, 1)


@pytest.mark.parametrize(("channels", "of_results"), [(5, True), (7, False)])
def test_more_levels_begin_with_the_coarsest(channels: int, of_results: bool) -> None:
    results = [drawn(1, 5, n, n) for n in (12, 6, 3)]
    maps = [drawn(1, channels, n, n, seed=1) for n in (12, 6, 3)]
    block = nn.LastLevelP6P7(channels, 5)
    assert block.use_P5 is of_results
    found, names = block(results, maps, ["a", "b", "c"])
    assert names == ["a", "b", "c", "p6", "p7"]
    for layer in (block.p6, block.p7):
        assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (2, 2), (1, 1))
    p6 = block.p6((results if of_results else maps)[-1])
    for ours, wanted in zip(found, [*results, p6, block.p7(ops.relu(p6))], strict=True):
        assert np.array_equal(ours, wanted)
