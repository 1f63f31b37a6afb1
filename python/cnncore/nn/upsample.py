# SPDX-License-Identifier: Apache-2.0
"""Layers whose output has other extents than their input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..ops.upsample import MODES
from .arguments import extents, finite, flag, one_of, positive
from .module import Module

__all__ = [
    "ChannelShuffle",
    "PixelShuffle",
    "PixelUnshuffle",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]


class Upsample(Module):
    """Images resized by `ops.interpolate`.

    Args:
        size: the output's spatial extents, an int for all axes.
        scale_factor: or what to multiply the input's with.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area".
        align_corners: whether the corner pixels' centers stay corners, for the modes that weigh.
        recompute_scale_factor: derive places from the rounded extents instead of from `scale_factor`.

    Raises:
        ValueError: an unknown mode, or a size below 1; in a call, neither or both of `size` and
            `scale_factor`.

    >>> import numpy as np
    >>> Upsample(scale_factor=2, mode="bilinear")(np.zeros((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = None if size is None else extents("size", size, 1)
        self.scale_factor: Any = None
        if isinstance(scale_factor, (tuple, list)) and scale_factor:
            self.scale_factor = tuple(finite("scale_factor", factor, 0) for factor in scale_factor)
        elif scale_factor is not None:
            self.scale_factor = finite("scale_factor", scale_factor, 0)
        self.mode = one_of("mode", mode, tuple(MODES))
        self.align_corners = None if align_corners is None else flag("align_corners", align_corners)
        self.recompute_scale_factor = (
            None if recompute_scale_factor is None else flag("recompute_scale_factor", recompute_scale_factor)
        )

    def forward(self, input: Any) -> Any:
        return ops.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        given = self.size if self.scale_factor is None else self.scale_factor
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={given!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images resized to the nearest pixels: Upsample with mode "nearest".

    Args:
        size: the output's height and width, an int for both.
        scale_factor: or what to multiply the input's with.

    >>> import numpy as np
    >>> UpsamplingNearest2d(scale_factor=2)(np.zeros((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """Images resized bilinearly with corners that stay: Upsample with `align_corners`.

    Args:
        size: the output's height and width, an int for both.
        scale_factor: or what to multiply the input's with.

    >>> import numpy as np
    >>> UpsamplingBilinear2d(scale_factor=2)(np.zeros((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Blocks of r x r pixels made of r^2 channels: the sub-pixel convolution's last step (Shi et al., 2016).

    Args:
        upscale_factor: r.

    Raises:
        ValueError: `upscale_factor` below 1; in a call, channels that its square does not divide.

    >>> import numpy as np
    >>> PixelShuffle(2)(np.zeros((1, 12, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = positive("upscale_factor", upscale_factor)

    def forward(self, input: Any) -> Any:
        return ops.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """r^2 channels made of blocks of r x r pixels: the inverse of PixelShuffle.

    Args:
        downscale_factor: r.

    Raises:
        ValueError: `downscale_factor` below 1; in a call, extents that it does not divide.

    >>> import numpy as np
    >>> PixelUnshuffle(2)(np.zeros((1, 3, 8, 10))).shape
    (1, 12, 4, 5)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = positive("downscale_factor", downscale_factor)

    def forward(self, input: Any) -> Any:
        return ops.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The first channels of all groups, then the second ones, and so on (Zhang et al., 2018).

    Args:
        groups: groups of neighbouring channels; they are of one size.

    Raises:
        ValueError: `groups` below 1; in a call, channels that it does not divide.

    >>> import numpy as np
    >>> ChannelShuffle(2)(np.array([[[1.0], [2.0], [3.0], [4.0]]])).ravel().tolist()
    [1.0, 3.0, 2.0, 4.0]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = positive("groups", groups)

    def forward(self, input: Any) -> Any:
        return ops.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
