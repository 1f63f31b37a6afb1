# SPDX-License-Identifier: Apache-2.0
"""ShuffleNetV2, by Ma et al. (2018), "Practical guidelines for efficient CNN architecture design"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn, ops
from .arguments import torchvision_names
from .blocks import pooled
from .checking import checked

__all__ = [
    "ShuffleNetV2",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
]


class ShuffleBlock(nn.Module):
    """Half of the channels pass three convolutions, the others none (two with a stride); then shuffled."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        if stride not in (1, 2, 3):
            raise ValueError(f"expected a stride from 1 to 3, got {stride}")
        half = channels // 2
        if stride == 1 and in_channels != 2 * half:
            raise ValueError(
                f"expected as many channels out as in with a stride of 1, got {in_channels} and {channels}"
            )
        self.stride = stride
        first = in_channels if stride > 1 else half
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1.extend([*_depthwise(first, stride), *_pointwise(first, half)])
        self.branch2 = nn.Sequential(
            *_pointwise(first, half), *_depthwise(half, stride), *_pointwise(half, half)
        )

    def forward(self, x: Any) -> Any:
        if self.stride == 1:
            kept, x = ops.chunk(x, 2, dim=1)
        else:
            kept = self.branch1(x)
        return ops.channel_shuffle(ops.concat([kept, self.branch2(x)], dim=1), 2)


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]


def _pointwise(in_channels: int, channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]


class ShuffleNetV2(nn.Module):
    """Three stages of shuffled blocks between a 3x3 and a 1x1 convolution.

    Args:
        stages_repeats: blocks of each of the three stages.
        stages_out_channels: channels of the first convolution, the three stages and the last convolution.
        classes: number of outputs.
        in_channels: channels of the images.
        inverted_residual: makes a block from (in_channels, channels, stride).

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        classes: int = 1000,
        in_channels: int = 3,
        inverted_residual: Callable[..., nn.Module] = ShuffleBlock,
    ) -> None:
        super().__init__()
        if len(stages_repeats) != 3 or len(stages_out_channels) != 5:
            raise ValueError(
                "expected stages_repeats as three and stages_out_channels as five integers, "
                f"got {stages_repeats!r} and {stages_out_channels!r}"
            )
        channels, *stages, last = stages_out_channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, (outputs, repeats) in enumerate(zip(stages, stages_repeats, strict=True), 2):
            blocks = [inverted_residual(channels, outputs, 2)]
            blocks += [inverted_residual(outputs, outputs, 1) for _ in range(repeats - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            channels = outputs
        self.conv5 = nn.Sequential(*_pointwise(channels, last))
        self.fc = nn.Linear(last, classes)

    def forward(self, x: Any) -> Any:
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(pooled(self.conv5(x)))


def _shufflenet(
    channels: Sequence[int], classes: int, in_channels: int, options: dict[str, Any]
) -> ShuffleNetV2:
    return ShuffleNetV2((4, 8, 4), channels, classes, in_channels, **options)


@torchvision_names
def shufflenet_v2_x0_5(classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """Return a `ShuffleNetV2` of half the width (1.4 million parameters).

    Arguments as those of `ShuffleNetV2`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _shufflenet((24, 48, 96, 192, 1024), classes, in_channels, options)


@torchvision_names
def shufflenet_v2_x1_0(classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """Return a `ShuffleNetV2` (2.3 million parameters).

    Arguments as those of `ShuffleNetV2`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _shufflenet((24, 116, 232, 464, 1024), classes, in_channels, options)


@torchvision_names
def shufflenet_v2_x1_5(classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """Return a `ShuffleNetV2` of 1.5 times the width (3.5 million parameters).

    Arguments as those of `ShuffleNetV2`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _shufflenet((24, 176, 352, 704, 1024), classes, in_channels, options)


@torchvision_names
def shufflenet_v2_x2_0(classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """Return a `ShuffleNetV2` of twice the width (7.4 million parameters).

    Arguments as those of `ShuffleNetV2`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _shufflenet((24, 244, 488, 976, 2048), classes, in_channels, options)
