# SPDX-License-Identifier: Apache-2.0
"""Lite R-ASPP, by Howard et al. (2019), "Searching for MobileNetV3"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import nn
from ..arguments import torchvision_names
from ..checking import checked
from ..features import LayerOutputs, layer_channels, mobilenet_stages
from ..mobilenet_v3 import mobilenet_v3_large
from .model import Weights, enlarge


class LRASPPHead(nn.Module):
    """Deep activations, scaled by what their mean says, classified and added to classified shallow ones."""

    def __init__(self, low_channels: int, high_channels: int, classes: int, inter_channels: int) -> None:
        super().__init__()
        self.cbr = nn.Sequential(
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.BatchNorm2d(inter_channels),
            nn.ReLU(inplace=True),
        )
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.low_classifier = nn.Conv2d(low_channels, classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, classes, 1)

    def forward(self, features: Mapping[str, Any]) -> Any:
        low, high = features["low"], features["high"]
        x = enlarge(self.cbr(high) * self.scale(high), low)
        return self.low_classifier(low) + self.high_classifier(x)


class LRASPP(nn.Module):
    """A backbone with an `LRASPPHead`.

    Args:
        backbone: gives a dict with "low" and "high".
        low_channels, high_channels: channels of the two.
        classes: number of outputs, the background included.
        inter_channels: channels inside the head.

    Called with (batch, channels, height, width); returns {"out": logits (batch, classes, height, width)}.
    """

    @checked
    def __init__(
        self,
        backbone: nn.Module,
        low_channels: int,
        high_channels: int,
        classes: int,
        inter_channels: int = 128,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, classes, inter_channels)

    def forward(self, x: Any) -> dict[str, Any]:
        return {"out": enlarge(self.classifier(self.backbone(x)), x)}


@torchvision_names
@checked
def lraspp_mobilenet_v3_large(
    classes: int = 21, in_channels: int = 3, weights_backbone: Weights = None
) -> LRASPP:
    """Return Lite R-ASPP on a large MobileNetV3 (3.2 million parameters).

    Args:
        classes: number of outputs, the background included.
        in_channels: channels of the images.
        weights_backbone: a file of weights of the MobileNetV3.
        num_classes, weights, progress: as torchvision's.
    """
    mobilenet = mobilenet_v3_large(in_channels=in_channels, weights=weights_backbone, dilated=True)
    stages = mobilenet_stages(mobilenet)
    low, high = stages[-4], stages[-1]
    backbone = LayerOutputs(mobilenet.features, {str(low): "low", str(high): "high"})
    return LRASPP(backbone, layer_channels(mobilenet, low), layer_channels(mobilenet, high), classes)
