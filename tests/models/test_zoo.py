# SPDX-License-Identifier: Apache-2.0
"""torchvision's networks: published sizes, its own keys and outputs where the data sets are, and training."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops, optim

PARAMETERS = {
    "convnext_small": 50_223_688,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_v2_s": 21_458_488,
    "efficientnet_v2_m": 54_139_356,
    "inception_v3": 27_161_264,
    "mnasnet0_5": 2_218_512,
    "mnasnet0_75": 3_170_208,
    "mnasnet1_0": 4_383_312,
    "mnasnet1_3": 6_282_256,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "regnet_x_16gf": 54_278_536,
    "regnet_x_1_6gf": 9_190_136,
    "regnet_x_3_2gf": 15_296_552,
    "regnet_x_400mf": 5_495_976,
    "regnet_x_800mf": 7_259_656,
    "regnet_x_8gf": 39_572_648,
    "regnet_y_1_6gf": 11_202_430,
    "regnet_y_3_2gf": 19_436_338,
    "regnet_y_400mf": 4_344_144,
    "regnet_y_800mf": 6_432_512,
    "regnet_y_8gf": 39_381_472,
    "resnext50_32x4d": 25_028_904,
    "segmentation.lraspp_mobilenet_v3_large": 3_221_538,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "video.mc3_18": 11_695_440,
    "video.r2plus1d_18": 31_505_325,
    "video.r3d_18": 33_371_472,
    "wide_resnet50_2": 68_883_240,
}
"""As torchvision documents them, without those that take seconds to make."""

CHAOTIC = {"efficientnet_v2_s"}
"""With these weights it turns float32's rounding into differences of half of the scale: torch's own output in
float64 is that far from its output in float32, and so is one of an input changed by 1e-6."""


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def count(network: nn.Module) -> int:
    return sum(parameter.size for parameter in network.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str, no_drawing: None) -> None:
    assert count(models.get(name)) == PARAMETERS[name]


def test_parameters_of_auxiliary_classifiers(no_drawing: None) -> None:
    assert count(models.googlenet(aux_logits=False)) == 6_624_904
    assert count(models.segmentation.fcn_resnet50(aux_loss=True)) == 35_322_218
    assert count(models.segmentation.deeplabv3_resnet50(aux_loss=True)) == 42_004_074
    assert count(models.segmentation.deeplabv3_mobilenet_v3_large(aux_loss=True)) == 11_029_328


def test_stages_of_regnet() -> None:
    """The depths of the paper's tables for RegNetX-400MF and RegNetY-8GF."""
    from cnncore.models.regnet import BlockParams

    small = BlockParams.from_init_params(22, 24, 24.48, 2.54, 16)
    assert [(s.width, s.depth, s.group_width) for s in small.stages] == [
        (32, 1, 16),
        (64, 2, 16),
        (160, 7, 16),
        (400, 12, 16),
    ]
    large = BlockParams.from_init_params(17, 192, 76.82, 2.19, 56, se_ratio=0.25)
    assert [(s.width, s.depth) for s in large.stages] == [(224, 2), (448, 4), (896, 10), (2016, 1)]
    with pytest.raises(ValueError, match="w_0 a multiple of 8"):
        BlockParams.from_init_params(16, 47, 27.89, 2.09, 8)


# -- against torchvision ----------------------------------------------------------------------------


@cache
def recorded(folder: Path) -> tuple[Any, dict[str, Any], Any]:
    """Return the module that makes weights, keys with shapes, and outputs."""
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return fill, json.loads((folder / "keys.json").read_text()), np.load(folder / "outputs.npz")


@pytest.fixture
def reference(data_root: Path) -> tuple[Any, dict[str, Any], Any]:
    if not (data_root / "torchvision" / "outputs.npz").exists():
        pytest.skip("torchvision's keys and outputs are not among the data sets")
    return recorded(data_root / "torchvision")


