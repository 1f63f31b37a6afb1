# SPDX-License-Identifier: Apache-2.0
"""Networks that classify each pixel of images (batch, channels, height, width)."""

from .deeplabv3 import (
    DeepLabHead,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from .fcn import FCNHead, fcn_resnet50, fcn_resnet101
from .lraspp import LRASPP, lraspp_mobilenet_v3_large
from .model import SegmentationModel

__all__ = [
    "LRASPP",
    "DeepLabHead",
    "FCNHead",
    "SegmentationModel",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
]
