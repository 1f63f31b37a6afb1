# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import io, models, nn

SIZES = {
    "lenet5": (28, 1, 61_706),
    "mnist_cnn": (28, 1, 1_199_882),
    "resnet20": (32, 3, 269_722),
    "resnet32": (32, 3, 464_154),
    "resnet44": (32, 3, 658_586),
    "resnet56": (32, 3, 853_018),
    "resnet110": (32, 3, 1_727_962),
    "alexnet": (224, 3, 61_100_840),
    "vgg11": (224, 3, 132_863_336),
    "vgg13": (224, 3, 133_047_848),
    "vgg16": (224, 3, 138_357_544),
    "vgg19": (224, 3, 143_667_240),
    "vgg11_bn": (224, 3, 132_868_840),
    "vgg13_bn": (224, 3, 133_053_736),
    "vgg16_bn": (224, 3, 138_365_992),
    "vgg19_bn": (224, 3, 143_678_248),
    "resnet18": (224, 3, 11_689_512),
    "resnet34": (224, 3, 21_797_672),
    "resnet50": (224, 3, 25_557_032),
    "resnet101": (224, 3, 44_549_160),
    "resnet152": (224, 3, 60_192_808),
    "mobilenet_v2": (224, 3, 3_504_872),
    "unet": (128, 3, 7_763_074),
}


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def test_list_names_every_network() -> None:
    assert set(SIZES) <= set(models.list())
    assert models.list() == sorted(models.list())


@pytest.mark.parametrize("name", SIZES)
def test_parameters(name: str, no_drawing: None) -> None:
    """The counts of the papers and of the networks' well-known implementations."""
    model = getattr(models, name)()
    assert sum(parameter.size for parameter in model.parameters()) == SIZES[name][2]


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn", "resnet20"])
@pytest.mark.parametrize(("classes", "in_channels"), [(10, 3), (7, 1)])
def test_classes_and_channels(name: str, classes: int, in_channels: int) -> None:
    model = getattr(models, name)(classes=classes, in_channels=in_channels).eval()
    size = SIZES[name][0]
    logits = model(np.zeros((2, in_channels, size, size), np.float32))
    assert logits.shape == (2, classes)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [("resnet18", 40, (2, 5)), ("mobilenet_v2", 33, (2, 5)), ("unet", 32, (2, 5, 32, 32))],
)
def test_other_sizes(name: str, size: int, expected: tuple[int, ...]) -> None:
    model = getattr(models, name)(classes=5, in_channels=2).eval()
    logits = model(np.zeros((2, 2, size, size), np.float32))
    assert logits.shape == expected
    assert np.isfinite(logits).all()


def deviation(values: Any) -> float:
    return float(np.std(np.asarray(values), dtype=np.float64))


def test_initial_values_are_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """He's normal distribution by fan out; of the classifiers' weights, where they are large, 0.01."""
    cc.manual_seed(0)
    resnet = models.resnet18(classes=3)
    assert deviation(resnet.layer4[0].conv1.weight) == pytest.approx(np.sqrt(2 / (512 * 9)), rel=0.01)
    mobile = models.mobilenet_v2()
    assert deviation(mobile.features[18][0].weight) == pytest.approx(np.sqrt(2 / 1280), rel=0.01)
    assert deviation(mobile.classifier[1].weight) == pytest.approx(0.01, rel=0.01)
    assert not np.any(mobile.classifier[1].bias)
    monkeypatch.setattr(nn.init, "default_", lambda weight, bias: None)
    vgg = models.vgg11(classes=3)
    assert deviation(vgg.features[18].weight) == pytest.approx(np.sqrt(2 / (512 * 9)), rel=0.01)
    assert deviation(vgg.classifier[3].weight) == pytest.approx(0.01, rel=0.01)
    assert not np.any(vgg.features[18].bias)


def test_residual_blocks_can_begin_as_shortcuts() -> None:
    block = models.resnet50(classes=2, zero_init_residual=True).eval().layer1[1]
    x = np.abs(np.random.default_rng(0).normal(size=(1, 256, 4, 4))).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)