def picture(name: str) -> Any:
    """Return the input of the recorded outputs."""
    rng = np.random.default_rng(1)
    if name.startswith("video."):
        return rng.standard_normal((1, 3, 8, 56, 56)).astype(np.float32)
    if name.startswith("segmentation."):
        return rng.standard_normal((1, 3, 65, 97)).astype(np.float32)
    extent = 299 if name == "inception_v3" else 224
    return rng.standard_normal((2, 3, extent, extent)).astype(np.float32)


RECORDED = [
    *("alexnet", "vgg11", "vgg16_bn", "resnet18", "resnet50", "resnet101", "resnext50_32x4d", "googlenet"),
    *("inception_v3", "squeezenet1_0", "squeezenet1_1", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
    *("mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny"),
    *("mnasnet1_0", "regnet_y_400mf", "video.r3d_18", "video.r2plus1d_18", "segmentation.fcn_resnet50"),
    *("segmentation.deeplabv3_mobilenet_v3_large", "segmentation.lraspp_mobilenet_v3_large"),
]


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDED)
def test_keys_and_outputs_are_torchvisions(name: str, reference: Any, no_drawing: None) -> None:
    fill, keys, outputs = reference
    shapes = keys[name]
    options = {"aux_loss": True} if any(key.startswith("aux_classifier") for key in shapes) else {}
    network = models.get(name, **options).eval()
    state = [(key, list(value.shape)) for key, value in network.state_dict().items()]
    assert state == list(shapes.items())
    network.load_state_dict(fill.fill(shapes))
    found = network(picture(name))
    if not isinstance(found, dict):
        found = {"out": found}
    for output, values in found.items():
        if name.startswith("segmentation."):
            values = values[..., ::8, ::8]
        expected = outputs[f"{name}/{output}"]
        assert values.shape == expected.shape
        assert np.isfinite(values).all()
        if name not in CHAOTIC:
            assert np.abs(values - expected).max() <= 1e-4 * np.abs(expected).max()


# -- training ---------------------------------------------------------------------------------------

TRAINED = {
    "convnext_tiny": {"block_setting": [models.CNBlockConfig(8, 16, 1), models.CNBlockConfig(16, None, 1)]},
    "densenet121": {"growth_rate": 4, "block_config": (2, 2), "num_init_features": 8},
    "mnasnet0_5": {},
    "mobilenet_v3_small": {"width_mult": 0.25},
    "regnet_y_400mf": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_1": {},
}


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_training(name: str) -> None:
    """The loss on the same small batch falls, dropout and all."""
    cc.manual_seed(0)
    options = dict(TRAINED[name])
    if name == "densenet121":
        network: nn.Module = models.DenseNet(classes=3, **options)
    else:
        network = models.get(name, num_classes=3, **options)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3, 64, 64)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(network(x), y), optim.SGD(network.parameters(), 0.002)
    )
    losses = [step(x, y) for _ in range(6)]
    assert np.isfinite(losses).all()
    assert min(losses[3:]) < losses[0]
    assert network.eval()(x).shape == (6, 3)


def test_efficient_memory_changes_no_bits() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32), np.array([0, 2])
    grads = []
    for memory_efficient in (False, True):
        cc.manual_seed(0)
        options: dict[str, Any] = {"block_config": (3, 2), "growth_rate": 8, "classes": 3}
        network = models.DenseNet(**options, memory_efficient=memory_efficient)
        function = cc.value_and_grad(
            lambda x, y, network=network: ops.cross_entropy(network(x), y), list(network.parameters())
        )
        grads.append(function(x, y)[1])
    for plain, again in zip(*grads, strict=True):
        np.testing.assert_array_equal(plain, again)


def test_auxiliary_classifiers_answer_in_training_alone() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 96, 96)).astype(np.float32)
    google = models.googlenet(num_classes=4, init_weights=False)
    outputs = google(x)
    assert type(outputs).__name__ == "GoogLeNetOutputs"
    assert [part.shape for part in outputs] == [(2, 4)] * 3
    assert google.eval()(x).shape == (2, 4)
    plain = models.googlenet(num_classes=4, init_weights=False, aux_logits=False)
    assert plain(x).shape == (2, 4)
    inception = models.inception_v3(num_classes=4, init_weights=False)
    logits, auxiliary = inception(np.zeros((2, 3, 299, 299), np.float32))
    assert logits.shape == auxiliary.shape == (2, 4)


