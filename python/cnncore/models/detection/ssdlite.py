# SPDX-License-Identifier: Apache-2.0
"""SSD, by Liu et al. (2016), "Single shot multibox detector", with the light heads of MobileNetV2's paper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import nn, ops
from ...nn.arguments import integer
from ..arguments import published
from ..blocks import Conv2dNormActivation, Layer, draw, normal
from ..checking import checked
from ..features import mobilenet_stages
from ..mobilenet_v3 import MobileNetV3, mobilenet_v3_large
from ..segmentation.model import Weights
from .anchors import DefaultBoxGenerator
from .detector import Detector
from .matching import best, clip, decode, encode, match_each, overlaps, rank

_CODING = (10.0, 10.0, 5.0, 5.0)


class ScoringHead(nn.Module):
    """A block for each feature map; gives (batch, boxes, columns) of all maps."""

    def __init__(self, module_list: nn.ModuleList, columns: int) -> None:
        super().__init__()
        self.module_list = module_list
        self.columns = columns

    def forward(self, features: Sequence[Any]) -> Any:
        results = []
        for block, x in zip(self.module_list, features, strict=True):
            y = ops.permute(block(x), (0, 2, 3, 1))
            results.append(ops.reshape(y, (y.shape[0], -1, self.columns)))
        return ops.concat(results, dim=1)


class SSDLiteHead(nn.Module):
    """Scores of classes and codes of boxes, each by a depthwise and a 1x1 convolution of each map."""

    def __init__(
        self, channels: Sequence[int], anchors: Sequence[int], classes: int, norm_layer: Layer
    ) -> None:
        super().__init__()
        self.classification_head = _scoring(channels, anchors, classes, norm_layer)
        self.regression_head = _scoring(channels, anchors, 4, norm_layer)
        draw(self, normal(0.03))

    def forward(self, features: Sequence[Any]) -> tuple[Any, Any]:
        return self.classification_head(features), self.regression_head(features)


def _scoring(channels: Sequence[int], anchors: Sequence[int], columns: int, norm_layer: Layer) -> ScoringHead:
    conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    blocks = [
        nn.Sequential(conv(width, width, 3, groups=width), nn.Conv2d(width, columns * count, 1))
        for width, count in zip(channels, anchors, strict=True)
    ]
    return ScoringHead(nn.ModuleList(blocks), columns)


class SSDLiteFeatures(nn.Module):
    """A MobileNetV3's activations at two depths, and four more blocks, each of which halves the map."""

    def __init__(self, network: MobileNetV3, norm_layer: Layer) -> None:
        super().__init__()
        layers = list(network.features)
        place = mobilenet_stages(network)[-2]
        expansion, rest = layers[place].block[0], layers[place].block[1:]
        self.features = nn.Sequential(
            nn.Sequential(*layers[:place], expansion),
            nn.Sequential(rest, *layers[place + 1 :]),
        )
        self.channels = [expansion.out_channels, layers[-1].out_channels]
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        self.extra = nn.ModuleList()
        for outputs in (512, 256, 256, 128):
            inner = outputs // 2
            self.extra.append(
                nn.Sequential(
                    conv(self.channels[-1], inner, 1),
                    conv(inner, inner, 3, 2, groups=inner),
                    conv(inner, outputs, 1),
                )
            )
            self.channels.append(outputs)
        draw(self.extra, normal(0.03))

    def forward(self, x: Any) -> list[Any]:
        outputs = []
        for block in (*self.features, *self.extra):
            x = block(x)
            outputs.append(x)
        return outputs


