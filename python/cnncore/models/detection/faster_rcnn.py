# SPDX-License-Identifier: Apache-2.0
"""Faster R-CNN, by Ren et al. (2015), "Towards real-time object detection with region proposal networks"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import nn, ops
from ...nn.norm import BatchNorm
from ..arguments import published
from ..checking import check, checked
from ..features import LayerOutputs, layer_channels, mobilenet_stages
from ..mobilenet_v3 import mobilenet_v3_large
from ..segmentation.model import Weights
from .anchors import AnchorGenerator
from .detector import Detector
from .matching import best, clip, decode, encode, large, match, overlaps, sample
from .proposals import ProposalSettings, RegionProposalNetwork, RPNHead
from .pyramid import BackboneWithFPN
from .ssdlite import freeze_stages

_CODING = (10.0, 10.0, 5.0, 5.0)


class BoxSettings(NamedTuple):
    """Thresholds of detections and of training, as those of `ProposalSettings`."""

    score_thresh: float = 0.05
    nms_thresh: float = 0.5
    detections_per_img: int = 100
    fg_iou_thresh: float = 0.5
    bg_iou_thresh: float = 0.5
    batch_size_per_image: int = 512
    positive_fraction: float = 0.25


class TwoMLPHead(nn.Module):
    """Two linear layers with ReLU on flattened regions."""

    def __init__(self, in_channels: int, representation_size: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Any) -> Any:
        return ops.relu(self.fc7(ops.relu(self.fc6(ops.flatten(x, 1)))))


class FastRCNNPredictor(nn.Module):
    """Scores of classes and, for each, the code of a box."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, classes)
        self.bbox_pred = nn.Linear(in_channels, 4 * classes)

    def forward(self, x: Any) -> tuple[Any, Any]:
        return self.cls_score(x), self.bbox_pred(x)