def test_transformed_inputs_reach_from_minus_one_to_one() -> None:
    from cnncore.models.blocks import to_unit_range

    image = np.array([[0.0, 0.5, 1.0]] * 3, np.float32).reshape(1, 3, 1, 3)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    values = to_unit_range(((image - mean) / std).astype(np.float32))
    np.testing.assert_allclose(values, np.broadcast_to([[-1, 0, 1]], (1, 3, 1, 3)), atol=1e-6)


def test_segmentation_trains() -> None:
    cc.manual_seed(0)
    network = models.segmentation.deeplabv3_mobilenet_v3_large(num_classes=3, aux_loss=True)
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 48)).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 3, (2, 32, 48))

    def loss(x: Any, y: Any) -> Any:
        outputs = network(x)
        return ops.cross_entropy(outputs["out"], y) + 0.5 * ops.cross_entropy(outputs["aux"], y)

    step = cc.train_step(loss, optim.SGD(network.parameters(), 0.01))
    losses = [step(x, y) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert network.eval()(x)["out"].shape == (2, 3, 32, 48)


def test_vision_transformers() -> None:
    options = {
        "image_size": 32,
        "patch_size": 8,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 8,
        "mlp_dim": 16,
    }
    network = models.VisionTransformer(**options, classes=5, representation_size=4)
    keys = list(network.state_dict())
    assert keys[:5] == [
        "class_token",
        "conv_proj.weight",
        "conv_proj.bias",
        "encoder.pos_embedding",
        "encoder.layers.encoder_layer_0.ln_1.weight",
    ]
    assert "encoder.layers.encoder_layer_0.mlp.3.bias" in keys
    assert "heads.pre_logits.weight" in keys
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    assert not network(x).any()  # the last layer begins at zero
    with pytest.raises(ValueError, match=r"images of 32x32, got shape \(2, 3, 30, 32\)"):
        network(x[:, :, 1:31])


# -- initial values ---------------------------------------------------------------------------------


def spread(values: Any) -> float:
    return float(np.std(np.asarray(values), dtype=np.float64))


def test_initial_values_are_torchvisions() -> None:
    cc.manual_seed(0)
    regnet = models.regnet_x_400mf(classes=3)
    layer = regnet.get_submodule("trunk_output.block4.block4-1.f.b.0")
    assert spread(layer.weight) == pytest.approx(np.sqrt(2 / (9 * 400)), rel=0.02)  # whatever the groups
    efficient = models.efficientnet_b0(classes=50)
    bound = np.abs(efficient.classifier[1].weight.numpy()).max()
    assert bound == pytest.approx(1 / np.sqrt(50), rel=1e-3)
    squeeze = models.squeezenet1_1(classes=50)
    assert spread(squeeze.classifier[1].weight) == pytest.approx(0.01, rel=0.02)
    expand = squeeze.features[12].expand3x3.weight.numpy()
    assert np.abs(expand).max() == pytest.approx(np.sqrt(6 / (64 * 9)), rel=1e-3)
    google = models.googlenet(classes=50)
    assert spread(google.inception5b.branch2[1].conv.weight) == pytest.approx(0.01, rel=0.02)
    assert google.fc.bias.numpy().any()  # as torchvision, which leaves biases alone
    inception = models.inception_v3(classes=20)
    assert spread(inception.Mixed_7c.branch3x3_1.conv.weight) == pytest.approx(0.1, rel=0.02)
    assert spread(inception.AuxLogits.conv1.conv.weight) == pytest.approx(0.01, rel=0.02)
    assert spread(inception.AuxLogits.fc.weight) == pytest.approx(0.001, rel=0.05)
    convnext = models.convnext_tiny(classes=20)
    assert spread(convnext.features[7][0].block[3].weight) == pytest.approx(0.02, rel=0.02)
    assert np.all(convnext.features[1][0].layer_scale.numpy() == np.float32(1e-6))
    assert not convnext.classifier[2].bias.numpy().any()
    mnas = models.mnasnet1_0(classes=50)
    bound = np.abs(mnas.classifier[1].weight.numpy()).max()
    assert bound == pytest.approx(np.sqrt(3 / 50), rel=1e-3)
    dense = models.DenseNet(block_config=(1, 1), classes=3)
    assert spread(dense.features.transition1.conv.weight) == pytest.approx(np.sqrt(2 / 96), rel=0.05)


# -- names and preprocessing ------------------------------------------------------------------------


def test_get() -> None:
    assert type(models.get("video.r3d_18", num_classes=2)) is type(models.get("mc3_18", num_classes=2))
    assert models.get("resnet20").linear.weight.shape == (10, 64)
    with pytest.raises(ValueError, match=r"a network among alexnet, .*, got 'resnet19'"):
        models.get("resnet19")
    with pytest.raises(ValueError, match="among"):
        models.get("list")


def test_weights_of_names_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"squeezenet1_1\.safetensors' or 'squeezenet1_1\.pth', got 'IMAGENET1K_V1'"
    ):
        models.squeezenet1_1(weights="IMAGENET1K_V1")


