# SPDX-License-Identifier: Apache-2.0
"""Layers that pool regions of images, and deformable convolution, by torchvision's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

import numpy as np

from .. import ops
from ..graph.trace import shape_error
from ..ops.roi import regions_of
from .arguments import finite, integer, ntuple, positive, several
from .conv import Conv2d
from .module import Module

__all__ = ["DeformConv2d", "MultiScaleRoIAlign", "PSRoIAlign", "PSRoIPool", "RoIAlign", "RoIPool"]


class _Pooling(Module):
    def __init__(self, output_size: int | Sequence[int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size = ntuple("output_size", output_size, 1, 2)
        self.spatial_scale = finite("spatial_scale", spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


class RoIAlign(_Pooling):
    """Regions of images as bins that are means of bilinear samples (He et al., 2017): `ops.roi_align`.

    Args:
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of the input for one of the boxes'.
        sampling_ratio: samples of a bin on each axis; up to 0: one for each pixel that it is long.
        aligned: whether pixel i is at i + 0.5 of the boxes' coordinates.

    >>> import numpy as np
    >>> RoIAlign(7, 0.5, 2)(np.ones((1, 3, 8, 8)), np.array([[0.0, 1, 2, 9, 12]])).shape
    (1, 3, 7, 7)
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__(output_size, spatial_scale)
        self.sampling_ratio, self.aligned = integer("sampling_ratio", sampling_ratio), bool(aligned)

    def forward(self, input: Any, rois: Any) -> Any:
        rule = (self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)
        return ops.roi_align(input, rois, *rule)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"


class RoIPool(_Pooling):
    """Regions of images as bins that are the largest of their pixels (Girshick, 2015): `ops.roi_pool`.

    Args:
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of the input for one of the boxes'.

    >>> import numpy as np
    >>> RoIPool(7, 0.5)(np.ones((1, 3, 8, 8)), np.array([[0.0, 1, 2, 9, 12]])).shape
    (1, 3, 7, 7)
    """

    def forward(self, input: Any, rois: Any) -> Any:
        return ops.roi_pool(input, rois, self.output_size, self.spatial_scale)


class PSRoIAlign(_Pooling):
    """Regions as means of bilinear samples, each bin of channels of its own: `ops.ps_roi_align`.

    Args:
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of the input for one of the boxes'.
        sampling_ratio: samples of a bin on each axis; up to 0: one for each pixel that it is long.

    >>> import numpy as np
    >>> PSRoIAlign(2, 0.5, 2)(np.ones((1, 12, 8, 8)), np.array([[0.0, 1, 2, 9, 12]])).shape
    (1, 3, 2, 2)
    """

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float, sampling_ratio: int) -> None:
        super().__init__(output_size, spatial_scale)
        self.sampling_ratio = integer("sampling_ratio", sampling_ratio)

    def forward(self, input: Any, rois: Any) -> Any:
        return ops.ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sampling_ratio={self.sampling_ratio}"


class PSRoIPool(_Pooling):
    """Regions as means of pixels, each bin of channels of its own (Dai et al., 2016): `ops.ps_roi_pool`.

    Args:
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of the input for one of the boxes'.

    >>> import numpy as np
    >>> PSRoIPool(2, 0.5)(np.ones((1, 12, 8, 8)), np.array([[0.0, 1, 2, 9, 12]])).shape
    (1, 3, 2, 2)
    """

    def forward(self, input: Any, rois: Any) -> Any:
        return ops.ps_roi_pool(input, rois, self.output_size, self.spatial_scale)