def test_mobilenets_width() -> None:
    """The paper's half-width network: 1.97 million parameters, channels multiples of 8."""
    model = models.mobilenet_v2(width_mult=0.5)
    assert sum(parameter.size for parameter in model.parameters()) == 1_968_680
    assert model.features[1].conv[1].weight.shape == (8, 16, 1, 1)


def test_unet_needs_multiples_of_16() -> None:
    with pytest.raises(ValueError, match=r"multiples of 16, got \(1, 3, 24, 32\)"):
        models.unet(width=2)(np.zeros((1, 3, 24, 32)))


def test_keys_are_those_of_published_weights() -> None:
    keys = list(models.resnet20().state_dict())
    assert keys[:6] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "bn1.num_batches_tracked",
    ]
    assert "layer3.2.conv2.weight" in keys
    assert keys[-2:] == ["linear.weight", "linear.bias"]
    assert not any("shortcut" in key for key in keys)
    mnist = models.mnist_cnn().state_dict()
    assert list(mnist) == [
        f"{layer}.{part}" for layer in ("conv1", "conv2", "fc1", "fc2") for part in ("weight", "bias")
    ]


def torch_mnist_cnn(torch: Any, state: dict[str, Any], x: Any) -> Any:
    f, p = torch.nn.functional, {name: torch.from_numpy(value) for name, value in state.items()}
    x = f.relu(f.conv2d(torch.from_numpy(x), p["conv1.weight"], p["conv1.bias"]))
    x = f.max_pool2d(f.relu(f.conv2d(x, p["conv2.weight"], p["conv2.bias"])), 2).flatten(1)
    x = f.relu(f.linear(x, p["fc1.weight"], p["fc1.bias"]))
    return f.linear(x, p["fc2.weight"], p["fc2.bias"]).numpy()


def torch_lenet5(torch: Any, state: dict[str, Any], x: Any) -> Any:
    f, p = torch.nn.functional, {name: torch.from_numpy(value) for name, value in state.items()}
    x = f.max_pool2d(f.relu(f.conv2d(torch.from_numpy(x), p["conv1.weight"], p["conv1.bias"], padding=2)), 2)
    x = f.max_pool2d(f.relu(f.conv2d(x, p["conv2.weight"], p["conv2.bias"])), 2).flatten(1)
    for layer in ("fc1", "fc2"):
        x = f.relu(f.linear(x, p[f"{layer}.weight"], p[f"{layer}.bias"]))
    return f.linear(x, p["fc3.weight"], p["fc3.bias"]).numpy()


def torch_resnet20(torch: Any, state: dict[str, Any], x: Any) -> Any:
    f, p = torch.nn.functional, {name: torch.from_numpy(value) for name, value in state.items()}

    def norm(x: Any, name: str) -> Any:
        parts = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(p[f"{name}.{part}"] for part in parts))

    x = f.relu(norm(f.conv2d(torch.from_numpy(x), p["conv1.weight"], padding=1), "bn1"))
    for stage in (1, 2, 3):
        for block in range(3):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = f.relu(norm(f.conv2d(x, p[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = norm(f.conv2d(y, p[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                added = y.shape[1] - x.shape[1]
                x = f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added // 2, added // 2))
            x = f.relu(x + y)
    return f.linear(x.mean((2, 3)), p["linear.weight"], p["linear.bias"]).numpy()


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn", "resnet20"])
def test_inference_matches_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    cc.manual_seed(1)
    size, channels, _ = SIZES[name]
    model = getattr(models, name)().eval()
    x = np.random.default_rng(0).normal(size=(5, channels, size, size)).astype(np.float32)
    with torch.no_grad():
        expected = globals()[f"torch_{name}"](torch, model.state_dict(), x)
    # Twenty layers of float32 sums in another order: a few hundred units of the last place.
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.data
@pytest.mark.skipif("CNNCORE_DATA" not in os.environ, reason="CNNCORE_DATA is not set")
def test_published_weights_load_strictly() -> None:
    path = Path(os.environ["CNNCORE_DATA"]) / "resnet20-cifar10.safetensors"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    model = models.resnet20()
    assert io.load_into(model, path) == ([], [])
    np.testing.assert_array_equal(model.conv1.weight, io.load(path)["conv1.weight"])
