# SPDX-License-Identifier: Apache-2.0
"""`surgery.py` in PyTorch; instead of torchvision's ResNet-18, a network of the same kind of parts."""

from __future__ import annotations

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from example_data import mnist, quick_option


def exchange(module: nn.Module, old: type[nn.Module], make: type[nn.Module]) -> int:
    count = 0
    for name, child in module.named_children():
        if isinstance(child, old):
            setattr(module, name, make())
            count += 1
        else:
            count += exchange(child, old, make)
    return count


def one_channel(conv: nn.Conv2d) -> nn.Conv2d:
    grey = nn.Conv2d(1, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
    with torch.no_grad():
        grey.weight.copy_(conv.weight.sum(1, keepdim=True))
    return grey


def network() -> nn.Sequential:
    def block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
        )

    first = [nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*first, nn.MaxPool2d(3, 2, 1), block(64, 64), block(64, 128), nn.Flatten())


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = (tuple(map(torch.from_numpy, part)) for part in mnist(quick))

    model = network().eval()
    with torch.no_grad():
        colours = model(x_test[:2].repeat(1, 3, 1, 1))
        model[0] = one_channel(model[0])
        torch.testing.assert_close(model(x_test[:2]), colours, rtol=1e-3, atol=1e-3)

    body = nn.Sequential(*list(model.children())[:5])
    assert body(x_test[:1]).shape == (1, 64, 7, 7)
    body[3] = nn.Identity()
    print("activations exchanged:", exchange(body, nn.ReLU, nn.SiLU))
    body.append(nn.AdaptiveAvgPool2d(1))
    body.extend([nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 10)])
    body.insert(7, nn.Dropout(0.1))
    body[10].weight = body[8].weight
    del body[9]
    assert len(body) == 11
    print(body)

    optimizer, loss_of = optim.Adam(body.parameters(), lr=2e-3), nn.CrossEntropyLoss()
    body.train()
    for _ in range(8 if quick else 2):
        for images, labels in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss_of(body(images), labels).backward()
            optimizer.step()
    body.eval()
    with torch.no_grad():
        accuracy = float((body(x_test).argmax(1) == y_test).float().mean())
    print(f"test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
