# SPDX-License-Identifier: Apache-2.0
"""Region proposals, by Ren et al. (2015), "Faster R-CNN"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import nn, ops
from ..blocks import Conv2dNormActivation, draw, normal
from .anchors import AnchorGenerator
from .matching import best, clip, decode, encode, large, match, overlaps, sample

_CODING = (1.0, 1.0, 1.0, 1.0)


class ProposalSettings(NamedTuple):
    """Numbers of proposals before and after suppression in training and inference, and thresholds.

    Objects are found where the IoU is `fg_iou_thresh`, background below `bg_iou_thresh`;
    `batch_size_per_image` anchors are trained, at most `positive_fraction` of them with objects.
    """

    pre_nms_top_n_train: int = 2000
    pre_nms_top_n_test: int = 1000
    post_nms_top_n_train: int = 2000
    post_nms_top_n_test: int = 1000
    nms_thresh: float = 0.7
    fg_iou_thresh: float = 0.7
    bg_iou_thresh: float = 0.3
    batch_size_per_image: int = 256
    positive_fraction: float = 0.5
    score_thresh: float = 0.0


class RPNHead(nn.Module):
    """Whether there is an object, and the code of its box, for each anchor of each place of each map."""

    def __init__(self, in_channels: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(Conv2dNormActivation(in_channels, in_channels, 3, norm_layer=None))
        self.cls_logits = nn.Conv2d(in_channels, anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, 4 * anchors, 1)
        draw(self, normal(0.01))

    def forward(self, maps: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return (batch, anchors) and (batch, anchors, 4) of each map."""
        scores, codes = [], []
        for x in maps:
            x = self.conv(x)
            batch = x.shape[0]
            scores.append(ops.reshape(ops.permute(self.cls_logits(x), (0, 2, 3, 1)), (batch, -1)))
            codes.append(ops.reshape(ops.permute(self.bbox_pred(x), (0, 2, 3, 1)), (batch, -1, 4)))
        return scores, codes


class RegionProposalNetwork(nn.Module):
    """The boxes that most likely have objects.

    Args:
        anchor_generator: makes the anchors.
        head: an `RPNHead`.
        settings: numbers and thresholds.

    Called with images, their sizes (batch, 2), feature maps by name and, for training, boxes and labels of
    objects; returns proposals (batch, count, 4), whether there are so many (batch, count), and losses.
    """

    def __init__(
        self, anchor_generator: AnchorGenerator, head: nn.Module, settings: ProposalSettings
    ) -> None:
        super().__init__()
        self.anchor_generator, self.head, self.settings = anchor_generator, head, settings

    def forward(
        self, images: Any, sizes: Any, maps: Mapping[str, Any], boxes: Any = None, labels: Any = None
    ) -> tuple[Any, Any, dict[str, Any]]:
        features = list(maps.values())
        scores, codes = self.head(features)
        anchors = self.anchor_generator(images.shape[2:], [tuple(x.shape[2:]) for x in features])
        proposed = [
            self._proposals([s[n] for s in scores], [c[n] for c in codes], anchors, sizes[n])
            for n in range(images.shape[0])
        ]
        proposals, real = (ops.stack(parts) for parts in zip(*proposed, strict=True))
        if boxes is None:
            return proposals, real, {}
        together = np.concatenate(anchors)
        losses = self._losses(ops.concat(scores, 1), ops.concat(codes, 1), together, boxes, labels)
        return proposals, real, losses

    def _proposals(
        self, scores: Sequence[Any], codes: Sequence[Any], anchors: Sequence[Any], size: Any
    ) -> tuple[Any, Any]:
        """Return an image's proposals and whether there are so many."""
        settings, training = self.settings, self.training
        most = settings.pre_nms_top_n_train if training else settings.pre_nms_top_n_test
        chosen, values, levels = [], [], []
        for number, (score, code, placed) in enumerate(zip(scores, codes, anchors, strict=True)):
            top, places = ops.topk(ops.detach(score), min(most, len(placed)))
            near = ops.index_select(ops.reshape(placed, (-1, 4)), 0, places)
            chosen.append(decode(ops.index_select(ops.detach(code), 0, places), near, _CODING))
            values.append(ops.sigmoid(top))
            levels.append(np.full(top.shape, number))
        candidates = clip(ops.concat(chosen, 0), size)
        likely = ops.concat(values, 0)
        usable = ops.logical_and(large(candidates, 1e-3), likely >= settings.score_thresh)
        count = settings.post_nms_top_n_train if training else settings.post_nms_top_n_test
        found, kept, _ = best(
            candidates,
            ops.where(usable, likely, -1.0),
            np.concatenate(levels),
            settings.nms_thresh,
            min(count, candidates.shape[0]),
        )
        return found, kept > 0

    def _losses(self, scores: Any, codes: Any, anchors: Any, boxes: Any, labels: Any) -> dict[str, Any]:
        settings = self.settings
        objectness, regression, count = [], [], 0.0
        for number in range(scores.shape[0]):
            quality = overlaps(boxes[number], labels[number], anchors)
            objects, matched = match(quality, settings.bg_iou_thresh, settings.fg_iou_thresh, True)
            positive, negative = sample(matched, settings.batch_size_per_image, settings.positive_fraction)
            target = encode(ops.index_select(boxes[number], 0, objects), anchors, _CODING)
            code = codes[number]
            target = ops.where(ops.reshape(positive, (-1, 1)), target, ops.detach(code))
            regression.append(ops.smooth_l1_loss(code, target, reduction="sum", beta=1 / 9))
            wanted = ops.where(positive, 1.0, 0.0)
            used = ops.where(ops.logical_or(positive, negative), 1.0, 0.0)
            loss = ops.binary_cross_entropy_with_logits(scores[number], wanted, reduction="none")
            objectness.append(ops.sum(loss * used))
            count = count + ops.sum(used)
        return {
            "loss_objectness": sum(objectness) / count,
            "loss_rpn_box_reg": sum(regression) / count,
        }
