# SPDX-License-Identifier: Apache-2.0
"""`features_grad_cam.py` in PyTorch: hooks keep what layers return, gradients come with backward()."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from example_data import mnist, quick_option


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def grad_cam(model: Net, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    features = features.detach().requires_grad_(True)
    scores = (model.head(features) * F.one_hot(classes, 10)).sum()
    weights = torch.autograd.grad(scores, features)[0].mean((2, 3), keepdim=True)
    maps = F.relu((weights * features).sum(1)).detach()
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)


def main(quick: bool = False) -> float:
    """Return the share of the maps' weight that lies on ink or beside it."""
    torch.manual_seed(0)
    train, (x_test, _) = mnist(quick)
    model = Net()
    optimizer, loss_of = optim.Adam(model.parameters(), lr=5e-3), nn.CrossEntropyLoss()
    for _ in range(6 if quick else 3):
        for x, y in DataLoader(TensorDataset(*map(torch.from_numpy, train)), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()

    model.eval()
    images, outputs = torch.from_numpy(x_test[:200]), {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: outputs.update({name: output.detach()})
        )
        for name in ("body.3", "body", "")
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    for name, output in outputs.items():
        print(f"{name or 'the model':10} {tuple(output.shape)}  mean {output.mean():.3f}")
    maps = grad_cam(model, outputs["body"], outputs[""].argmax(1))
    large = F.interpolate(maps[:, None], size=(28, 28), mode="bilinear").numpy()
    ink = (F.max_pool2d(images, 5, stride=1, padding=2) > 0.3).numpy()
    share = float((large * ink).sum() / large.sum())
    print(f"on ink or beside it: {share:.2%} of the maps, {np.mean(ink):.2%} of the pixels")
    return share


if __name__ == "__main__":
    main(quick_option())
