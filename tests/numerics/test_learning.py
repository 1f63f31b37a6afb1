# SPDX-License-Identifier: Apache-2.0
"""Networks that must learn, and a trained one that must be as good as it was."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, optim
from training_jobs import images, network, training_step

Array = NDArray[Any]

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)


def test_digits_are_learned() -> None:
    (x, y), (test_x, test_y) = cc.data.digits()
    cc.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=2e-3))
    trainer.fit((x, y), epochs=6, batch_size=32, verbose=0)
    accuracy = float(np.mean(model.predict(test_x).argmax(1) == test_y))
    assert accuracy >= 0.97


@pytest.mark.parametrize(("name", "steps", "lr"), [("lenet5", 120, 0.02), ("resnet20", 25, 0.05)])
def test_a_batch_is_learned_by_heart(name: str, steps: int, lr: float) -> None:
    model = network(name)
    step = training_step(model, lr=lr)
    x, y = images(name, 16)
    losses = [float(step(x, y)) for _ in range(steps)]
    assert losses[0] > 1.5
    assert losses[-1] < 0.01


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.1, nesterov=True, momentum=0.9), lambda p: optim.AdamW(p, lr=3e-3)]
)
def test_every_optimiser_lowers_the_loss(make: Any) -> None:
    model = network("mnist_cnn")
    model.train()
    x, y = images("mnist_cnn", 16)
    step = cc.train_step(lambda a, b: cc.ops.cross_entropy(model(a), b), make(list(model.parameters())))
    losses = [float(step(x, y)) for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def cifar_test_images(root: Path) -> tuple[Array, Array]:
    """The 10,000 test JPEGs in 0..1, classes in alphabetical order."""
    image = pytest.importorskip("PIL.Image")
    with zipfile.ZipFile(root / "cifar10-jpeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if "test/" in name and name.endswith(".jpg"))
        classes = sorted({name.split("/")[-2] for name in names})
        x = np.stack([np.asarray(image.open(io.BytesIO(archive.read(name)))) for name in names])
    y = np.array([classes.index(name.split("/")[-2]) for name in names])
    return x.transpose(0, 3, 1, 2).astype(np.float32) / 255, y


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("accuracy", ["fast", "exact"])
def test_a_trained_resnet20_is_as_good_as_in_pytorch(data_root: Path, accuracy: str) -> None:
    x, y = cifar_test_images(data_root)
    assert len(x) == 10000
    model = cc.models.resnet20()
    cc.load_into(model, data_root / "resnet20-cifar10.safetensors")
    model.eval()
    before = cc.get_accuracy()
    cc.set_accuracy(accuracy)
    try:
        predicted = model.predict((x - IMAGENET_MEAN) / IMAGENET_STD, batch_size=100).argmax(1)
    finally:
        cc.set_accuracy(before)
    assert 100 * np.mean(predicted == y) == pytest.approx(81.0, abs=0.1)
