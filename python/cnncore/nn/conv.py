# SPDX-License-Identifier: Apache-2.0
"""Convolution layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import ntuple, positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement


class Convolution(Module):
    """What convolutions and transposed convolutions share: settings, the two parameters, how they print."""

    rank: int
    """Spatial axes."""
    padding_modes: tuple[str, ...] = ("zeros",)
    shown: tuple[tuple[str, int], ...]
    """Settings that print unless they have this value, on each axis."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: int,
        padding_mode: str,
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = self.tuple_of("kernel_size", kernel_size, 1)
        self.stride = self.tuple_of("stride", stride, 1)
        self.dilation = self.tuple_of("dilation", dilation, 1)
        self.groups = positive("groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % self.groups:
                raise ValueError(f"expected {name} to be a multiple of groups, got {channels} and {groups}")
        if padding_mode not in self.padding_modes:
            known = " or ".join(map(repr, self.padding_modes))
            raise ValueError(f"expected padding_mode {known}, got {padding_mode!r}")
        self.padding_mode = padding_mode

    def tuple_of(self, name: str, value: Any, least: int) -> tuple[int, ...]:
        """Return a setting as a number for each spatial axis."""
        return ntuple(name, value, least, self.rank)

    def make_parameters(self, channels: tuple[int, int], bias: bool) -> None:
        """Add `weight`, whose first two axes are `channels`, and `bias`, with initial values."""
        self.weight = Parameter(aligned_empty((*channels, *self.kernel_size)))
        self.register_parameter("bias", Parameter(aligned_empty((self.out_channels,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, default in self.shown:
            value = getattr(self, name)
            if value not in (default, (default,) * self.rank):
                text += f", {name}={value}"
        text = text if self.bias is not None else text + ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Conv(Convolution):
    shown = (("padding", 0), ("dilation", 1), ("groups", 1))
    padding_modes = ("zeros", "reflect", "replicate", "circular")
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = self._padding(padding)
        self.make_parameters((self.out_channels, self.in_channels // self.groups), bias)

    def forward(self, input: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = ops.pad(input, self._sides(), self.padding_mode), 0
        return self.function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self) -> list[int]:
        """Return the padding before and after each axis, the last axis first."""
        if self.padding == "valid":
            pairs = [(0, 0)] * self.rank
        elif self.padding == "same":
            reaches = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(reach // 2, reach - reach // 2) for reach in reaches]
        else:
            pairs = [side if isinstance(side, tuple) else (side, side) for side in self.padding]
        return [n for pair in reversed(pairs) for n in pair]

    def _padding(self, padding: Any) -> Any:
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"expected padding 'same', 'valid' or numbers, got {padding!r}")
            if padding == "same" and max(self.stride) > 1:
                raise ValueError(f"padding='same' needs stride 1, got stride {self.stride}")
            return padding
        if isinstance(padding, (tuple, list)) and any(isinstance(side, (tuple, list)) for side in padding):
            if len(padding) != self.rank:
                raise ValueError(f"expected padding of {self.rank} pairs, got {padding!r}")
            return tuple(ntuple("padding", sides, 0, 2) for sides in padding)
        return self.tuple_of("padding", padding, 0)


class Conv1d(_Conv):
    """Convolution over sequences (batch, in_channels, length).

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int.
        stride: int.
        padding: int, a pair for the two sides ((left, right),), "same" or "valid".
        dilation: int: distance between taps.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        padding_mode: "zeros", or as `ops.pad` has them: "reflect", "replicate" or "circular".
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (out_channels, in_channels / groups, length), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> Conv1d(4, 8, kernel_size=5, padding="same")(np.zeros((1, 4, 100))).shape
    (1, 8, 100)
    """

    rank = 1
    function = staticmethod(ops.conv1d)


class Conv2d(_Conv):
    """Convolution over images (batch, in_channels, height, width).

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int or pair (height, width).
        stride: int or pair.
        padding: int, pair, per-side pairs ((top, bottom), (left, right)), "same" or "valid".
        dilation: int or pair: distance between taps.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        padding_mode: "zeros", or as `ops.pad` has them: "reflect", "replicate" or "circular".
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (out_channels, in_channels / groups, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> Conv2d(3, 8, kernel_size=3, stride=2, padding=1)(np.zeros((1, 3, 32, 32))).shape
    (1, 8, 16, 16)
    """

    rank = 2
    function = staticmethod(ops.conv2d)


class Conv3d(_Conv):
    """Convolution over volumes (batch, in_channels, depth, height, width).

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int or triple (depth, height, width).
        stride: int or triple.
        padding: int, triple, per-side pairs ((front, back), (top, bottom), (left, right)), "same" or "valid".
        dilation: int or triple: distance between taps.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        padding_mode: "zeros", or as `ops.pad` has them: "reflect", "replicate" or "circular".
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (out_channels, in_channels / groups, depth, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> Conv3d(1, 4, kernel_size=3, stride=(1, 2, 2), padding=1)(np.zeros((1, 1, 8, 16, 16))).shape
    (1, 4, 8, 8, 8)
    """

    rank = 3
    function = staticmethod(ops.conv3d)
