# SPDX-License-Identifier: Apache-2.0
"""A backbone with classifiers of pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ... import nn, ops
from ..checking import checked
from ..features import LayerOutputs, layer_channels, mobilenet_stages
from ..mobilenet_v3 import mobilenet_v3_large

Head = Callable[[int, int], nn.Module]
"""Makes a classifier of pixels from (channels, classes)."""

Weights = str | os.PathLike[str] | None


class SegmentationModel(nn.Module):
    """A backbone's activations, classified pixel by pixel and interpolated to the image's extent.

    Args:
        backbone: gives a dict with "out", and "aux" where there is an auxiliary classifier.
        classifier, aux_classifier: modules that turn activations into (batch, classes, height, width).

    Called with (batch, channels, height, width); returns a dict of logits (batch, classes, height, width):
    "out", and "aux" where there is an auxiliary classifier.
    """

    def __init__(
        self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.add_module("aux_classifier", aux_classifier)

    def forward(self, x: Any) -> dict[str, Any]:
        features = self.backbone(x)
        outputs = {"out": enlarge(self.classifier(features["out"]), x)}
        if self.aux_classifier is not None:
            outputs["aux"] = enlarge(self.aux_classifier(features["aux"]), x)
        return outputs


def enlarge(x: Any, image: Any) -> Any:
    """Interpolate maps to the extent of an image."""
    return ops.interpolate(x, size=tuple(image.shape[2:]), mode="bilinear", align_corners=False)


@checked
def on_resnet(
    build: Callable[..., nn.Module],
    head: Head,
    auxiliary: Head,
    classes: int,
    in_channels: int,
    aux_loss: bool | None = None,
    weights_backbone: Weights = None,
) -> SegmentationModel:
    """Return a model on a ResNet whose last two stages have dilation in place of strides."""
    dilate = (False, True, True)
    resnet = build(in_channels=in_channels, weights=weights_backbone, replace_stride_with_dilation=dilate)
    layers = {"layer4": "out", **({"layer3": "aux"} if aux_loss else {})}
    aux = auxiliary(1024, classes) if aux_loss else None
    return SegmentationModel(LayerOutputs(resnet, layers), head(2048, classes), aux)


@checked
def on_mobilenet(
    head: Head,
    auxiliary: Head,
    classes: int,
    in_channels: int,
    aux_loss: bool | None = None,
    weights_backbone: Weights = None,
) -> SegmentationModel:
    """Return a model on a large MobileNetV3 whose last stage has dilation in place of its stride."""
    mobilenet = mobilenet_v3_large(in_channels=in_channels, weights=weights_backbone, dilated=True)
    stages = mobilenet_stages(mobilenet)
    out, inner = stages[-1], stages[-4]
    layers = {str(out): "out", **({str(inner): "aux"} if aux_loss else {})}
    aux = auxiliary(layer_channels(mobilenet, inner), classes) if aux_loss else None
    backbone = LayerOutputs(mobilenet.features, layers)
    return SegmentationModel(backbone, head(layer_channels(mobilenet, out), classes), aux)
