# SPDX-License-Identifier: Apache-2.0
"""Faster R-CNN (Ren et al., 2015) by its pieces, on the scenes of `detector.py`.

A backbone gives a pyramid of maps; anchors stand at each of their places. The region proposal network says
which anchors have an object and moves them there; overlapping ones are suppressed. RoI align cuts a region of
7x7 out of the maps for each proposal, the heads say what it is and move its box again, and suppression by
kinds leaves the detections. What each piece gives is printed. The figure is COCO's mAP@50.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.models.detection import AnchorGenerator, FasterRCNN
from cnncore.train.metrics import mean_average_precision
from detector import KINDS, SIZE, draw
from ported.example_data import options, save_picture

COLOURS = np.array([[1.0, 0.2, 0.2], [0.1, 0.9, 0.2], [0.3, 0.5, 1.0]])
"""Of the frames of circles, squares and triangles."""


class Backbone(nn.Module):
    """(batch, 3, 96, 96) -> a pyramid of maps: "0" of 24x24 and "1" of 12x12, 48 channels each."""

    out_channels = 48

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 32, 32, 48, 48)
        blocks = [nn.Conv2dNormActivation(a, b, 3, 1 + (a != b)) for a, b in pairwise(widths)]
        self.fine, self.coarse = nn.Sequential(*blocks[:3]), nn.Sequential(*blocks[3:])
        self.pyramid = nn.FeaturePyramidNetwork([32, 48], self.out_channels)

    def forward(self, x: Any) -> dict[str, Any]:
        fine = self.fine(x)
        maps: dict[str, Any] = self.pyramid({"0": fine, "1": self.coarse(fine)})
        return maps


def network() -> FasterRCNN:
    """The detector; class 0 is the background."""
    return FasterRCNN(
        Backbone(), 1 + KINDS, AnchorGenerator(((14, 20), (26, 34)), ((1.0,),) * 2), min_size=SIZE,
        image_mean=(0.4,) * 3, image_std=(0.25,) * 3,
        rpn_pre_nms_top_n_train=200, rpn_post_nms_top_n_train=60, rpn_batch_size_per_image=64,
        rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=60, rpn_fg_iou_thresh=0.6,
        box_batch_size_per_image=32, box_detections_per_img=20,
    )  # fmt: skip


def scenes(count: int, rng: np.random.Generator) -> tuple[Any, list[dict[str, Any]]]:
    """Images and targets whose labels begin with 1."""
    images, targets = draw(count, rng)
    return images, [{**target, "labels": target["labels"] + 1} for target in targets]


def tour(model: FasterRCNN, image: Any) -> None:
    """Print what each piece gives for one image."""
    images, sizes = model.batch([image])
    maps = model.backbone(model.normalised(images))
    print("backbone   maps", ", ".join("x".join(map(str, x.shape[1:])) for x in maps.values()))
    anchors = model.rpn.anchor_generator(images.shape[2:], [x.shape[2:] for x in maps.values()])
    print(f"anchors    {' + '.join(str(len(boxes)) for boxes in anchors)} boxes")
    scores, _ = model.rpn.head(list(maps.values()))
    likely = sum(int((np.asarray(score) > 0).sum()) for score in scores)
    proposals, real, _ = model.rpn(images, sizes, maps)
    print(f"proposals  {likely} anchors above 50 %; {int(real.sum())} boxes after suppression")
    rois = np.concatenate([np.zeros((len(proposals[0]), 1)), proposals[0]], 1)
    regions = ops.roi_align(maps["0"], rois, 7, spatial_scale=0.25, sampling_ratio=2)
    print(f"RoI align  regions {regions.shape}")
    scores, codes = model.roi_heads.box_predictor(model.roi_heads.box_head(regions))
    kinds = np.asarray(ops.softmax(scores, -1))[:, 1:]
    print(f"heads      scores {scores.shape}, boxes {codes.shape}; {int((kinds > 0.5).sum())} sure")
    found = model.roi_heads(images, sizes, maps, proposals, real)
    print(f"NMS        {int((found['scores'] > 0.5).sum())} objects")


def framed(image: Any, found: dict[str, Any]) -> Any:
    """The image with frames around what is found with more than 50 %."""
    image = image.copy()
    for box, label in zip(found["boxes"], found["labels"], strict=True):
        left, top, right, bottom = np.rint(box).astype(int).clip(0, SIZE - 1)
        for part in np.s_[[top, bottom], left : right + 1], np.s_[top : bottom + 1, [left, right]]:
            image[(slice(None), *part)] = COLOURS[label - 1][:, None, None]
    return image


def main(quick: bool = False, picture: str | None = None) -> float:
    """Return mAP@50 on scenes that were not seen in training."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    model, steps, batch = network(), 3 if quick else 900, 4 if quick else 8
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    step = cc.train_step(lambda *inputs: sum(model(*inputs).values()), optimizer)
    for number in range(steps):
        loss = step(*model.batch(*scenes(batch, rng)))
        schedule.step()
        if (number + 1) % 150 == 0:
            print(f"step {number + 1}: loss {loss:.3f}")
    images, targets = scenes(8 if quick else 200, rng)
    tour(model.eval(), images[0])
    found = [model([image])[0] for image in images]
    figures = mean_average_precision(found, targets)
    print(f"mAP@50 {figures['map_50']:.3f}, mAP {figures['map']:.3f}")
    sure = [{name: values[one["scores"] > 0.5] for name, values in one.items()} for one in found[:12]]
    shown = [framed(image, one) for image, one in zip(images[:12], sure, strict=False)]
    save_picture(picture, np.stack(shown), columns=4)
    return figures["map_50"]


if __name__ == "__main__":
    main(**options())
