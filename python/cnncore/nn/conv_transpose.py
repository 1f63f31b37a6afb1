# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from ..ops.conv_transpose import transposed_extents
from .conv import Convolution
from .placement import check_placement


class _ConvTranspose(Convolution):
    shown = (("padding", 0), ("dilation", 1), ("output_padding", 0), ("groups", 1))
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = self.tuple_of("padding", padding, 0)
        self.output_padding = self.tuple_of("output_padding", output_padding, 0)
        self.make_parameters((self.in_channels, self.out_channels // self.groups), bias)

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """Return the output; `output_size`, its spatial extents, stands in for `output_padding`."""
        return self.function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding if output_size is None else self._padding_for(input, output_size),
            self.groups,
            self.dilation,
        )

    def _padding_for(self, input: Any, output_size: Any) -> tuple[int, ...]:
        wanted = self.tuple_of("output_size", tuple(output_size)[-self.rank :], 1)
        zeros = (0,) * self.rank
        smallest = transposed_extents(
            input.shape, self.weight.shape, self.stride, self.padding, zeros, self.dilation
        )
        added = tuple(size - least for size, least in zip(wanted, smallest, strict=True))
        if not all(0 <= more < step for more, step in zip(added, self.stride, strict=True)):
            largest = tuple(least + step - 1 for least, step in zip(smallest, self.stride, strict=True))
            raise ValueError(
                f"expected output_size from {smallest} to {largest} for input {input.shape}, got {wanted}"
            )
        return added


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over sequences (batch, in_channels, length): `Conv1d` backwards.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int.
        stride: int: distance in the output between neighbouring elements of the input.
        padding: int: elements cut off on every side of the output.
        output_padding: int: elements added at the end.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        dilation: int: distance between taps.
        padding_mode: "zeros", the only one there is.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (in_channels, out_channels / groups, length), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> up = ConvTranspose1d(16, 8, kernel_size=2, stride=2)
    >>> up(np.zeros((1, 16, 8))).shape
    (1, 8, 16)
    """

    rank = 1
    function = staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
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
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (in_channels, out_channels / groups, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> up = ConvTranspose2d(16, 8, kernel_size=2, stride=2)
    >>> up(np.zeros((1, 16, 8, 8))).shape
    (1, 8, 16, 16)
    """

    rank = 2
    function = staticmethod(ops.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over volumes (batch, in_channels, depth, height, width): `Conv3d` backwards.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size: int or triple.
        stride: int or triple: distance in the output between neighbouring voxels of the input.
        padding: int or triple: planes, rows and columns cut off on every side of the output.
        output_padding: int or triple: planes, rows and columns added at the ends.
        groups: channel groups convolved apart; must divide in_channels and out_channels.
        bias: whether to add a learnt bias.
        dilation: int or triple: distance between taps.
        padding_mode: "zeros", the only one there is.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (in_channels, out_channels / groups, depth, height, width), `bias` (out_channels,); both
    start as torch's do.

    >>> import numpy as np
    >>> up = ConvTranspose3d(16, 8, kernel_size=2, stride=2)
    >>> up(np.zeros((1, 16, 4, 8, 8))).shape
    (1, 8, 8, 16, 16)
    """

    rank = 3
    function = staticmethod(ops.conv_transpose3d)
