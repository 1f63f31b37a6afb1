# SPDX-License-Identifier: Apache-2.0
"""Boxes that detectors begin with, by torchvision's names."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from ..graph.trace import as_tensor, shape_error
from .module import Module

__all__ = ["AnchorGenerator", "DefaultBoxGenerator"]


def _sizes(images: Any, feature_maps: Any) -> tuple[int, tuple[int, int], list[tuple[int, int]]]:
    """Return the number of images, their extents and those of the feature maps."""
    batch = getattr(images, "tensors", images)
    grids = [(int(value.shape[-2]), int(value.shape[-1])) for value in feature_maps]
    return int(batch.shape[0]), (int(batch.shape[-2]), int(batch.shape[-1])), grids


def _grid(rows: Any, columns: Any) -> Any:
    """Return the (x, y) of all places, row by row."""
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], 1)


class AnchorGenerator(Module):
    """Boxes of some sizes and ratios around each pixel of feature maps (Ren et al., 2015).

    Args:
        sizes: of each map, the square roots of the boxes' areas; numbers are one for each map.
        aspect_ratios: of each map, height over width; numbers are those of all maps.

    The call takes images (batch, channels, height, width), or what has them as `tensors`, and a list of
    feature maps. It returns for each image the boxes (count, 4) of all maps: row by row, at each pixel ratio
    by ratio, size by size.

    Raises:
        ValueError: not as many sizes as aspect ratios, or feature maps as sizes.

    >>> import numpy as np
    >>> anchors = AnchorGenerator((32,), ((1.0,),))
    >>> anchors(np.ones((1, 3, 64, 64)), [np.ones((1, 8, 2, 2))])[0].tolist()[:2]
    [[-16.0, -16.0, 16.0, 16.0], [16.0, -16.0, 48.0, 16.0]]
    """

    def __init__(
        self,
        sizes: Sequence[Any] = ((128, 256, 512),),
        aspect_ratios: Sequence[Any] = ((0.5, 1.0, 2.0),),
    ) -> None:
        super().__init__()
        if not isinstance(sizes[0], (list, tuple)):
            sizes = tuple((size,) for size in sizes)
        if not isinstance(aspect_ratios[0], (list, tuple)):
            aspect_ratios = (tuple(aspect_ratios),) * len(sizes)
        if len(sizes) != len(aspect_ratios):
            raise ValueError(
                f"expected sizes and aspect_ratios of as many maps, got {len(sizes)} and {len(aspect_ratios)}"
            )
        self.sizes, self.aspect_ratios = tuple(map(tuple, sizes)), tuple(map(tuple, aspect_ratios))

    def num_anchors_per_location(self) -> list[int]:
        """Return how many boxes each pixel of each map has."""
        pairs = zip(self.sizes, self.aspect_ratios, strict=True)
        return [len(sizes) * len(ratios) for sizes, ratios in pairs]

    def cell_anchors(self, level: int) -> Any:
        """Return the boxes (count, 4) of a map around the origin, to whole numbers.

        >>> AnchorGenerator((10,), ((1.0,),)).cell_anchors(0).tolist()
        [[-5.0, -5.0, 5.0, 5.0]]
        """
        heights = np.sqrt(np.array(self.aspect_ratios[level], np.float32))
        scales = np.array(self.sizes[level], np.float32)
        w, h = ((factor[:, None] * scales).ravel() for factor in (1 / heights, heights))
        corners: Any = np.stack([-w, -h, w, h], 1)
        return np.round(corners / 2)

    def forward(self, images: Any, feature_maps: Sequence[Any]) -> list[Any]:
        batch, (height, width), grids = _sizes(images, feature_maps)
        if len(grids) != len(self.sizes):
            raise shape_error(
                "AnchorGenerator",
                f"expected {len(self.sizes)} feature maps, one for each of sizes, got {len(grids)}",
            )
        found = []
        for level, (rows, columns) in enumerate(grids):
            places = _grid(np.arange(rows) * (height // rows), np.arange(columns) * (width // columns))
            corners = np.tile(places, 2)[:, None].astype(np.float32)
            found.append((corners + self.cell_anchors(level)).reshape(-1, 4))
        boxes = as_tensor(np.concatenate(found), "AnchorGenerator")
        return [boxes for _ in range(batch)]

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}, aspect_ratios={self.aspect_ratios}"


class DefaultBoxGenerator(Module):
    """The boxes of SSD around each pixel of feature maps (Liu et al., 2016).

    Args:
        aspect_ratios: of each map, width over height; each one stands for itself and its inverse, beside two
            squares.
        min_ratio, max_ratio: scales of the first and the last map where `scales` are not given.
        scales: of each map, and one more, as shares of the image.
        steps: of each map, image pixels from box to box; None: the image's extent over the map's.
        clip: whether widths and heights are at most the image's.

    The call takes images (batch, channels, height, width), or what has them as `tensors`, and a list of
    feature maps. It returns for each image the boxes (count, 4) of all maps.

    Raises:
        ValueError: not a step for each map, one scale more than maps, or a map for each of `aspect_ratios`.

    >>> import numpy as np
    >>> boxes = DefaultBoxGenerator([[2]], scales=[0.5, 0.5])
    >>> boxes(np.ones((1, 3, 8, 8)), [np.ones((1, 4, 1, 1))])[0].tolist()[0]
    [2.0, 2.0, 6.0, 6.0]
    """

    def __init__(
        self,
        aspect_ratios: Sequence[Sequence[float]],
        min_ratio: float = 0.15,
        max_ratio: float = 0.9,
        scales: Sequence[float] | None = None,
        steps: Sequence[int] | None = None,
        clip: bool = True,
    ) -> None:
        super().__init__()
        maps = len(aspect_ratios)
        if steps is not None and len(steps) != maps:
            raise ValueError(f"expected a step for each of {maps} aspect_ratios, got {len(steps)}")
        if scales is None and maps > 1:
            scales = [min_ratio + (max_ratio - min_ratio) * k / (maps - 1.0) for k in range(maps)] + [1.0]
        self.scales = [min_ratio, max_ratio] if scales is None else list(scales)
        if len(self.scales) != maps + 1:
            raise ValueError(f"expected {maps + 1} scales for {maps} aspect_ratios, got {len(self.scales)}")
        self.aspect_ratios = [list(ratios) for ratios in aspect_ratios]
        self.steps = None if steps is None else list(steps)
        self.clip = bool(clip)

    def num_anchors_per_location(self) -> list[int]:
        """Return how many boxes each pixel of each map has."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def sides(self, level: int) -> Any:
        """Return the widths and heights (count, 2) of a map's boxes, as shares of the image.

        >>> DefaultBoxGenerator([[4]], scales=[0.25, 0.25]).sides(0).tolist()
        [[0.25, 0.25], [0.25, 0.25], [0.5, 0.125], [0.125, 0.5]]
        """
        scale, after = self.scales[level : level + 2]
        found = [[scale, scale], [sqrt(scale * after)] * 2]
        for ratio in self.aspect_ratios[level]:
            wide, high = scale * sqrt(ratio), scale / sqrt(ratio)
            found += [[wide, high], [high, wide]]
        sides = np.array(found, np.float32)
        return np.clip(sides, 0, 1) if self.clip else sides

    def forward(self, images: Any, feature_maps: Sequence[Any]) -> list[Any]:
        batch, (height, width), grids = _sizes(images, feature_maps)
        if len(grids) != len(self.aspect_ratios):
            raise shape_error(
                "DefaultBoxGenerator",
                f"expected {len(self.aspect_ratios)} feature maps, as of aspect_ratios, got {len(grids)}",
            )
        found = []
        for level, (rows, columns) in enumerate(grids):
            down: float = rows
            across: float = columns
            if self.steps is not None:
                down, across = height / self.steps[level], width / self.steps[level]
            places = _grid((np.arange(rows) + 0.5) / down, (np.arange(columns) + 0.5) / across)
            centers = places[:, None].astype(np.float32)
            half = np.float32(0.5) * self.sides(level)
            corners = np.concatenate([centers - half, centers + half], 2)
            found.append(corners.reshape(-1, 4))
        extents = np.array([width, height, width, height], np.float32)
        boxes = as_tensor(np.concatenate(found) * extents, "DefaultBoxGenerator")
        return [boxes for _ in range(batch)]

    def extra_repr(self) -> str:
        return (
            f"aspect_ratios={self.aspect_ratios}, clip={self.clip}, scales={self.scales}, steps={self.steps}"
        )
