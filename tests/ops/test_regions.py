# SPDX-License-Identifier: Apache-2.0
"""Suppression on arrays and while tracing, regions at the edges of floats, torchvision, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cases.regions import boxes_of
from cnncore import nn, ops
from oracle import EPS
from reference import float64, numerical_gradient, regions


def drawn(count: int, seed: int = 0, step: float = 0.0) -> Any:
    """Boxes with many overlaps; with `step` on a grid, so that some are equal and some have no area."""
    random = np.random.default_rng(seed)
    first = random.uniform(0, 20, (count, 2))
    boxes = np.concatenate([first, first + random.uniform(0, 10, (count, 2))], 1)
    return (np.round(boxes / step) * step if step else boxes).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 64, 65, 200])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_suppression(count: int, threshold: float) -> None:
    random = np.random.default_rng(count)
    for step in (0.0, 5.0):
        boxes, scores = drawn(count, 1, step), random.integers(0, 6, count).astype(np.float32)
        groups = random.integers(-2, 2, count)
        with np.errstate(invalid="ignore"):
            plain = regions.kept(boxes, scores, threshold)
            grouped = regions.kept(boxes, scores, threshold, groups)
        assert ops.nms(boxes, scores, threshold).tolist() == plain
        assert ops.batched_nms(boxes, scores, groups, threshold).tolist() == grouped


def test_a_threshold_decides_in_double() -> None:
    """A share of 0.5 and thresholds that as float32 would be 0.5."""
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], np.float32)
    assert ops.nms(boxes, [2.0, 1.0], 0.5).tolist() == [0, 1]
    assert ops.nms(boxes, [2.0, 1.0], 0.5 - 1e-12).tolist() == [0]
    assert ops.nms(boxes, [2.0, 1.0], 0.5 + 1e-12).tolist() == [0, 1]


def test_scores_and_boxes_that_are_not_finite() -> None:
    boxes = np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1], [0, 0, np.inf, np.inf], [0, 0, 1, 1]], np.float32)
    scores = np.array([1.0, 2.0, np.nan, np.inf], np.float32)
    assert ops.nms(boxes, scores, 0.5).tolist() == [2, 3, 1]


def test_suppression_of_so_many() -> None:
    """In a compiled network the indices are padded; on arrays the result is as long as it is."""

    class Detector(nn.Module):
        def forward(self, boxes: Any, scores: Any) -> Any:
            return ops.nms(boxes, scores, 0.3, max_output=50)

    boxes, scores = drawn(100), np.random.default_rng(2).permutation(100).astype(np.float32)
    expected = ops.nms(boxes, scores, 0.3)
    found = cc.compile(Detector(), [boxes.shape, scores.shape])(boxes, scores)
    assert found.dtype == np.int64
    assert found.tolist() == ([*expected, *[-1] * 50])[:50]


def test_sizes_that_are_not_known_while_tracing() -> None:
    boxes, scores = drawn(4), np.ones(4, np.float32)
    for call in (
        lambda b, s: ops.nms(b, s, 0.5).sum(),
        lambda b, s: ops.batched_nms(b, s, np.zeros(4, int), 0.5).sum(),
    ):
        with pytest.raises(ValueError, match="give max_output=, which makes so many indices"):
            cc.grad(call)(boxes, scores)
    with pytest.raises(ValueError, match="call it on the arrays that the compiled function"):
        cc.grad(lambda b: ops.remove_small_boxes(b, 1.0).sum())(boxes)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 128, 129])
def test_boxes_apart_all_stay_whatever_their_number(count: int) -> None:
    """Programs are made for powers of two; what fills them up is no box."""
    at = np.arange(count, dtype=np.float32)[:, None] * 2
    boxes, scores = np.concatenate([at, at, at + 1, at + 1], 1), np.arange(count, dtype=np.float32) - count
    falling = np.arange(count)[::-1].tolist()
    assert ops.nms(boxes, scores, 0.5).tolist() == falling
    assert ops.batched_nms(boxes, scores, np.zeros(count, np.int64), 0.5).tolist() == falling
    if count:
        found = ops.nms(boxes, scores, 0.5, max_output=count + 3)
        assert found.tolist() == [*falling, -1, -1, -1]


def test_equal_boxes_of_other_classes_stay() -> None:
    boxes, scores = np.float32([[0, 0, 1, 1]] * 4), np.float32([1, 4, 3, 2])
    assert ops.batched_nms(boxes, scores, np.array([0, 1, 0, 1]), 0.5).tolist() == [1, 2]
    assert ops.batched_nms(boxes, scores, np.array([0, 1, 2, 3]), 0.5).tolist() == [1, 2, 3, 0]
    assert ops.batched_nms(boxes, scores, np.array([-1, 3, -1, -1], np.int32), 0.5, 2).tolist() == [1, 2]
    assert ops.nms(boxes.tolist(), scores.astype(np.int64).tolist(), 0.5).tolist() == [1]


@pytest.mark.parametrize("name", ["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"])
def test_boxes_have_no_gradient_and_need_none_of_the_image(name: str) -> None:
    """Also where what the boxes follow from is differentiated by, and the image is a constant."""
    image, box = np.ones((1, 4, 6, 6), np.float32), np.float32([[0, 1, 1, 4, 5]])
    pool = getattr(ops, name)
    found = cc.grad(lambda b, s: (pool(image, b * 1.0, 2) * s).sum(), (0, 1))(box, np.float32(3))
    assert found[0].tolist() == [[0.0] * 5]
    assert found[1] == pool(image, box, 2).size


def test_small_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1.9], [0, 0, 9, 2], [5, 5, 5, 9]], np.float32)
    assert ops.remove_small_boxes(boxes, 2).tolist() == [0, 2]
    assert ops.remove_small_boxes(boxes[:0], 2).tolist() == []


@pytest.mark.parametrize("name", ["complete_box_iou", "complete_box_iou_loss"])
def test_the_weight_of_the_shape_is_constant_in_gradients(name: str) -> None:
    a, b = boxes_of(3, 1), boxes_of(3, 2)
    sign = -1 if name.endswith("loss") else 1

    def weight(x: Any, y: Any) -> Any:
        v = (
            4
            / np.pi**2
            * (np.arctan((x[2] - x[0]) / (x[3] - x[1])) - np.arctan((y[2] - y[0]) / (y[3] - y[1]))) ** 2
        )
        return v / (1 - regions.overlap(x, y, "", 1e-7 * (sign < 0)) + v + 1e-7), v

    couples = [(i, j) for i in range(3) for j in range(3) if sign > 0 or i == j]
    fixed = {(i, j): weight(float64(a[i]), float64(b[j]))[0] for i, j in couples}

    def total(x: Any) -> float:
        other = float64(b)
        each = (
            regions.overlap(x[i], other[j], "distance", 1e-7 * (sign < 0))
            - fixed[i, j] * weight(x[i], other[j])[1]
            for i, j in couples
        )
        return float(sign * sum(each))

    found = cc.grad(lambda x, y: getattr(ops, name)(x, y).sum())(a, b)
    expected = numerical_gradient(total, float64(a), 1e-5)
    assert np.abs(found - expected).max() <= 64 * EPS * 16


ROI_FUNCTIONS = [
    ("roi_align", {"sampling_ratio": 2, "aligned": True}),
    ("roi_align", {"sampling_ratio": 0}),
    ("roi_pool", {}),
    ("ps_roi_align", {"sampling_ratio": -1}),
    ("ps_roi_pool", {}),
]


@pytest.mark.parametrize(("name", "settings"), ROI_FUNCTIONS)
def test_boxes_of_each_image(name: str, settings: Any) -> None:
    """A list of boxes is the same as boxes with numbers of images; images without boxes give nothing."""
    x = np.random.default_rng(0).standard_normal((3, 8, 9, 7)).astype(np.float32)
    listed = [drawn(2, 1) / 4, np.zeros((0, 4), np.float32), drawn(1, 2) / 4]
    whole = np.concatenate([np.array([[0], [0], [2]], np.float32), np.concatenate(listed)], 1)
    function = getattr(ops, name)
    expected = function(x, whole, 2, **settings)
    assert expected.shape == (3, 2 if name.startswith("ps") else 8, 2, 2)
    assert np.array_equal(function(x, listed, (2, 2), **settings), expected)
    assert np.array_equal(function(x, np.asfortranarray(whole), 2, **settings), expected)
    empty = [np.zeros((0, 4), np.float32)] * 3
    assert function(x, empty, 2, **settings).shape == (0, *expected.shape[1:])
    none = cc.grad(lambda a: function(a, np.zeros((0, 5), np.float32), 2, **settings).sum() + (a * 0).sum())(
        x
    )
    assert none.shape == x.shape
    assert not none.any()


@pytest.mark.parametrize(("name", "settings"), ROI_FUNCTIONS)
def test_regions_that_no_image_has(name: str, settings: Any) -> None:
    """NaN, infinity, numbers beyond int32 and regions inside out are zeros or means of what is there."""
    x = np.random.default_rng(0).uniform(1, 2, (2, 4, 5, 6)).astype(np.float32)
    numbers = [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, 2.0, 4.0]
    random = np.random.default_rng(1)
    rois = np.concatenate([random.integers(0, 2, (300, 1)), random.choice(numbers, (300, 4))], 1).astype(
        np.float32
    )
    function = getattr(ops, name)
    y = function(x, rois, 2, 0.5, **settings)
    assert np.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 2 * (1 + 16 * EPS)
    assert not y[~np.isfinite(rois).all(1)].any()
    gradient = cc.grad(lambda a: function(a, rois, 2, 0.5, **settings).sum())(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "settings"), ROI_FUNCTIONS)
def test_sums_of_gradients_do_not_depend_on_threads(name: str, settings: Any) -> None:
    for channels in (4, 200):
        x = np.random.default_rng(0).standard_normal((1, channels, 17, 13)).astype(np.float32)
        rois = np.concatenate([np.zeros((60, 1), np.float32), drawn(60)], 1)
        found = []
        for threads in (1, 2, 3):
            with cc.threads(threads):
                function = cc.grad(lambda a, r=rois: (getattr(ops, name)(a, r, 2, **settings) ** 2).sum())
                found.append(function(x))
        assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(("name", "settings"), ROI_FUNCTIONS)
def test_errors_of_regions(name: str, settings: Any) -> None:
    x, rois, function = np.ones((2, 4, 5, 6), np.float32), drawn(3), getattr(ops, name)
    with pytest.raises(ValueError, match=r"expected boxes \(count, 5\).*got shape \(3, 4\)"):
        function(x, rois, 2, **settings)
    with pytest.raises(
        ValueError, match=r"expected boxes \(count, 4\) of each of 2 images, got \[\(3, 4\)\]"
    ):
        function(x, [rois], 2, **settings)
    with pytest.raises(
        ValueError, match="image numbers in the first column of boxes from 0 to 1, got 1 outside"
    ):
        function(x, np.array([[2, 0, 0, 1, 1], [1, 0, 0, 1, 1]], np.float32), 2, **settings)
    with pytest.raises(ValueError, match="expected input with 4 axes"):
        function(x[0], rois, 2, **settings)
    with pytest.raises(ValueError, match="output_size of at least 1"):
        function(x, np.zeros((1, 5), np.float32), 0, **settings)
    if name.startswith("ps"):
        with pytest.raises(ValueError, match="channels that divide by 3 x 1 bins"):
            function(x, np.zeros((1, 5), np.float32), (3, 1), **settings)


@pytest.mark.parametrize("name", ["roi_align", "ps_roi_align"])
@pytest.mark.parametrize("samples", [1025, 2**31, 2**40, 2**62])
def test_samples_without_end_are_refused(name: str, samples: int) -> None:
    x, rois = np.ones((1, 4, 5, 6), np.float32), np.array([[0, 0, 0, 1, 1]], np.float32)
    with pytest.raises(ValueError, match="sampling_ratio up to 1024, got"):
        getattr(ops, name)(x, rois, 1, sampling_ratio=samples)
    assert np.allclose(getattr(ops, name)(x, rois, 1, sampling_ratio=1024), 1.0, rtol=1e-4, atol=0)


def test_errors_of_boxes() -> None:
    boxes = drawn(3)
    for call, message in (
        (lambda: ops.nms(boxes[:, :3], np.ones(3), 0.5), r"expected boxes \(count, 4\)"),
        (lambda: ops.nms(boxes, np.ones(2), 0.5), r"expected scores \(3,\), one a box, got \(2,\)"),
        (lambda: ops.batched_nms(boxes, np.ones(3), np.ones(2, int), 0.5), r"expected idxs \(3,\)"),
        (lambda: ops.nms(boxes, np.ones(3), 0.5, max_output=0), "max_output of at least 1"),
        (lambda: ops.nms(boxes, np.ones(3), float("nan")), "expected iou_threshold that is finite"),
        (
            lambda: ops.box_iou(boxes, boxes, "corners"),
            "expected fmt 'xyxy', 'xywh', 'cxcywh', got 'corners'",
        ),
        (lambda: ops.box_iou(boxes[0], boxes), r"expected boxes1 \(..., N, 4\)"),
        (lambda: ops.box_convert(boxes, "xyxy", "xywhr"), "expected out_fmt"),
        (lambda: ops.box_area(boxes[:, :2]), r"expected boxes \(..., 4\), got \(3, 2\)"),
        (lambda: ops.clip_boxes_to_image(boxes, (3, -1)), "size of at least 0"),
        (lambda: ops.masks_to_boxes(boxes), r"expected masks \(count, height, width\)"),
        (lambda: ops.generalized_box_iou_loss(boxes, boxes[:2]), "of one shape"),
        (lambda: ops.generalized_box_iou_loss(boxes, boxes, "max"), "expected reduction"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"boxes \(count, 4\), got \(2, 3\)"):  # not that of a padded array
        ops.nms(np.zeros((2, 3)), np.zeros(2), 0.5)
    with pytest.raises(TypeError, match="expected integers for idxs"):
        ops.batched_nms(boxes, np.ones(3), np.ones(3), 0.5)


def test_drawn_regions_against_torchvision() -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchvision.ops")
    random = np.random.default_rng(1)
    for _ in range(30):
        bins = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        channels = int(random.choice([1, 2, 17])) * bins[0] * bins[1]
        x = random.standard_normal((2, channels, *random.integers(1, 12, 2))).astype(np.float32)
        rois = np.concatenate([random.integers(0, 2, (5, 1)), drawn(5, int(random.integers(99)))], 1)
        rois = rois.astype(np.float32)
        for name, settings in ROI_FUNCTIONS[:-1]:
            leaf = torch.tensor(x, requires_grad=True)
            y = getattr(theirs, name)(leaf, torch.tensor(rois), bins, 0.5, **settings)
            y.sum().backward()
            ours = getattr(ops, name)(x, rois, bins, 0.5, **settings)
            assert np.abs(ours - y.detach().numpy()).max() <= 64 * EPS * 8
            rest = (rois, bins, 0.5)
            gradient = cc.grad(lambda a, n=name, s=settings, r=rest: getattr(ops, n)(a, *r, **s).sum())(x)
            assert np.abs(gradient - leaf.grad.numpy()).max() <= 64 * EPS * 8


@pytest.mark.parametrize("name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"])
def test_pairs_of_a_batch(name: str) -> None:
    first, second = (np.stack([boxes_of(n, seed=i) for i in range(3)]) for n in (2, 5))
    found = getattr(ops, name)(first, second)
    assert found.shape == (3, 2, 5)
    for i in range(3):
        np.testing.assert_array_equal(found[i], getattr(ops, name)(first[i], second[i]))
