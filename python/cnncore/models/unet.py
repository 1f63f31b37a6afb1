# SPDX-License-Identifier: Apache-2.0
"""U-Net, by Ronneberger et al. (2015), with padded convolutions and batch norm."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .checking import checked

__all__ = [
    "UNet",
    "unet",
]


class DoubleConv(nn.Module):
    """Twice: 3x3 convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.bn1(self.conv1(x)))
        return ops.relu(self.bn2(self.conv2(x)))


class UNet(nn.Module):
    """Four levels down, four levels up, with skip connections; it gives logits for each pixel.

    Args:
        in_channels: channels of the images.
        classes: channels of the output.
        width: channels of the first level; they double with each level.

    Called with (batch, in_channels, height, width), both extents multiples of 16; returns logits (batch,
    classes, height, width).
    """

    @checked
    def __init__(self, in_channels: int = 3, classes: int = 2, width: int = 32) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.down = nn.ModuleList()
        for channels in widths:
            self.down.append(DoubleConv(in_channels, channels))
            in_channels = channels
        self.bottom = DoubleConv(in_channels, 2 * in_channels)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in reversed(widths))
        self.up = nn.ModuleList(DoubleConv(2 * n, n) for n in reversed(widths))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        if any(extent % 16 for extent in x.shape[2:]):
            raise ValueError(f"expected images whose height and width are multiples of 16, got {x.shape}")
        skips = []
        for level in self.down:
            skips.append(level(x))
            x = ops.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for upsample, level, skip in zip(self.upsample, self.up, reversed(skips), strict=True):
            x = level(ops.concat([skip, upsample(x)], dim=1))
        return self.head(x)


def unet(in_channels: int = 3, classes: int = 2, width: int = 32) -> UNet:
    """Return a `UNet` (7.8 million parameters with a width of 32)."""
    return UNet(in_channels, classes, width)
