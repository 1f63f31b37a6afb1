# SPDX-License-Identifier: Apache-2.0
"""Networks that find objects in images."""

from .anchors import AnchorGenerator, DefaultBoxGenerator
from .detector import Detector
from .faster_rcnn import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
)
from .ssdlite import SSD, ssdlite320_mobilenet_v3_large

__all__ = [
    "SSD",
    "AnchorGenerator",
    "DefaultBoxGenerator",
    "Detector",
    "FasterRCNN",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "ssdlite320_mobilenet_v3_large",
]
