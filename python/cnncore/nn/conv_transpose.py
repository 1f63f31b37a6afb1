# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.conv_transpose import transposed_extents
from .arguments import pair
from .conv import Convolution


class ConvTranspose2d(Convolution):
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

    shown = (("padding", (0, 0)), ("dilation", (1, 1)), ("output_padding", (0, 0)), ("groups", 1))

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
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = pair("padding", padding, 0)
        self.output_padding = pair("output_padding", output_padding, 0)
        self.make_parameters((self.in_channels, self.out_channels // self.groups), bias)

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
