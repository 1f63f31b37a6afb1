# SPDX-License-Identifier: Apache-2.0
"""torchvision's arguments of networks, with what is known of the networks that they make."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import pytest

from cnncore import models, nn


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "alexnet", "vgg11_bn"])
def test_common_arguments(name: str, no_drawing: None) -> None:
    network = getattr(models, name)(weights=None, progress=False, num_classes=7)
    last = list(network.state_dict().items())[-1]
    assert last[1].shape == (7,)
    assert list(network.state_dict()) == list(getattr(models, name)().state_dict())
    assert next(iter(inspect.signature(getattr(models, name)).parameters)) == "classes"


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (partial(models.resnet50, groups=32, width_per_group=4), 25_028_904),  # resnext50_32x4d
        (partial(models.resnet101, groups=32, width_per_group=8), 88_791_336),  # resnext101_32x8d
        (partial(models.resnet50, width_per_group=128), 68_883_240),  # wide_resnet50_2
        (partial(models.resnet101, width_per_group=128), 126_886_696),  # wide_resnet101_2
    ],
)
def test_parameters_of_well_known_variants(build: Any, parameters: int, no_drawing: None) -> None:
    assert sum(parameter.size for parameter in build().parameters()) == parameters


def test_dilation_takes_the_place_of_strides(no_drawing: None) -> None:
    """The backbone of segmentation networks: its last maps have an eighth of the image's extent."""
    plain, network = models.resnet50(), models.resnet50(replace_stride_with_dilation=[False, True, True])
    assert list(network.state_dict()) == list(plain.state_dict())
    geometry = {
        path: (layer.stride, layer.padding, layer.dilation)
        for path, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    }
    one, two, four = (1, 1), (2, 2), (4, 4)
    assert geometry["layer2.0.conv2"] == (two, one, one)
    assert geometry["layer3.0.conv2"] == (one, one, one)
    assert geometry["layer3.1.conv2"] == (one, two, two)
    assert geometry["layer4.0.conv2"] == (one, two, two)
    assert geometry["layer4.2.conv2"] == (one, four, four)
    assert network.get_submodule("layer4.0.downsample.0").stride == one


def test_dilated_networks_run() -> None:
    network = models.resnet50(classes=3, replace_stride_with_dilation=(True, False, True)).eval()
    network.avgpool = nn.Identity()
    network.fc = nn.Identity()
    assert network(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 2048 * 8 * 8)


@pytest.mark.parametrize("build", [models.resnet50, models.mobilenet_v2])
def test_norm_layers(build: Any, no_drawing: None) -> None:
    network = build(norm_layer=partial(nn.BatchNorm2d, eps=0.25))
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) > 50
    assert all(layer.eps == 0.25 for layer in norms)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in build(norm_layer=nn.Identity).modules())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.Identity])
def test_residual_blocks_that_begin_as_shortcuts(norm: Any) -> None:
    network = models.resnet18(zero_init_residual=True, norm_layer=norm)
    assert norm is nn.Identity or not network.get_submodule("layer1.0.bn2").weight.numpy().any()


def test_initial_values_of_vgg() -> None:
    network = models.VGG((1, 0, 0, 0, 0), classes=2, init_weights=False)
    # torch's default, uniform up to 1 / sqrt(fan_in), where init_weights draws normal values of 0.01.
    assert 0.9 / np.sqrt(4096) < np.abs(network.classifier[3].weight).max() <= 1 / np.sqrt(4096)
    assert np.abs(network.features[0].bias).max() > 0


def test_stages_widths_and_blocks_of_mobilenet(no_drawing: None) -> None:
    network = models.mobilenet_v2(
        width_mult=0.3, round_nearest=4, inverted_residual_setting=[(1, 16, 1, 1), (1.5, 24, 2, 2)]
    )
    # 0.3 * 32 = 9.6 is 12 as 8 were more than a tenth less, 0.3 * 16 = 4.8 is 8 likewise, 0.3 * 24 is 8.
    convolutions = [m for m in network.features.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.stride[0]) for m in convolutions] == [
        (12, 2),
        (12, 1),
        (8, 1),
        (12, 1),
        (12, 2),
        (8, 1),
        (12, 1),
        (12, 1),
        (8, 1),
        (1280, 1),
    ]

    def plain(in_channels: int, channels: int, stride: int, expand_ratio: float, norm_layer: Any) -> Any:
        return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride), norm_layer(channels))

    blocks = models.mobilenet_v2(block=plain).features
    assert blocks[1][0].kernel_size == (1, 1)
