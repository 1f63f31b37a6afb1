# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from ..ops.conv_transpose import transposed_extents
from . import init
from .arguments import pair, positive
from .module import Module
from .parameter import Parameter


class ConvTranspose2d(Module):
    """Transposed convolution over images (batch, in_channels, height, width): `Conv2d` backwards.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int or pair (height, width).
        stride: int or pair: distance in the output between neighbouring pixels of the input.
        padding: int or pair: rows and columns cut off on every side of the output.
        output_padding: int or pair: rows and columns added at the bottom and the right.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        dilation: int or pair: distance between taps.
        padding_mode: "zeros", the only one there is.

    `weight` is (in_channels, out_channels / groups, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> up = ConvTranspose2d(16, 8, kernel_size=2, stride=2)
    >>> up(np.zeros((1, 16, 8, 8))).shape
    (1, 8, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        self.output_padding = pair("output_padding", output_padding, 0)
        self.groups = positive("groups", groups)
        self.dilation = pair("dilation", dilation, 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % self.groups:
                raise ValueError(f"expected {name} to be a multiple of groups, got {channels} and {groups}")
        if padding_mode != "zeros":
            raise ValueError(f"expected padding_mode 'zeros', got {padding_mode!r}")
        self.weight = Parameter(
            aligned_empty((self.in_channels, self.out_channels // self.groups, *self.kernel_size))
        )
        self.register_parameter("bias", Parameter(aligned_empty((self.out_channels,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """Return the output; `output_size`, a pair, stands in for `output_padding` where it is given."""
        return ops.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding if output_size is None else self._padding_for(input, output_size),
            self.groups,
            self.dilation,
        )

    def _padding_for(self, input: Any, output_size: Any) -> tuple[int, int]:
        wanted = pair("output_size", tuple(output_size)[-2:], 1)
        smallest = transposed_extents(
            input.shape, self.weight.shape, self.stride, self.padding, (0, 0), self.dilation
        )
        height, width = (size - least for size, least in zip(wanted, smallest, strict=True))
        if not (0 <= height < self.stride[0] and 0 <= width < self.stride[1]):
            largest = tuple(least + step - 1 for least, step in zip(smallest, self.stride, strict=True))
            raise ValueError(
                f"expected output_size from {smallest} to {largest} for input {input.shape}, got {wanted}"
            )
        return height, width

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        defaults = (("padding", (0, 0)), ("dilation", (1, 1)), ("output_padding", (0, 0)), ("groups", 1))
        for name, default in defaults:
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text if self.bias is not None else text + ", bias=False"
