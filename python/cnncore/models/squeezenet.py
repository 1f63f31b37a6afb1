# SPDX-License-Identifier: Apache-2.0
"""SqueezeNet, by Iandola et al. (2016), "AlexNet-level accuracy with 50x fewer parameters"."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from ..nn.arguments import one_of
from .arguments import torchvision_names
from .blocks import draw
from .checking import checked

__all__ = [
    "SqueezeNet",
    "squeezenet1_0",
    "squeezenet1_1",
]

_PLANS: dict[str, tuple[tuple[int, int], tuple[tuple[int, int] | None, ...]]] = {
    "1_0": (
        (96, 7),
        (
            None,
            (16, 64),
            (16, 64),
            (32, 128),
            None,
            (32, 128),
            (48, 192),
            (48, 192),
            (64, 256),
            None,
            (64, 256),
        ),
    ),
    "1_1": (
        (64, 3),
        (
            None,
            (16, 64),
            (16, 64),
            None,
            (32, 128),
            (32, 128),
            None,
            (48, 192),
            (48, 192),
            (64, 256),
            (64, 256),
        ),
    ),
}
"""Channels and kernel of the first convolution; `Fire`'s squeezed and expanded channels, and pools."""


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, in_channels: int, squeezed: int, expanded1x1: int, expanded3x3: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, expanded1x1, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeezed, expanded3x3, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        x = self.squeeze_activation(self.squeeze(x))
        parts = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return ops.concat(parts, dim=1)


class SqueezeNet(nn.Module):
    """Eight `Fire` modules with max pools between, and the mean of a convolution's classes of each pixel.

    Args:
        version: "1_0" is the paper's; "1_1" pools earlier, for a third of the work.
        classes: number of outputs.
        in_channels: channels of the images.
        dropout: probability of the dropout before the last convolution.

    Called with (batch, in_channels, height, width) of 21x21 ("1_1": 17x17) and more, made for 224x224;
    returns logits (batch, classes).
    """

    @checked
    def __init__(
        self, version: str = "1_0", classes: int = 1000, in_channels: int = 3, dropout: float = 0.5
    ) -> None:
        super().__init__()
        (channels, kernel), plan = _PLANS[one_of("version", version, tuple(_PLANS))]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, kernel, stride=2), nn.ReLU(inplace=True)]
        for fire in plan:
            if fire is None:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                squeezed, expanded = fire
                layers.append(Fire(channels, squeezed, expanded, expanded))
                channels = 2 * expanded
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(channels, classes, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )
        draw(self, nn.init.kaiming_uniform_)
        nn.init.normal_(last.weight, 0.0, 0.01)

    def forward(self, x: Any) -> Any:
        return ops.flatten(self.classifier(self.features(x)), 1)


@torchvision_names
def squeezenet1_0(classes: int = 1000, in_channels: int = 3, **options: Any) -> SqueezeNet:
    """Return a `SqueezeNet` 1.0 (1.25 million parameters).

    Arguments as those of `SqueezeNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return SqueezeNet("1_0", classes, in_channels, **options)


@torchvision_names
def squeezenet1_1(classes: int = 1000, in_channels: int = 3, **options: Any) -> SqueezeNet:
    """Return a `SqueezeNet` 1.1 (1.24 million parameters).

    Arguments as those of `SqueezeNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return SqueezeNet("1_1", classes, in_channels, **options)
