# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a network is refused by its name when the network is made."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from cnncore import models, nn
from cnncore.models import detection, segmentation, video
from cnncore.models.efficientnet import BlockConfig, MBConv
from cnncore.models.mobilenet_v3 import InvertedResidualConfig
from cnncore.models.regnet import BlockParams
from cnncore.models.resnet import BasicBlock


def stem(channels: int) -> nn.Module:
    return nn.Conv3d(channels, 64, 1)


SMALL: dict[Any, dict[str, Any]] = {
    models.AlexNet: {},
    models.CifarResNet: {"blocks": 1},
    models.ConvNeXt: {"block_setting": [models.CNBlockConfig(4, None, 1)]},
    models.DenseNet: {"growth_rate": 4, "block_config": (1, 1), "num_init_features": 4},
    models.EfficientNet: {
        "inverted_residual_setting": [BlockConfig(1, 3, 1, 8, 8, 1, MBConv)],
        "dropout": 0.1,
    },
    models.GoogLeNet: {},
    models.Inception3: {},
    models.LeNet5: {},
    models.MNASNet: {"alpha": 0.5},
    models.MnistCNN: {},
    models.MobileNetV2: {"width_mult": 0.25},
    models.MobileNetV3: {
        "inverted_residual_setting": [InvertedResidualConfig(8, 3, 8, 8, False, "RE", 1, 1)],
        "last_channel": 8,
    },
    models.RegNet: {"block_params": BlockParams.from_init_params(4, 8, 1.0, 2.0, 8)},
    models.ResNet: {"block": BasicBlock, "layers": [1, 1, 1, 1]},
    models.ShuffleNetV2: {"stages_repeats": [1, 1, 1], "stages_out_channels": [4, 4, 8, 8, 8]},
    models.SqueezeNet: {},
    models.UNet: {"width": 4},
    models.VGG: {"depths": [1, 1, 1, 1, 1]},
    models.VisionTransformer: {
        "image_size": 8,
        "patch_size": 4,
        "num_layers": 1,
        "num_heads": 1,
        "hidden_dim": 4,
        "mlp_dim": 4,
    },
    video.VideoResNet: {"convolutions": [BasicBlock] * 4, "stem": stem},
    segmentation.DeepLabHead: {"in_channels": 8, "classes": 2},
    segmentation.FCNHead: {"in_channels": 8, "classes": 2},
    detection.AnchorGenerator: {"sizes": ((32,),), "aspect_ratios": ((1.0,),)},
    detection.DefaultBoxGenerator: {"aspect_ratios": [[2], [2]]},
}


class Nonsense:
    """What no argument may be."""


@pytest.mark.parametrize("kind", SMALL)
def test_settings_of_networks(kind: Any) -> None:
    for name, setting in inspect.signature(kind).parameters.items():
        wrong = [Nonsense(), "no such word", np.full((2, 3), -1.0), -1]
        wrong += [math.nan] * isinstance(setting.default, float)
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
                kind(**{**SMALL[kind], name: value})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("min_size", 0),
        ("max_size", "large"),
        ("image_mean", 0.5),
        ("image_std", (0.2, 0.0, 0.2)),
        ("box_nms_thresh", 2.0),
        ("rpn_pre_nms_top_n_test", 0.5),
        ("trainable_backbone_layers", -1),
        ("num_classes", 1.5),
        ("progress", "no"),
    ],
)
def test_settings_of_detectors(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        detection.fasterrcnn_mobilenet_v3_large_320_fpn(**{name: wrong})


@pytest.mark.parametrize(
    "build",
    [
        segmentation.fcn_resnet50,
        segmentation.deeplabv3_mobilenet_v3_large,
        segmentation.lraspp_mobilenet_v3_large,
        detection.fasterrcnn_mobilenet_v3_large_fpn,
        detection.ssdlite320_mobilenet_v3_large,
    ],
)
@pytest.mark.parametrize("wrong", ["DEFAULT", True, 1.5, b"x.pth"])
def test_weights_of_backbones(build: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=rf"expected weights_backbone=None or a file, .* got {wrong!r}"):
        build(weights_backbone=wrong)


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        (models.CifarResNet, "blocks", 2**70),
        (models.ResNet, "layers", [1, 1, 1]),
        (models.ResNet, "layers", [1, 1, 1, 10**10]),
        (models.ConvNeXt, "num_layers", [models.CNBlockConfig(4, None, 2**70)]),
        (models.VGG, "depths", [1, 1, 1, 1, 2**40]),
        (models.VisionTransformer, "num_layers", 10**9),
        (models.VisionTransformer, "patch_size", 3),
        (video.VideoResNet, "convolutions", [BasicBlock] * 3),
    ],
)
def test_depths(kind: Any, name: str, wrong: Any) -> None:
    argument = "block_setting" if kind is models.ConvNeXt else name
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        kind(**{**SMALL[kind], argument: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("resize", "large"),
        ("crop", -3),
        ("mean", (0.1, "x", 0.1)),
        ("std", (1.0, 0.0, 1.0)),
        ("interpolation", "nearest"),
        ("antialias", 2),
        ("video", "no"),
    ],
)
def test_preprocessing(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        models.Preprocessing(**{name: wrong})(np.zeros((3, 300, 300), np.uint8))


@pytest.mark.parametrize("wrong", [5, None, ["resnet18"], np.ones(3)])
def test_names(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected the name of a network"):
        models.get(wrong)
    with pytest.raises(TypeError, match="expected weights as a name"):
        models.preprocessing("resnet18", wrong)


def test_one_block_is_no_division_by_zero() -> None:
    assert len(models.ConvNeXt(**SMALL[models.ConvNeXt]).features) == 2
