# SPDX-License-Identifier: Apache-2.0
"""What layers inside a network return, and where it looks: Grad-CAM (Selvaraju et al., 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, optim
from example_data import mnist, quick_option


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


def grad_cam(model: Net, features: Any, classes: Any) -> Any:
    """(batch, height, width) from 0 to 1: how much each place of the features speaks for a class."""
    gradient = cc.grad(lambda maps, chosen: (model.head(maps) * chosen).sum())
    weights = gradient(features, np.eye(10, dtype=np.float32)[classes]).mean((2, 3), keepdims=True)
    maps = np.maximum((weights * features).sum(1), 0)
    return maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-12)


def main(quick: bool = False) -> float:
    """Return the share of the maps' weight that lies on ink or beside it."""
    cc.manual_seed(0)
    train, (x_test, _) = mnist(quick)
    model = Net()
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=5e-3))
    trainer.fit(train, epochs=6 if quick else 3, batch_size=64)

    model.eval()
    images = x_test[:200]
    outputs = cc.capture(model, ["body.3", "body", ""], images)  # torch: forward hooks
    for name, output in outputs.items():
        print(f"{name or 'the model':10} {output.shape}  mean {output.mean():.3f}")
    maps = grad_cam(model, outputs["body"], outputs[""].argmax(1))
    large = np.asarray(cc.ops.interpolate(maps[:, None], size=(28, 28), mode="bilinear"))
    ink = cc.ops.max_pool2d(images, 5, stride=1, padding=2) > 0.3
    share = float((large * ink).sum() / large.sum())
    for row in (large[0, 0, ::2] * 9.99).astype(int):
        print("".join(" .:-=+*#%@"[value] for value in row))
    print(f"on ink or beside it: {share:.2%} of the maps, {np.mean(ink):.2%} of the pixels")
    return share


if __name__ == "__main__":
    main(quick_option())
