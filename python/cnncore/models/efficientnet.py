# SPDX-License-Identifier: Apache-2.0
"""EfficientNet and EfficientNetV2, by Tan and Le (2019, 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from .. import nn
from ..nn.arguments import count
from .arguments import torchvision_names
from .blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    divisible,
    draw,
    he_fan_out,
    pooled,
)
from .checking import checked, configurations

__all__ = [
    "EfficientNet",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
]


class BlockConfig(NamedTuple):
    """One stage: expansion, kernel, first stride, channels in and out, blocks, and what makes one."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable[..., nn.Module]


class _Residual(nn.Module):
    """Layers beside a shortcut where shapes allow it; in training some samples skip the layers."""

    def __init__(
        self, layers: Sequence[nn.Module], config: BlockConfig, stochastic_depth_prob: float
    ) -> None:
        super().__init__()
        if config.stride not in (1, 2):
            raise ValueError(f"expected a stride of 1 or 2, got {config.stride}")
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = nn.StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = config.out_channels
        self.has_shortcut = config.stride == 1 and config.input_channels == config.out_channels

    def forward(self, x: Any) -> Any:
        y = self.block(x)
        return self.stochastic_depth(y) + x if self.has_shortcut else y


class MBConv(_Residual):
    """1x1 expansion, depthwise convolution, squeeze-excitation, 1x1 projection."""

    def __init__(
        self,
        config: BlockConfig,
        stochastic_depth_prob: float,
        norm_layer: Layer,
        se_layer: Layer = SqueezeExcitation,
    ) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        channels = config.input_channels
        hidden = divisible(channels * config.expand_ratio, 8)
        layers: list[nn.Module] = [conv(channels, hidden, 1)] if hidden != channels else []
        layers += [
            conv(hidden, hidden, config.kernel, config.stride, groups=hidden),
            se_layer(hidden, max(1, channels // 4), activation=partial(nn.SiLU, inplace=True)),
            conv(hidden, config.out_channels, 1, activation_layer=None),
        ]
        super().__init__(layers, config, stochastic_depth_prob)


class FusedMBConv(_Residual):
    """One convolution in place of expansion and depthwise convolution, then a 1x1 projection."""

    def __init__(self, config: BlockConfig, stochastic_depth_prob: float, norm_layer: Layer) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        channels, outputs = config.input_channels, config.out_channels
        hidden = divisible(channels * config.expand_ratio, 8)
        if hidden != channels:
            layers: list[nn.Module] = [
                conv(channels, hidden, config.kernel, config.stride),
                conv(hidden, outputs, 1, activation_layer=None),
            ]
        else:
            layers = [conv(channels, outputs, config.kernel, config.stride)]
        super().__init__(layers, config, stochastic_depth_prob)


class EfficientNet(nn.Module):
    """Stages of `MBConv` and `FusedMBConv` blocks between a 3x3 and a 1x1 convolution.

    Args:
        inverted_residual_setting: a `BlockConfig` for each stage.
        dropout: probability of the dropout before the linear layer.
        stochastic_depth_prob: probability of skipping the last block, for each sample; it grows linearly.
        classes: number of outputs.
        in_channels: channels of the images.
        norm_layer: makes a norm of so many channels; None: `nn.BatchNorm2d`.
        last_channel: channels of the last convolution; None: four times those of the last stage.

    Called with (batch, in_channels, height, width); returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        inverted_residual_setting: Sequence[BlockConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        classes: int = 1000,
        in_channels: int = 3,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        setting = configurations("inverted_residual_setting", inverted_residual_setting, BlockConfig)
        conv = partial(
            Conv2dNormActivation, norm_layer=norm_layer or nn.BatchNorm2d, activation_layer=nn.SiLU
        )
        layers: list[nn.Module] = [conv(in_channels, setting[0].input_channels, 3, 2)]
        depths = [count("num_layers", config.num_layers) for config in setting]
        total, number = sum(depths), 0
        for config, depth in zip(setting, depths, strict=True):
            stage = []
            for _ in range(depth):
                skipped = stochastic_depth_prob * number / total
                stage.append(config.block(config, skipped, norm_layer or nn.BatchNorm2d))
                config = config._replace(input_channels=config.out_channels, stride=1)
                number += 1
            layers.append(nn.Sequential(*stage))
        channels = setting[-1].out_channels
        last = 4 * channels if last_channel is None else last_channel
        self.features = nn.Sequential(*layers, conv(channels, last, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout, inplace=True), nn.Linear(last, classes))
        bound = 1 / math.sqrt(classes)
        draw(self, he_fan_out, lambda weight: nn.init.uniform_(weight, -bound, bound))

    def forward(self, x: Any) -> Any:
        return self.classifier(pooled(self.features(x)))


_B0 = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
_V2_S = (
    (1, 3, 1, 24, 24, 2),
    (4, 3, 2, 24, 48, 4),
    (4, 3, 2, 48, 64, 4),
    (4, 3, 2, 64, 128, 6),
    (6, 3, 1, 128, 160, 9),
    (6, 3, 2, 160, 256, 15),
)
_V2_M = (
    (1, 3, 1, 24, 24, 3),
    (4, 3, 2, 24, 48, 5),
    (4, 3, 2, 48, 80, 5),
    (4, 3, 2, 80, 160, 7),
    (6, 3, 1, 160, 176, 14),
    (6, 3, 2, 176, 304, 18),
    (6, 3, 1, 304, 512, 5),
)
_V2_L = (
    (1, 3, 1, 32, 32, 4),
    (4, 3, 2, 32, 64, 7),
    (4, 3, 2, 64, 96, 7),
    (4, 3, 2, 96, 192, 10),
    (6, 3, 1, 192, 224, 19),
    (6, 3, 2, 224, 384, 25),
    (6, 3, 1, 384, 640, 7),
)
"""Expansion, kernel, stride, channels in and out, and blocks of each stage."""

Plan = Sequence[tuple[int, int, int, int, int, int]]


def _scaled(
    width: float, depth: float, dropout: float, common: tuple[int, int], options: Any
) -> EfficientNet:
    """Return EfficientNet B0 with channels and blocks multiplied; `common` has classes and in_channels."""
    setting = [
        BlockConfig(
            *stage[:3],
            divisible(stage[3] * width, 8),
            divisible(stage[4] * width, 8),
            math.ceil(stage[5] * depth),
            MBConv,
        )
        for stage in _B0
    ]
    return _network(setting, dropout, None, common, options)


def _second(plan: Plan, dropout: float, common: tuple[int, int], options: Any) -> EfficientNet:
    """Return an EfficientNetV2, whose first three stages have `FusedMBConv` blocks."""
    setting = [BlockConfig(*stage, FusedMBConv if n < 3 else MBConv) for n, stage in enumerate(plan)]
    options = {"norm_layer": partial(nn.BatchNorm2d, eps=0.001), **options}
    return _network(setting, dropout, 1280, common, options)


def _network(
    setting: list[BlockConfig], dropout: float, last: int | None, common: tuple[int, int], options: Any
) -> EfficientNet:
    classes, in_channels = common
    settings = {"inverted_residual_setting": setting, "dropout": dropout, "last_channel": last, **options}
    return EfficientNet(classes=classes, in_channels=in_channels, **settings)


_large_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
"""The batch norm of B5, B6 and B7."""


@torchvision_names
def efficientnet_b0(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B0, made for 224x224 (5.3 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.0, 1.0, 0.2, (classes, in_channels), options)


@torchvision_names
def efficientnet_b1(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B1, made for 240x240 (7.8 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.0, 1.1, 0.2, (classes, in_channels), options)


@torchvision_names
def efficientnet_b2(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B2, made for 288x288 (9.1 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.1, 1.2, 0.3, (classes, in_channels), options)


@torchvision_names
def efficientnet_b3(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B3, made for 300x300 (12.2 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.2, 1.4, 0.3, (classes, in_channels), options)


@torchvision_names
def efficientnet_b4(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B4, made for 380x380 (19.3 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.4, 1.8, 0.4, (classes, in_channels), options)


@torchvision_names
def efficientnet_b5(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B5, made for 456x456 (30.4 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.6, 2.2, 0.4, (classes, in_channels), {"norm_layer": _large_norm, **options})


@torchvision_names
def efficientnet_b6(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B6, made for 528x528 (43.0 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(1.8, 2.6, 0.5, (classes, in_channels), {"norm_layer": _large_norm, **options})


@torchvision_names
def efficientnet_b7(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNet B7, made for 600x600 (66.3 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _scaled(2.0, 3.1, 0.5, (classes, in_channels), {"norm_layer": _large_norm, **options})


@torchvision_names
def efficientnet_v2_s(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNetV2-S, made for 384x384 (21.5 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _second(_V2_S, 0.2, (classes, in_channels), options)


@torchvision_names
def efficientnet_v2_m(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNetV2-M, made for 480x480 (54.1 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _second(_V2_M, 0.3, (classes, in_channels), options)


@torchvision_names
def efficientnet_v2_l(classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """Return EfficientNetV2-L, made for 480x480 (119 million parameters).

    Arguments as those of `EfficientNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _second(_V2_L, 0.4, (classes, in_channels), options)
