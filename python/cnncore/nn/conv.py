# SPDX-License-Identifier: Apache-2.0
"""Convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import at_least, pair, positive
from .module import Module
from .parameter import Parameter


class Convolution(Module):
    """What `Conv2d` and `ConvTranspose2d` share: checked settings, the two parameters, how they print."""

    shown: tuple[tuple[str, object], ...] = ()
    """Settings that print unless they have this value."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int],
        dilation: int | tuple[int, int],
        groups: int,
        padding_mode: str,
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.dilation = pair("dilation", dilation, 1)
        self.groups = positive("groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % self.groups:
                raise ValueError(f"expected {name} to be a multiple of groups, got {channels} and {groups}")
        if padding_mode != "zeros":
            raise ValueError(f"expected padding_mode 'zeros', got {padding_mode!r}; use ops.pad before it")

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
            if value != default:
                text += f", {name}={value}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(Convolution):
    """Convolution over images (batch, in_channels, height, width).

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int or pair (height, width).
        stride: int or pair.
        padding: int, pair, per-side pairs ((top, bottom), (left, right)), "same" or "valid".
        dilation: int or pair: distance between taps.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        padding_mode: "zeros", the only one there is.

    `weight` is (out_channels, in_channels / groups, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> Conv2d(3, 8, kernel_size=3, stride=2, padding=1)(np.zeros((1, 3, 32, 32))).shape
    (1, 8, 16, 16)
    """

    shown = (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1))

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = _padding(padding, self.stride)
        self.make_parameters((self.out_channels, self.in_channels // self.groups), bias)

    def forward(self, input: Any) -> Any:
        return ops.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def _padding(padding: Any, stride: tuple[int, int]) -> Any:
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"expected padding 'same', 'valid' or numbers, got {padding!r}")
        if padding == "same" and stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got stride {stride}")
        return padding
    if isinstance(padding, (tuple, list)) and len(padding) == 2 and isinstance(padding[0], (tuple, list)):
        return tuple(pair("padding", sides, 0) for sides in padding)
    if hasattr(padding, "__index__"):
        at_least("padding", padding, 0)
    return pair("padding", padding, 0)
