# SPDX-License-Identifier: Apache-2.0
"""Boxes at each place of feature maps, relative to which detectors say where objects are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..checking import check

Extent = tuple[int, int]
Boxes = NDArray[np.float32]


class AnchorGenerator:
    """Anchors of Faster R-CNN (Ren et al., 2015): a centre for each place, at multiples of the stride.

    Args:
        sizes: for each feature map, the roots of the anchors' areas.
        aspect_ratios: for each feature map, heights over widths.

    Called with (height, width) of the image and of the feature maps; returns (anchors, 4) of each map, the
    anchors of a place together.

    Raises:
        ValueError: not as many sizes as aspect ratios; in a call, not as many feature maps.

    >>> AnchorGenerator(((32,),), ((1.0,),))((64, 64), [(2, 1)])[0].tolist()
    [[-16.0, -16.0, 16.0, 16.0], [-16.0, 16.0, 16.0, 48.0]]
    """

    def __init__(self, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[Sequence[float]]) -> None:
        extents, shapes = check("sizes", sizes), check("aspect_ratios", aspect_ratios)
        if len(extents) != len(shapes):
            raise ValueError(
                f"expected sizes and aspect_ratios of as many maps, got {len(extents)} and {len(shapes)}"
            )
        self.cells = [_cell(of_map, ratios) for of_map, ratios in zip(extents, shapes, strict=True)]

    def num_anchors_per_location(self) -> list[int]:
        """Return the number of anchors at each place of each map."""
        return [len(cell) for cell in self.cells]

    def __call__(self, image: Extent, maps: Sequence[Extent]) -> list[Boxes]:
        if len(maps) != len(self.cells):
            raise ValueError(f"expected {len(self.cells)} feature maps, got {len(maps)}")
        anchors = []
        for (height, width), cell in zip(maps, self.cells, strict=True):
            y, x = (
                np.mgrid[:height, :width] * np.array([image[0] // height, image[1] // width])[:, None, None]
            )
            shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4).astype(np.float32)
            anchors.append((shifts + cell).reshape(-1, 4))
        return anchors


def _cell(sizes: Sequence[float], ratios: Sequence[float]) -> Boxes:
    """Return boxes around 0, ratio by ratio."""
    tall = np.sqrt(np.array(ratios, np.float32))[:, None]
    scales = np.array(sizes, np.float32)
    widths, heights = (1 / tall * scales).reshape(-1), (tall * scales).reshape(-1)
    return np.round(np.stack([-widths, -heights, widths, heights], axis=1) / 2)


class DefaultBoxGenerator:
    """Default boxes of SSD (Liu et al., 2016): centres in the middle of each place, scales that grow by map.

    Args:
        aspect_ratios: for each feature map, ratios beside 1; each gives a wide and a tall box.
        min_ratio, max_ratio: scales of the first and the last map, as parts of the image.

    Called as `AnchorGenerator`; returns one array (boxes, 4) of all maps.

    Raises:
        ValueError: no aspect ratios.

    >>> generator = DefaultBoxGenerator([[2], [2]])
    >>> generator.num_anchors_per_location(), generator((64, 64), [(4, 4), (2, 2)]).shape
    ([4, 4], (80, 4))
    """

    def __init__(
        self, aspect_ratios: Sequence[Sequence[float]], min_ratio: float = 0.15, max_ratio: float = 0.9
    ) -> None:
        aspect_ratios = check("aspect_ratios", aspect_ratios)
        min_ratio, max_ratio = check("min_ratio", min_ratio), check("max_ratio", max_ratio)
        count = len(aspect_ratios)
        if count == 0:
            raise ValueError("expected aspect_ratios of at least one map, got none")
        growth = (max_ratio - min_ratio) / max(count - 1, 1)
        scales = [*(min_ratio + growth * number for number in range(count)), 1.0]
        self.cells = []
        for ratios, scale, following in zip(aspect_ratios, scales[:-1], scales[1:], strict=True):
            between = math.sqrt(scale * following)
            pairs = [(scale, scale), (between, between)]
            for ratio in ratios:
                wide, low = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
                pairs += [(wide, low), (low, wide)]
            self.cells.append(np.clip(np.array(pairs, np.float32), 0, 1))

    def num_anchors_per_location(self) -> list[int]:
        """Return the number of boxes at each place of each map."""
        return [len(cell) for cell in self.cells]

    def __call__(self, image: Extent, maps: Sequence[Extent]) -> Boxes:
        boxes = []
        for (height, width), cell in zip(maps, self.cells, strict=True):
            y, x = np.mgrid[:height, :width] + 0.5
            centres = np.stack([x / width, y / height], axis=-1).astype(np.float32).reshape(-1, 1, 2)
            corners = np.concatenate([centres - 0.5 * cell, centres + 0.5 * cell], axis=-1)
            boxes.append(corners.reshape(-1, 4))
        height, width = image
        return np.concatenate(boxes) * np.array([width, height, width, height], np.float32)