class MultiScaleRoIAlign(Module):
    """Regions pooled from that level of a feature pyramid that suits their size (Lin et al., 2017).

    A region of area a is of level floor(canonical_level + log2(sqrt(a) / canonical_scale)). Boxes have the
    images' coordinates; the levels' scales are powers of two, taken from the first call's shapes.

    Args:
        featmap_names: which of the maps to pool from, finest first.
        output_size: bins down and across, an int for both.
        sampling_ratio: samples of a bin on each axis; up to 0: one for each pixel that it is long.
        canonical_scale, canonical_level: see above.

    Raises:
        ValueError: none of the maps is named, or no shapes of images.

    >>> import numpy as np
    >>> pool = MultiScaleRoIAlign(["a", "b"], 3, 2)
    >>> maps = {"a": np.ones((1, 5, 64, 64)), "b": np.ones((1, 5, 32, 32))}
    >>> pool(maps, [np.array([[0.0, 0.0, 99.0, 50.0]])], [(256, 256)]).shape
    (1, 5, 3, 3)
    """

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: int | Sequence[int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        self.featmap_names = list(several("featmap_names", featmap_names, "names"))
        self.output_size = ntuple("output_size", output_size, 1, 2)
        self.sampling_ratio = integer("sampling_ratio", sampling_ratio)
        self.canonical_scale = positive("canonical_scale", canonical_scale)
        self.canonical_level = integer("canonical_level", canonical_level)

    def forward(self, x: Mapping[str, Any], boxes: Any, image_shapes: Sequence[Sequence[int]]) -> Any:
        maps = [value for name, value in x.items() if name in self.featmap_names]
        if not maps or not image_shapes:
            raise shape_error(
                "MultiScaleRoIAlign",
                f"expected maps of {self.featmap_names} and shapes of images, got {list(x)}, {image_shapes}",
            )
        height = max(int(shape[0]) for shape in image_shapes)
        scales = [2.0 ** round(log2(value.shape[-2] / height)) for value in maps]
        rois = regions_of("MultiScaleRoIAlign", boxes, maps[0].shape[0])
        if len(maps) == 1:
            return ops.roi_align(maps[0], rois, self.output_size, scales[0], self.sampling_ratio)
        return self._levels(maps, scales, rois)

    def _levels(self, maps: Sequence[Any], scales: Sequence[float], rois: Any) -> Any:
        """Pool from every level: regions of others are NaN there, which costs nothing and gives 0."""
        first, last = (int(-log2(scale)) for scale in (scales[0], scales[-1]))
        area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
        level = ops.floor(self.canonical_level + ops.log2(ops.sqrt(area) / self.canonical_scale) + 1e-6)
        level = ops.clamp(level, float(first), float(last))[:, None]
        pooled: Any = None
        for i, (value, scale) in enumerate(zip(maps, scales, strict=True)):
            corners = ops.where(level == float(first + i), rois[:, 1:], np.float32(np.nan))
            own = ops.concat([rois[:, :1], corners], 1)
            bins = ops.roi_align(value, own, self.output_size, scale, self.sampling_ratio)
            pooled = bins if pooled is None else pooled + bins
        return pooled

    def extra_repr(self) -> str:
        return (
            f"featmap_names={self.featmap_names}, output_size={self.output_size}, "
            f"sampling_ratio={self.sampling_ratio}"
        )


class DeformConv2d(Conv2d):
    """Convolution with taps that offsets move (Dai et al., 2017): `ops.deform_conv2d`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as those of
            `nn.Conv2d`; padding is an int or a pair.

    The call takes the input, the offset and, for the second version, the mask.

    Raises:
        ValueError: a setting out of its range, channels that `groups` does not divide, or a `padding` that is
            no number or pair.

    >>> import numpy as np
    >>> DeformConv2d(3, 8, 3, padding=1)(np.ones((1, 3, 5, 5)), np.zeros((1, 18, 5, 5))).shape
    (1, 8, 5, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        pads = ntuple("padding", padding, 0, 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, pads, dilation, groups, bias)

    def forward(self, input: Any, offset: Any, mask: Any = None) -> Any:  # type: ignore[override]
        window = (self.stride, self.padding, self.dilation)
        return ops.deform_conv2d(input, offset, self.weight, self.bias, *window, mask)