def networks_with_settings() -> Iterator[str]:
    return (
        name
        for name in models.list()
        if name not in ("lenet5", "mnist_cnn", "unet") and "detection" not in name
    )


def test_every_network_has_its_preprocessing() -> None:
    for name in networks_with_settings():
        assert models.preprocessing(name).mean
    with pytest.raises(ValueError, match="weights of lenet5 among none, got 'DEFAULT'"):
        models.preprocessing("lenet5")
    with pytest.raises(ValueError, match="weights of resnet18 among V1, got 'V2'"):
        models.preprocessing("resnet18", "V2")
    assert models.preprocessing("regnet_y_128gf").crop == 384
    assert models.preprocessing("vit_l_16", "IMAGENET1K_SWAG_E2E_V1").crop == 512
    assert models.preprocessing("r3d_18") == models.preprocessing("video.r3d_18", "KINETICS400_V1")
    assert models.preprocessing("fcn_resnet50", "COCO_WITH_VOC_LABELS_V1").crop is None


def test_preprocessing_resizes_crops_and_normalises() -> None:
    settings = models.Preprocessing(resize=4, crop=2, mean=(0.5,), std=(0.25,))
    image = np.zeros((1, 8, 16), np.uint8)
    image[:, 4:] = 255
    result = settings(image)
    assert result.dtype == np.float32
    # Of eight rows to four, the second sees an eighth of the fifth: 32 of 255, rounded to a whole number.
    low = (32 / 255 - 0.5) / 0.25
    np.testing.assert_allclose(result, [[[low, low], [-low, -low]]], atol=1e-6)
    floats = settings(image / 255.0)
    np.testing.assert_allclose(floats[0, 0], (0.125 - 0.5) / 0.25, atol=1e-6)
    np.testing.assert_array_equal(settings(np.stack([image, image]))[1], result)
    # Smaller than what is cut out: zeros, before normalisation, surround it.
    padded = models.Preprocessing(None, 3, (0.5,), (0.25,))(np.full((1, 1, 2), 1.0))
    np.testing.assert_array_equal(padded, [[[-2, -2, -2], [2, 2, -2], [-2, -2, -2]]])
    for wrong, error in ((np.zeros((2, 4, 4)), ValueError), (np.zeros((1, 4, 4), np.int64), TypeError)):
        with pytest.raises(error, match="expected images"):
            settings(wrong)


def test_preprocessing_of_videos() -> None:
    settings = models.preprocessing("video.r3d_18")
    assert settings(np.zeros((5, 3, 60, 80), np.uint8)).shape == (3, 5, 112, 112)
    with pytest.raises(ValueError, match=r"expected videos \(\.\.\., frames, 3, height, width\)"):
        settings(np.zeros((3, 60, 80), np.uint8))