class RoIHeads(nn.Module):
    """Classes and boxes of proposals.

    Args:
        box_head: turns regions (count, channels, 7, 7) into features.
        box_predictor: turns these into scores (count, classes) and codes (count, 4 classes).
        settings: numbers and thresholds.

    Called as `RegionProposalNetwork`, with proposals and whether there are so many before the objects;
    returns detections, or losses where objects are given.
    """

    def __init__(self, box_head: nn.Module, box_predictor: nn.Module, settings: BoxSettings) -> None:
        super().__init__()
        self.box_head, self.box_predictor, self.settings = box_head, box_predictor, settings

    def forward(
        self,
        images: Any,
        sizes: Any,
        maps: Mapping[str, Any],
        proposals: Any,
        real: Any,
        boxes: Any = None,
        labels: Any = None,
    ) -> dict[str, Any]:
        if boxes is not None:
            return self._losses(images, maps, proposals, real, boxes, labels)
        scores, codes = self._predicted(images, maps, proposals)
        found = [
            self._detections(proposals[n], real[n], scores[n], codes[n], sizes[n])
            for n in range(images.shape[0])
        ]
        names = ("boxes", "scores", "labels")
        return {name: ops.stack(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}

    def _predicted(self, images: Any, maps: Mapping[str, Any], proposals: Any) -> tuple[Any, Any]:
        """Return scores (batch, count, classes) and codes (batch, count, classes, 4)."""
        batch, count = proposals.shape[:2]
        numbers = np.repeat(np.arange(batch, dtype=np.float32), count).reshape(-1, 1)
        rois = ops.concat([numbers, ops.reshape(proposals, (-1, 4))], dim=1)
        levels = [x for name, x in maps.items() if name != "pool"]
        x = multi_scale_roi_align(levels, rois, images.shape[2:], 7, 2)
        scores, codes = self.box_predictor(self.box_head(x))
        return ops.reshape(scores, (batch, count, -1)), ops.reshape(codes, (batch, count, -1, 4))

    def _detections(
        self, proposals: Any, real: Any, scores: Any, codes: Any, size: Any
    ) -> tuple[Any, Any, Any]:
        settings = self.settings
        count, classes = scores.shape
        placed = clip(decode(codes, ops.reshape(proposals, (count, 1, 4)), _CODING), size)
        candidates = ops.reshape(placed[:, 1:], (-1, 4))
        likely = ops.where(ops.reshape(real, (-1, 1)), ops.softmax(scores, dim=-1)[:, 1:], -1.0)
        likely = ops.reshape(likely, (-1,))
        usable = ops.logical_and(likely > settings.score_thresh, large(candidates, 1e-2))
        labels = np.tile(np.arange(1, classes), count)
        values = ops.where(usable, likely, -1.0)
        return best(candidates, values, labels, settings.nms_thresh, settings.detections_per_img)

    def _losses(
        self, images: Any, maps: Mapping[str, Any], proposals: Any, real: Any, boxes: Any, labels: Any
    ) -> dict[str, Any]:
        chosen = [self._sampled(proposals[n], real[n], boxes[n], labels[n]) for n in range(images.shape[0])]
        places, wanted, used, targets = (ops.stack(parts) for parts in zip(*chosen, strict=True))
        scores, codes = self._predicted(images, maps, places)
        wanted, used = ops.reshape(wanted, (-1,)), ops.reshape(used, (-1,))
        loss = ops.cross_entropy(ops.reshape(scores, (wanted.shape[0], -1)), wanted, reduction="none")
        count = ops.maximum(ops.sum(used), 1.0)
        codes = ops.reshape(codes, (wanted.shape[0], -1, 4))
        own = ops.reshape(wanted, (-1, 1, 1)) * np.ones((1, 1, 4), np.int64)
        code = ops.reshape(ops.gather(codes, 1, own), (-1, 4))
        positive = ops.reshape(ops.logical_and(wanted > 0, used > 0.5), (-1, 1))
        target = ops.where(positive, ops.reshape(targets, (-1, 4)), ops.detach(code))
        regression = ops.smooth_l1_loss(code, target, reduction="sum", beta=1 / 9)
        return {"loss_classifier": ops.sum(loss * used) / count, "loss_box_reg": regression / count}

    def _sampled(self, proposals: Any, real: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any, Any]:
        """Return an image's boxes to train with, their classes, whether they count, and codes of objects."""
        settings = self.settings
        places = ops.concat([proposals, boxes], 0)
        there = ops.concat([real, labels > 0], 0)
        quality = overlaps(boxes, labels, places)
        objects, matched = match(quality, settings.bg_iou_thresh, settings.fg_iou_thresh, False)
        matched = ops.where(there, matched, -1.0)
        positive, negative = sample(matched, settings.batch_size_per_image, settings.positive_fraction)
        first = ops.where(positive, 2.0, ops.where(negative, 1.0, 0.0))
        most = min(settings.batch_size_per_image, places.shape[0])
        kinds, indices = ops.topk(first, most)
        objects = ops.index_select(objects, 0, indices)
        places = ops.index_select(places, 0, indices)
        wanted = ops.where(kinds > 1.5, ops.index_select(labels, 0, objects), 0)
        targets = encode(ops.index_select(boxes, 0, objects), places, _CODING)
        return places, wanted, ops.where(kinds > 0.5, 1.0, 0.0), ops.detach(targets)


def multi_scale_roi_align(
    maps: Sequence[Any], rois: Any, image: Sequence[int], bins: int, sampling_ratio: int
) -> Any:
    """Return regions (count, channels, bins, bins), each from the map that suits its size (Lin et al., 2017).

    Args:
        maps: feature maps (batch, channels, height, width) of images, from the largest to the smallest.
        rois: (count, 5) of (number of the image, x1, y1, x2, y2).
        image: height and width of the images.
        bins, sampling_ratio: as of `roi_align`.
    """
    scales = [2.0 ** round(math.log2(x.shape[2] / image[0])) for x in maps]
    first, last = int(-math.log2(scales[0])), int(-math.log2(scales[-1]))
    if first == last:
        return ops.roi_align(maps[0], rois, bins, scales[0], sampling_ratio)
    area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
    level = ops.floor(4 + ops.log2(ops.sqrt(ops.maximum(area, 0.0)) / 224 + 1e-12) + 1e-6)
    level = ops.reshape(ops.clamp(level, min=first, max=last), (-1, 1, 1, 1))
    result = ops.roi_align(maps[0], rois, bins, scales[0], sampling_ratio)
    for x, scale in zip(maps[1:], scales[1:], strict=True):
        other = ops.roi_align(x, rois, bins, scale, sampling_ratio)
        result = ops.where(level == -math.log2(scale), other, result)
    return result


class FasterRCNN(Detector):
    """Proposals of boxes, and a classifier of each.

    Args:
        backbone: gives a dict of feature maps of `out_channels` channels.
        classes: number of classes, the background included.
        rpn_anchor_generator: makes the anchors.
        min_size, max_size: extents that the shorter and the longer side of images are resized to, at most.
        image_mean, image_std: of the images that the backbone takes.
        options: fields of `ProposalSettings` behind "rpn_" and of `BoxSettings` behind "box_".
    """

    divisor = 32

    @checked
    def __init__(
        self,
        backbone: Any,
        classes: int,
        rpn_anchor_generator: AnchorGenerator,
        min_size: int = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] = (0.485, 0.456, 0.406),
        image_std: Sequence[float] = (0.229, 0.224, 0.225),
        **options: Any,
    ) -> None:
        super().__init__()
        settings: dict[str, dict[str, Any]] = {"rpn": {}, "box": {}}
        fields = {"rpn": ProposalSettings._fields, "box": BoxSettings._fields}
        for name, value in options.items():
            group, _, field = name.partition("_")
            if field not in fields.get(group, ()):
                raise TypeError(f"FasterRCNN: got an unexpected argument {name!r}")
            settings[group][field] = check(field, value, f"{group}_")
        if not hasattr(backbone, "out_channels"):
            raise TypeError(f"expected backbone as a module with out_channels, got {type(backbone).__name__}")
        self.min_size, self.max_size = min_size, max_size
        self.image_mean, self.image_std = tuple(image_mean), tuple(image_std)
        self.backbone = backbone
        channels = backbone.out_channels
        head = RPNHead(channels, rpn_anchor_generator.num_anchors_per_location()[0])
        self.rpn = RegionProposalNetwork(rpn_anchor_generator, head, ProposalSettings(**settings["rpn"]))
        features = 1024
        self.roi_heads = RoIHeads(
            TwoMLPHead(channels * 7 * 7, features),
            FastRCNNPredictor(features, classes),
            BoxSettings(**settings["box"]),
        )

    def new_size(self, height: int, width: int) -> tuple[int, int]:
        scale = min(self.min_size / min(height, width), self.max_size / max(height, width))
        return int(height * scale), int(width * scale)

    def forward(
        self, images: Any, sizes: Any = None, boxes: Any = None, labels: Any = None
    ) -> dict[str, Any]:
        if sizes is None:
            sizes = np.tile(np.array(images.shape[2:], np.float32), (images.shape[0], 1))
        maps = self.backbone(self.normalised(images))
        proposals, real, losses = self.rpn(images, sizes, maps, boxes, labels)
        return {**losses, **self.roi_heads(images, sizes, maps, proposals, real, boxes, labels)}


