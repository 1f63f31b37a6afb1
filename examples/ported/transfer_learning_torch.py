# SPDX-License-Identifier: Apache-2.0
"""`transfer_learning.py` in PyTorch: layers are frozen by requires_grad, batch norms by eval()."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from cifar_schedule_torch import resnet20
from example_data import cifar10, quick_option

OLD = 7


def network(classes: int) -> nn.Sequential:
    body = resnet20()
    return nn.Sequential(nn.Sequential(*list(body)[:-1]), nn.Linear(64, classes))


def train(
    model: nn.Module, optimizer: optim.Optimizer, x: torch.Tensor, y: torch.Tensor, epochs: int, frozen: bool
) -> None:
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        if frozen:
            model[0].eval()
        for images, labels in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = loss_of(model(images / 255), labels)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}  loss {loss.item():.4f}")


def main(quick: bool = False) -> float:
    """Return the test accuracy on the new classes."""
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = (tuple(map(torch.from_numpy, part)) for part in cifar10(quick))
    epochs = 2 if quick else 10
    old, new, tested = y < OLD, y >= OLD, y_test >= OLD
    model = network(OLD)
    train(model, optim.AdamW(model.parameters(), lr=3e-3), x[old], y[old], epochs, frozen=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.pt"
        torch.save(model.state_dict(), path)

        model = network(10 - OLD)
        state = {name: value for name, value in torch.load(path).items() if not name.startswith("1.")}
        print("not loaded:", model.load_state_dict(state, strict=False).missing_keys)
    x_few, y_few = x[new][:300], y[new][:300] - OLD
    model[0].requires_grad_(False)
    train(model, optim.AdamW(model[1].parameters(), lr=1e-2), x_few, y_few, 3 * epochs, frozen=True)
    model[0][-5:].requires_grad_(True)
    groups = [{"params": model[1].parameters(), "lr": 3e-3}, {"params": model[0][-5:].parameters()}]
    train(model, optim.AdamW(groups, lr=3e-4), x_few, y_few, 2 * epochs, frozen=True)
    model.eval()
    with torch.no_grad():
        right = model(x_test[tested] / 255).argmax(1) == y_test[tested] - OLD
    print(f"test accuracy on the new classes {right.float().mean():.2%}")
    return float(right.float().mean())


if __name__ == "__main__":
    main(quick_option())
