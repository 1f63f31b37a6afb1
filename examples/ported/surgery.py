# SPDX-License-Identifier: Apache-2.0
"""Changes of a network that exists: layers exchanged, put in, cut off and tied; weights turned."""

from __future__ import annotations

import numpy as np

import cnncore as cc
from cnncore import models, nn, optim
from example_data import mnist, quick_option


def exchange(module: nn.Module, old: type[nn.Module], make: type[nn.Module]) -> int:
    """Put new layers in the place of all of a class; return how many."""
    count = 0
    for name, child in module.named_children():
        if isinstance(child, old):
            setattr(module, name, make())
            count += 1
        else:
            count += exchange(child, old, make)
    return count


def one_channel(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution of grey images that gives what the old one gives for grey as red, green and blue."""
    grey = nn.Conv2d(1, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
    grey.weight.assign(conv.weight.numpy().sum(1, keepdims=True))
    return grey


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    train, (x_test, y_test) = mnist(quick)

    model = models.resnet18(num_classes=1000)
    colours = model.eval()(np.repeat(x_test[:2], 3, 1))
    model.conv1 = one_channel(model.conv1)
    np.testing.assert_allclose(model(x_test[:2]), colours, rtol=1e-3, atol=1e-3)

    body = nn.Sequential(*list(model.children())[:5])  # up to layer1
    assert body(x_test[:1]).shape == (1, 64, 7, 7)
    body[3] = nn.Identity()  # keep the size: no pooling
    print("activations exchanged:", exchange(body, nn.ReLU, nn.SiLU))
    body.append(nn.AdaptiveAvgPool2d(1))
    body.extend([nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 10)])
    body.insert(7, nn.Dropout(0.1))
    body[10].weight = body[8].weight  # tied: one parameter, whose gradients are added
    del body[9]
    assert len(body) == 11
    print(body)

    body.train()
    loss = nn.CrossEntropyLoss()
    trainer = cc.Trainer(body, loss, optim.Adam(body.parameters(), lr=2e-3))
    trainer.fit(train, epochs=3 if quick else 2, batch_size=64)
    accuracy = float((body.predict(x_test, batch_size=500).argmax(1) == y_test).mean())
    print(f"test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
