# SPDX-License-Identifier: Apache-2.0
"""MobileNetV3, by Howard et al. (2019), "Searching for MobileNetV3"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from .. import nn
from .arguments import torchvision_names
from .blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    divisible,
    draw,
    he_fan_out,
    normal,
    pooled,
)
from .checking import checked, configurations

__all__ = [
    "MobileNetV3",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]


class InvertedResidualConfig(NamedTuple):
    """One block: channels in, kernel, expanded and output channels, squeeze-excitation, activation ("RE" for
    ReLU or "HS" for hard swish), stride, dilation (which takes the place of a stride) and a factor for all
    channels, which are rounded to multiples of 8."""

    in_channels: int
    kernel: int
    expanded: int
    out: int
    use_se: bool
    activation: str
    stride: int
    dilation: int
    width_mult: float = 1.0

    @property
    def input_channels(self) -> int:
        return divisible(self.in_channels * self.width_mult, 8)

    @property
    def expanded_channels(self) -> int:
        return divisible(self.expanded * self.width_mult, 8)

    @property
    def out_channels(self) -> int:
        return divisible(self.out * self.width_mult, 8)


_squeeze_excitation = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, squeeze-excitation and 1x1 projection; a shortcut where shapes allow."""

    def __init__(
        self,
        config: InvertedResidualConfig,
        norm_layer: Layer,
        se_layer: Layer = _squeeze_excitation,
    ) -> None:
        super().__init__()
        if config.stride not in (1, 2):
            raise ValueError(f"expected a stride of 1 or 2, got {config.stride}")
        channels, hidden = config.input_channels, config.expanded_channels
        conv = partial(
            Conv2dNormActivation,
            norm_layer=norm_layer,
            activation_layer=nn.Hardswish if config.activation == "HS" else nn.ReLU,
        )
        layers: list[nn.Module] = []
        if hidden != channels:
            layers.append(conv(channels, hidden, 1))
        stride = 1 if config.dilation > 1 else config.stride
        layers.append(conv(hidden, hidden, config.kernel, stride, dilation=config.dilation, groups=hidden))
        if config.use_se:
            layers.append(se_layer(hidden, divisible(hidden // 4, 8)))
        layers.append(conv(hidden, config.out_channels, 1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = config.out_channels
        self.halves = config.stride > 1
        self.has_shortcut = config.stride == 1 and channels == config.out_channels

    def forward(self, x: Any) -> Any:
        y = self.block(x)
        return y + x if self.has_shortcut else y


class MobileNetV3(nn.Module):
    """Inverted residual blocks with hard swish and squeeze-excitation, found by a search for phones.

    Args:
        inverted_residual_setting: an `InvertedResidualConfig` for each block.
        last_channel: features of the linear layer before the last.
        classes: number of outputs.
        in_channels: channels of the images.
        block: makes a block from (config, norm_layer); None: `InvertedResidual`.
        norm_layer: makes a norm of so many channels; None: batch norm with eps 0.001 and momentum 0.01.
        dropout: probability of the dropout before the last linear layer.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        classes: int = 1000,
        in_channels: int = 3,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        setting = configurations(
            "inverted_residual_setting", inverted_residual_setting, InvertedResidualConfig
        )
        block, norm_layer = block or InvertedResidual, norm_layer or batch_norm
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish)
        channels = setting[-1].out_channels
        self.features = nn.Sequential(
            conv(in_channels, setting[0].input_channels, 3, 2),
            *(block(config, norm_layer) for config in setting),
            conv(channels, 6 * channels, 1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            nn.Linear(last_channel, classes),
        )
        draw(self, he_fan_out, normal(0.01))

    def forward(self, x: Any) -> Any:
        return self.classifier(pooled(self.features(x)))


batch_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


def large_setting(
    width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False
) -> tuple[list[InvertedResidualConfig], int]:
    """Return blocks and `last_channel` of the large network; `reduced_tail` halves its last stage."""
    divisor, dilation = 2 if reduced_tail else 1, 2 if dilated else 1
    last, hidden = 160 // divisor, 960 // divisor
    plan = (
        (16, 3, 16, 16, False, "RE", 1, 1),
        (16, 3, 64, 24, False, "RE", 2, 1),
        (24, 3, 72, 24, False, "RE", 1, 1),
        (24, 5, 72, 40, True, "RE", 2, 1),
        (40, 5, 120, 40, True, "RE", 1, 1),
        (40, 5, 120, 40, True, "RE", 1, 1),
        (40, 3, 240, 80, False, "HS", 2, 1),
        (80, 3, 200, 80, False, "HS", 1, 1),
        (80, 3, 184, 80, False, "HS", 1, 1),
        (80, 3, 184, 80, False, "HS", 1, 1),
        (80, 3, 480, 112, True, "HS", 1, 1),
        (112, 3, 672, 112, True, "HS", 1, 1),
        (112, 5, 672, last, True, "HS", 2, dilation),
        (last, 5, hidden, last, True, "HS", 1, dilation),
        (last, 5, hidden, last, True, "HS", 1, dilation),
    )
    return _configs(plan, width_mult), divisible(1280 // divisor * width_mult, 8)


def small_setting(
    width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False
) -> tuple[list[InvertedResidualConfig], int]:
    """Return blocks and `last_channel` of the small network; arguments as `large_setting`."""
    divisor, dilation = 2 if reduced_tail else 1, 2 if dilated else 1
    last, hidden = 96 // divisor, 576 // divisor
    plan = (
        (16, 3, 16, 16, True, "RE", 2, 1),
        (16, 3, 72, 24, False, "RE", 2, 1),
        (24, 3, 88, 24, False, "RE", 1, 1),
        (24, 5, 96, 40, True, "HS", 2, 1),
        (40, 5, 240, 40, True, "HS", 1, 1),
        (40, 5, 240, 40, True, "HS", 1, 1),
        (40, 5, 120, 48, True, "HS", 1, 1),
        (48, 5, 144, 48, True, "HS", 1, 1),
        (48, 5, 288, last, True, "HS", 2, dilation),
        (last, 5, hidden, last, True, "HS", 1, dilation),
        (last, 5, hidden, last, True, "HS", 1, dilation),
    )
    return _configs(plan, width_mult), divisible(1024 // divisor * width_mult, 8)


def _configs(plan: Sequence[tuple[Any, ...]], width_mult: float) -> list[InvertedResidualConfig]:
    return [InvertedResidualConfig(*settings)._replace(width_mult=width_mult) for settings in plan]


def _mobilenet(
    setting: Callable[..., tuple[list[InvertedResidualConfig], int]],
    classes: int,
    in_channels: int,
    options: dict[str, Any],
) -> MobileNetV3:
    names = ("width_mult", "reduced_tail", "dilated")
    blocks, last = setting(**{name: options.pop(name) for name in names if name in options})
    options = {"inverted_residual_setting": blocks, "last_channel": last, **options}
    return MobileNetV3(classes=classes, in_channels=in_channels, **options)


@torchvision_names
def mobilenet_v3_large(classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV3:
    """Return the large `MobileNetV3` (5.5 million parameters).

    Arguments as those of `MobileNetV3`, `width_mult` (a factor for all channels), `reduced_tail` and
    `dilated`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _mobilenet(large_setting, classes, in_channels, options)


@torchvision_names
def mobilenet_v3_small(classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV3:
    """Return the small `MobileNetV3` (2.5 million parameters).

    Arguments as those of `mobilenet_v3_large`.
    """
    return _mobilenet(small_setting, classes, in_channels, options)
