# SPDX-License-Identifier: Apache-2.0
"""Networks for videos (batch, channels, frames, height, width)."""

from .resnet import VideoResNet, mc3_18, r2plus1d_18, r3d_18

__all__ = ["VideoResNet", "mc3_18", "r2plus1d_18", "r3d_18"]
