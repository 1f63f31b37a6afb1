# SPDX-License-Identifier: Apache-2.0
"""Boxes, and regions of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from reference import float64, regions

from .case import Array, case, different, draw


def boxes_of(count: int, seed: int = 0, size: float = 8.0) -> Array:
    """Corners in steps of 1/64 that are all different: overlaps have no kinks there."""
    numbers = np.random.default_rng(seed).permutation(int(size * 32))[: 4 * count].reshape(count, 2, 2) / 32
    return np.sort(numbers, 1).reshape(count, 4).astype(np.float32) + seed % 2 / 64


def _padded(indices: list[int], most: int) -> Array:
    return np.array((indices + [-1] * most)[:most])


KINDS = {"box_iou": "", "generalized_box_iou": "generalized", "distance_box_iou": "distance"}
FORMATS = ("xyxy", "xywh", "cxcywh")
ROIS = np.array(
    [
        [0, 0.6, 1.3, 5.2, 4.4],
        [1, 2.1, 0.2, 3.3, 5.9],
        [1, -3.2, -1.4, 2.2, 1.6],
        [0, 3.4, 2.8, 11.3, 9.1],
        [1, 1.1, 1.2, 1.4, 1.3],
        [0, 20.2, 1.2, 25.4, 7.3],
    ],
    np.float32,
)
SHAPE = (6, 7)


def _regions(name: str, x: Array, expected: Any, rois: Array = ROIS, **rest: Any) -> Any:
    """Boxes have no gradient: they are no arrays of the case."""
    return case(
        name,
        x,
        lambda x: expected(x, rois),
        function=lambda x, **settings: getattr(ops, name)(x, rois, **settings),
        torch=False,
        **rest,
    )


def _aligned(bins: tuple[int, int], scale: float, samples: int, aligned: bool, channels: int = 3) -> Any:
    return _regions(
        "roi_align",
        draw(2, channels, *SHAPE),
        lambda x, r: regions.roi_align(x, r, bins, scale, samples, aligned),
        output_size=bins,
        spatial_scale=scale,
        sampling_ratio=samples,
        aligned=aligned,
        # Places are rounded as numbers of some pixels; neighbours differ by up to 4.
        magnitude=32.0,
    )


def _by_bin(name: str, bins: tuple[int, int], channels: int, scale: float, samples: int = 0) -> Any:
    settings = {"sampling_ratio": samples} if name == "ps_roi_align" else {}

    def expected(x: Any, r: Any) -> Any:
        if name == "ps_roi_pool":
            return regions.roi_bins(x, r, bins, scale, True)
        return regions.roi_align(x, r, bins, scale, samples, True, True)

    return _regions(
        name,
        draw(2, channels * bins[0] * bins[1], *SHAPE),
        expected,
        output_size=bins,
        spatial_scale=scale,
        magnitude=32.0,
        **settings,
    )


CASES = [
    *[
        case(
            name,
            (boxes_of(count, 1), boxes_of(other, 2)),
            lambda a, b, k=kind: regions.pairs(a, b, k),
            torch=False,
            magnitude=16.0,
        )
        for name, kind in KINDS.items()
        for count, other in ((3, 4), (1, 1))
    ],
    *[
        case(
            "box_iou",
            (boxes_of(3, 1) + 1, boxes_of(4, 2) + 1),
            lambda a, b, f=fmt: regions.pairs(regions.corners(a, f), regions.corners(b, f), ""),
            torch=False,
            magnitude=16.0,
            fmt=fmt,
        )
        for fmt in FORMATS[1:]
    ],
    case(
        "complete_box_iou",
        (boxes_of(3, 1), boxes_of(4, 2)),
        lambda a, b: regions.pairs(a, b, "complete"),
        torch=False,
        magnitude=16.0,
        differentiable=False,
    ),
    *[
        case(
            f"{kind}_box_iou_loss",
            (boxes_of(3, 1), boxes_of(3, 2)),
            lambda a, b, k=kind, r=reduction: getattr(np, r, np.asarray)(
                [1 - regions.overlap(*pair, k, 1e-7) for pair in zip(float64(a), float64(b), strict=True)]
            ),
            torch=False,
            magnitude=16.0,
            reduction=reduction,
            differentiable=kind != "complete",
        )
        for kind in ("generalized", "distance", "complete")
        for reduction in ("none", "mean", "sum")
    ],
    *[
        case(
            "box_convert",
            boxes_of(3, 1),
            lambda x, a=source, b=target: regions.converted(x, a, b),
            torch=False,
            in_fmt=source,
            out_fmt=target,
        )
        for source in FORMATS
        for target in FORMATS
    ],
    *[
        case(
            "box_area",
            boxes_of(3, 1).reshape(shape),
            lambda x, f=fmt: np.prod(regions.converted(x, f, "xywh")[..., 2:], -1),
            torch=False,
            magnitude=16.0,
            fmt=fmt,
        )
        for fmt in FORMATS
        for shape in ((3, 4), (1, 3, 4))
    ],
    case(
        "clip_boxes_to_image",
        boxes_of(4, 1) - 3,
        lambda x: np.clip(x, 0, np.array([4.0, 3.0, 4.0, 3.0])),
        torch=False,
        size=(3, 4),
    ),
    case(
        "masks_to_boxes",
        np.array(
            [[[0, 0, 0], [0, 1, 1]], [[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]]]
        ),
        lambda m: np.array([[1, 1, 2, 1], [0, 0, 0, 0], [0, 0, 2, 1], [1, 0, 1, 0]], float),
        torch=False,
        differentiable=False,
        exact=True,
    ),
    *[
        case(
            name,
            (boxes_of(20, 1, 3.0), np.round(draw(20, low=0.0, high=4.0)), *groups),
            lambda b, s, *g, t=threshold, m=most: _padded(regions.kept(b, s, t, *g), m),
            torch=False,
            differentiable=False,
            iou_threshold=threshold,
            max_output=most,
        )
        for name, groups in (("nms", ()), ("batched_nms", (np.arange(20) * 7 % 3,)))
        for threshold, most in ((0.1, 20), (0.3, 5), (1.0, 30), (0.0, 12))
    ],
    *[
        _aligned(bins, scale, samples, aligned, channels)
        for bins, scale, samples, aligned, channels in (
            ((2, 3), 1.0, 2, True, 3),
            ((2, 3), 1.0, 2, False, 1),
            ((3, 1), 0.5, -1, True, 17),
            ((1, 2), 0.75, 0, False, 5),
            ((1, 1), 2.0, 1, True, 2),
        )
    ],
    *[
        _by_bin("ps_roi_align", bins, channels, scale, samples)
        for bins, channels, scale, samples in (
            ((2, 3), 2, 1.0, 2),
            ((1, 2), 17, 0.5, -1),
            ((1, 1), 3, 1.0, 1),
        )
    ],
    *[
        _by_bin("ps_roi_pool", bins, channels, scale)
        for bins, channels, scale in (((2, 3), 2, 1.0), ((1, 2), 17, 0.5), ((3, 3), 1, 1.0))
    ],
    *[
        _regions(
            "roi_pool",
            different(2, channels, *SHAPE),
            lambda x, r, b=bins, s=scale: regions.roi_bins(x, r, b, s, False),
            output_size=bins,
            spatial_scale=scale,
            exact=True,
            twice=False,
        )
        for bins, channels, scale in (((2, 3), 3, 1.0), ((3, 1), 18, 0.5), ((1, 1), 1, 0.75))
    ],
]