@checked
def _fasterrcnn(
    classes: int,
    in_channels: int,
    settings: dict[str, Any],
    weights_backbone: Weights = None,
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> FasterRCNN:
    network = mobilenet_v3_large(in_channels=in_channels, weights=weights_backbone, norm_layer=nn.BatchNorm2d)
    if trained or weights_backbone is not None:
        freeze_stages(network, 3 if trainable_backbone_layers is None else trainable_backbone_layers)
        for layer in network.features.modules():
            if isinstance(layer, BatchNorm):
                layer.requires_grad_(False)
                layer.frozen = True
    stages = mobilenet_stages(network)[-2:]
    body = LayerOutputs(network.features, {str(place): str(n) for n, place in enumerate(stages)})
    backbone = BackboneWithFPN(body, [layer_channels(network, place) for place in stages])
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    return FasterRCNN(backbone, classes, anchors, **{**settings, **options})


@published(
    rename=((r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),), with_weights={"trained": True}
)
def fasterrcnn_mobilenet_v3_large_320_fpn(
    classes: int = 91, in_channels: int = 3, **options: Any
) -> FasterRCNN:
    """Return a `FasterRCNN` on a large MobileNetV3, for images of about 320 pixels (19.4 million parameters).

    Args:
        classes: number of classes, the background included.
        in_channels: channels of the images.
        weights_backbone: a file of weights of the MobileNetV3.
        trainable_backbone_layers: stages of the backbone that are trained, from 0 to 6, with a file of
            weights of it or of all; None: 3. Its batch norms are frozen then.
        options: arguments of `FasterRCNN`.
        num_classes, weights, progress: as torchvision's.
    """
    settings = {
        "min_size": 320,
        "max_size": 640,
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 150,
        "rpn_score_thresh": 0.05,
    }
    return _fasterrcnn(classes, in_channels, settings, **options)


@published(
    rename=((r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),), with_weights={"trained": True}
)
def fasterrcnn_mobilenet_v3_large_fpn(classes: int = 91, in_channels: int = 3, **options: Any) -> FasterRCNN:
    """Return a `FasterRCNN` on a large MobileNetV3, for images of about 800 pixels (19.4 million parameters).

    Arguments as those of `fasterrcnn_mobilenet_v3_large_320_fpn`.
    """
    return _fasterrcnn(classes, in_channels, {"rpn_score_thresh": 0.05}, **options)
