# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2, by Sandler et al. (2018), "Inverted residuals and linear bottlenecks"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import nn
from ..nn.arguments import count
from .arguments import CommonOptions, NormLayer, torchvision_names
from .blocks import Conv2dNormActivation, divisible, draw, he_fan_out, normal, pooled
from .checking import checked

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "MobileNetV2",
    "mobilenet_v2",
]

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of the first block of each stage."""


Stages = Sequence[Sequence[float]]

_conv = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)


class MobileNetV2Options(CommonOptions, total=False):
    """Arguments of `MobileNetV2` that `mobilenet_v2` passes on."""

    inverted_residual_setting: Stages | None
    round_nearest: int
    block: Callable[..., nn.Module] | None
    norm_layer: NormLayer | None


class InvertedResidual(nn.Module):
    """1x1 expansion (unless by 1), 3x3 depthwise, 1x1 projection; with a shortcut where shapes allow it."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        expand_ratio: float,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"expected a stride of 1 or 2, got {stride}")
        hidden = round(in_channels * expand_ratio)
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(_conv(in_channels, hidden, 1, norm_layer=norm_layer))
        layers += [
            _conv(hidden, hidden, 3, stride, groups=hidden, norm_layer=norm_layer),
            nn.Conv2d(hidden, channels, 1, bias=False),
            norm_layer(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
    """Seventeen inverted residual blocks between a 3x3 and a 1x1 convolution.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.
        width_mult: factor for the channels of all layers.
        round_nearest: channels are rounded to a multiple of this.
        dropout: probability of the dropout before the linear layer.
        inverted_residual_setting: expansion, channels, blocks and stride of each stage; None: the paper's.
        block: makes a block from (in_channels, channels, stride, expand_ratio=, norm_layer=); None:
            `InvertedResidual`.
        norm_layer: makes a norm of so many channels; None: `nn.BatchNorm2d`.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        classes: int = 1000,
        in_channels: int = 3,
        width_mult: float = 1.0,
        round_nearest: int = 8,
        dropout: float = 0.2,
        inverted_residual_setting: Stages | None = None,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: NormLayer | None = None,
    ) -> None:
        super().__init__()
        block, norm_layer = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        channels = divisible(32 * width_mult, round_nearest)
        layers: list[nn.Module] = [_conv(in_channels, channels, 3, 2, norm_layer=norm_layer)]
        for expansion, base, blocks, first_stride in _stages(inverted_residual_setting):
            outputs = divisible(base * width_mult, round_nearest)
            for number in range(count("the blocks of inverted_residual_setting", blocks)):
                stride = 1 if number else int(first_stride)
                layers.append(block(channels, outputs, stride, expand_ratio=expansion, norm_layer=norm_layer))
                channels = outputs
        last = divisible(1280 * max(1.0, width_mult), round_nearest)
        self.features = nn.Sequential(*layers, _conv(channels, last, 1, norm_layer=norm_layer))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))
        draw(self, he_fan_out, normal(0.01))

    def forward(self, x: Any) -> Any:
        return self.classifier(pooled(self.features(x)))


def _stages(setting: Stages | None) -> Stages:
    if setting is None:
        return _STAGES
    if (
        not isinstance(setting, Sequence)
        or not setting
        or any(not isinstance(stage, Sequence) or len(stage) != 4 for stage in setting)
    ):
        raise ValueError(
            "expected inverted_residual_setting as a list of (expansion, channels, blocks, stride), "
            f"got {setting!r}"
        )
    return setting


@torchvision_names
def mobilenet_v2(
    classes: int = 1000,
    in_channels: int = 3,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    **options: Unpack[MobileNetV2Options],
) -> MobileNetV2:
    """Return a `MobileNetV2` (3.5 million parameters).

    Arguments as those of `MobileNetV2`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return MobileNetV2(classes, in_channels, width_mult, dropout=dropout, **dict[str, Any](options))
