# SPDX-License-Identifier: Apache-2.0
"""Transfer learning: trained weights out of a file, a new last layer, the body first frozen, then gently."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cnncore as cc
from cnncore import data, models, nn, optim
from example_data import cifar10, quick_option

OLD = 7
"""Classes 0 to 6 are trained first, 7 to 9 later from few images."""


def train(model: nn.Module, optimizer: Any, x: Any, y: Any, epochs: int) -> None:
    loss = nn.CrossEntropyLoss()
    step = cc.train_step(lambda x, y: loss(model(x / 255), y), optimizer)
    for epoch in range(epochs):
        for batch in data.DataLoader((x, y), batch_size=64, shuffle=True, seed=epoch):
            last = step(*batch)
        print(f"epoch {epoch + 1}  loss {last:.4f}")


def main(quick: bool = False) -> float:
    """Return the test accuracy on the new classes."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = cifar10(quick)
    epochs = 2 if quick else 10
    old, new, tested = y < OLD, y >= OLD, y_test >= OLD
    model = models.resnet20(classes=OLD)
    train(model, optim.AdamW(model.parameters(), lr=3e-3), x[old], y[old], epochs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.safetensors"
        cc.save(model.state_dict(), path)

        model = models.resnet20(classes=10 - OLD)
        left_out = cc.load_into(model, path, strict=False)  # the last layer has another shape
        print("not loaded:", left_out)
    x_few, y_few = x[new][:300], y[new][:300] - OLD
    cc.freeze(model, r"conv1|bn1|layer")  # with their running statistics
    train(model, optim.AdamW(model.parameters(), lr=1e-2), x_few, y_few, 3 * epochs)
    cc.unfreeze(model, "layer3")
    groups = cc.parameter_groups(model, {"linear": 3e-3})
    train(model, optim.AdamW(groups, lr=3e-4), x_few, y_few, 2 * epochs)
    right = model.predict(x_test[tested] / 255, batch_size=500).argmax(1) == y_test[tested] - OLD
    print(f"test accuracy on the new classes {right.mean():.2%}")
    return float(right.mean())


if __name__ == "__main__":
    main(quick_option())