class SSD(Detector):
    """One network for boxes and classes, beside default boxes of six maps.

    Args:
        backbone: gives a list of feature maps; `channels` says theirs.
        anchor_generator: makes the default boxes.
        size: height and width that images are resized to.
        head: gives scores (batch, boxes, classes) and codes (batch, boxes, 4).
        image_mean, image_std: of the images that the backbone takes.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: the least score, the largest IoU of
            boxes of a class, detections of an image, and candidates of a class.
        iou_thresh: the least IoU of a box and an object for it to be trained for it.
        positive_fraction: part of boxes with objects among those that scores are trained with.
    """

    @checked
    def __init__(
        self,
        backbone: nn.Module,
        anchor_generator: DefaultBoxGenerator,
        size: tuple[int, int],
        head: nn.Module,
        image_mean: Sequence[float] = (0.485, 0.456, 0.406),
        image_std: Sequence[float] = (0.229, 0.224, 0.225),
        score_thresh: float = 0.01,
        nms_thresh: float = 0.45,
        detections_per_img: int = 200,
        iou_thresh: float = 0.5,
        topk_candidates: int = 400,
        positive_fraction: float = 0.25,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.anchor_generator, self.size = anchor_generator, size
        self.image_mean, self.image_std = tuple(image_mean), tuple(image_std)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self.iou_thresh, self.positive_fraction = iou_thresh, positive_fraction

    def new_size(self, height: int, width: int) -> tuple[int, int]:
        return self.size

    def forward(
        self, images: Any, sizes: Any = None, boxes: Any = None, labels: Any = None
    ) -> dict[str, Any]:
        features = self.backbone(self.normalised(images))
        logits, codes = self.head(features)
        anchors = self.anchor_generator(images.shape[2:], [tuple(x.shape[2:]) for x in features])
        if boxes is not None:
            return self._losses(logits, codes, anchors, boxes, labels)
        scores = ops.softmax(logits, dim=-1)
        placed = decode(codes, anchors, _CODING)
        size = np.array(images.shape[2:], np.float32)
        found = [
            self._detections(clip(placed[number], size), scores[number]) for number in range(images.shape[0])
        ]
        names = ("boxes", "scores", "labels")
        return {name: ops.stack(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}

    def _detections(self, boxes: Any, scores: Any) -> tuple[Any, Any, Any]:
        classes = scores.shape[1] - 1
        values, places = ops.topk(
            ops.transpose(scores[:, 1:], 0, 1), min(self.topk_candidates, boxes.shape[0]), dim=1
        )
        values = ops.where(values > self.score_thresh, values, -1.0)
        labels = np.repeat(np.arange(1, classes + 1), values.shape[1])
        candidates = ops.index_select(boxes, 0, ops.reshape(places, (-1,)))
        flat = ops.reshape(values, (-1,))
        return best(candidates, flat, labels, self.nms_thresh, self.detections_per_img)

    def _losses(self, logits: Any, codes: Any, anchors: Any, boxes: Any, labels: Any) -> dict[str, Any]:
        box_losses, wanted = [], []
        for number in range(logits.shape[0]):
            quality = overlaps(boxes[number], labels[number], anchors)
            objects, matched = match_each(quality, self.iou_thresh)
            positive = matched > 0.5
            target = encode(ops.index_select(boxes[number], 0, objects), anchors, _CODING)
            target = ops.where(ops.reshape(positive, (-1, 1)), target, ops.detach(codes[number]))
            box_losses.append(ops.smooth_l1_loss(codes[number], target, reduction="sum"))
            wanted.append(ops.where(positive, ops.index_select(labels[number], 0, objects), 0))
        labelled = ops.stack(wanted)
        flat = ops.reshape(logits, (-1, logits.shape[2]))
        losses = ops.cross_entropy(flat, ops.reshape(labelled, (-1,)), reduction="none")
        losses = ops.reshape(losses, labelled.shape)
        positive = labelled > 0
        counts = ops.sum(ops.where(positive, 1.0, 0.0), 1, keepdim=True)
        # The background boxes with the largest losses, three for each object.
        hardest = rank(ops.where(positive, -1.0, ops.detach(losses)))
        ratio = (1 - self.positive_fraction) / self.positive_fraction
        counted = ops.logical_or(positive, hardest < ratio * counts)
        total = ops.maximum(ops.sum(counts), 1.0)
        return {
            "bbox_regression": sum(box_losses) / total,
            "classification": ops.sum(ops.where(counted, losses, 0.0)) / total,
        }


@published()
@checked
def ssdlite320_mobilenet_v3_large(
    classes: int = 91,
    in_channels: int = 3,
    weights_backbone: Weights = None,
    trainable_backbone_layers: int | None = None,
    norm_layer: Layer | None = None,
    **options: Any,
) -> SSD:
    """Return an `SSD` on a large MobileNetV3 with light heads, for 320x320 (3.4 million parameters).

    Args:
        classes: number of classes, the background included.
        in_channels: channels of the images.
        weights_backbone: a file of weights of the MobileNetV3, which has its full last stage then.
        trainable_backbone_layers: stages of the backbone that are trained, from 0 to 6, with a file of
            weights of it; None: all.
        norm_layer: makes the norms; None: batch norm with eps 0.001 and momentum 0.03.
        options: arguments of `SSD`.
        num_classes, weights, progress: as torchvision's.
    """
    norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    network = mobilenet_v3_large(
        in_channels=in_channels,
        weights=weights_backbone,
        norm_layer=norm_layer,
        reduced_tail=weights_backbone is None,
    )
    if weights_backbone is None:
        draw(network, normal(0.03))
    elif trainable_backbone_layers is not None:
        freeze_stages(network, trainable_backbone_layers)
    backbone = SSDLiteFeatures(network, norm_layer)
    generator = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(backbone.channels, generator.num_anchors_per_location(), classes, norm_layer)
    settings = {
        "score_thresh": 0.001,
        "nms_thresh": 0.55,
        "detections_per_img": 300,
        "topk_candidates": 300,
        "image_mean": (0.5,) * in_channels,
        "image_std": (0.5,) * in_channels,
        **options,
    }
    return SSD(backbone, generator, (320, 320), head, **settings)


def freeze_stages(network: MobileNetV3, trained: int) -> None:
    """Freeze a backbone's layers before the last so many stages."""
    stages = mobilenet_stages(network)
    trained = integer("trainable_backbone_layers", trained)
    if not 0 <= trained <= len(stages):
        raise ValueError(f"expected trainable_backbone_layers from 0 to {len(stages)}, got {trained}")
    layers = list(network.features)
    for layer in layers[: stages[len(stages) - trained] if trained else len(layers)]:
        layer.requires_grad_(False)
