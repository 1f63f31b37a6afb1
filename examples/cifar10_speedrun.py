# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 in few epochs, with what Jordan (2024), "94% on CIFAR-10 in 3.29 seconds", gathers.

A first layer that whitens patches and is not trained, convolutions that begin as identities, large rates for
biases of norms, label smoothing, images turned over every other epoch, weights that jump to their moving
average each five steps, and the mean over both mirror images in the test.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import cnncore as cc
from cnncore import data, nn, ops, optim
from cnncore.data import transforms as t
from ported.example_data import cifar10, options, save_picture

NORMALIZE = t.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
WHITENED, WIDTHS = 24, (32, 128, 256)
LR, BIAS_FACTOR, WEIGHT_DECAY, LOOK_AHEAD = 0.73, 64, 2e-6, 5  # steps between two jumps to the mean


class Block(nn.Module):
    """Two convolutions, the first with max pooling, each with batch norm without scale and GELU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm1, self.norm2 = (nn.BatchNorm2d(after, momentum=0.4) for _ in range(2))
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            norm.weight.requires_grad = False
            weight = conv.weight.numpy().copy()
            weight[: conv.in_channels] = nn.init.dirac_(conv.weight).numpy()[: conv.in_channels]
            conv.weight.assign(weight)

    def forward(self, x: Any) -> Any:
        x = ops.gelu(self.norm1(ops.max_pool2d(self.conv1(x), 2)))
        return ops.gelu(self.norm2(self.conv2(x)))


class Net(nn.Module):
    """Whitened patches, three blocks, a linear layer; (batch, 3, 32, 32) to (batch, 10)."""

    def __init__(self, images: Any) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, WHITENED, 2)
        self.whiten.weight.assign(whitening(images))
        self.whiten.weight.requires_grad = False
        self.blocks = nn.Sequential(*(Block(*widths) for widths in pairwise((WHITENED, *WIDTHS))))
        self.linear = nn.Linear(WIDTHS[-1], 10, bias=False)

    def forward(self, x: Any) -> Any:
        x = self.blocks(ops.gelu(self.whiten(x)))
        return self.linear(ops.flatten(ops.max_pool2d(x, 3), 1)) / 9


def whitening(images: Any) -> Any:
    """Weights (24, 3, 2, 2) that make patches uncorrelated, of variance 1: directions and their negatives."""
    patches = sliding_window_view(images, (2, 2), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    scaled = (vectors / np.sqrt(values + 5e-4)).T[::-1].reshape(12, 3, 2, 2)
    return np.concatenate([scaled, -scaled]).astype(np.float32)


def normalized(images: Any) -> Any:
    return next(iter(data.DataLoader((images,), len(images), transform=NORMALIZE)))[0]


def predicted(model: nn.Module, x: Any) -> Any:
    """Classes by the sum of both mirror images' outputs."""
    return (model.predict(x, batch_size=500) + model.predict(x[..., ::-1], batch_size=500)).argmax(1)


def main(quick: bool = False, epochs: int = 5, picture: str | None = None) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = cifar10(quick)
    epochs, batch = (1, 50) if quick else (epochs, 500)
    model, tested = Net(normalized(x[:2000])), normalized(x_test)
    rates = {r".*norm": {"lr": LR * BIAS_FACTOR, "weight_decay": WEIGHT_DECAY / BIAS_FACTOR}}
    optimizer = optim.SGD(
        cc.parameter_groups(model, rates), lr=LR, momentum=0.85, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    steps, done, seconds = epochs * (len(y) // batch), 0, 0.0  # seconds without tests
    curve: list[tuple[float, float]] = []  # seconds and test accuracy of each epoch
    scheduler = optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: float(np.interp(step / steps, [0, 0.23, 1], [0.2, 1, 0.07]))
    )
    step = cc.train_step(lambda x, y: ops.cross_entropy(model(x), y, label_smoothing=0.2), optimizer)
    kept = [*model.parameters(), *(b for name, b in model.named_buffers() if "running" in name)]
    means = [np.array(value) for value in kept]
    turned = np.random.default_rng(0).random(len(y)) < 0.5
    chain = t.Compose([t.RandomCrop(32, padding=2, padding_mode="reflect"), NORMALIZE])
    for epoch in range(epochs):
        begin = time.perf_counter()
        mirrored = np.where((turned ^ bool(epoch % 2))[:, None, None, None], x[..., ::-1], x)
        for batch_of in data.DataLoader((mirrored, y), batch, True, epoch, True, transform=chain, workers=1):
            value, done = step(*batch_of), done + 1
            scheduler.step()
            if done % LOOK_AHEAD == 0 or done == steps:
                for now, mean in zip(kept, means, strict=True):
                    mean += (1 - 0.95**LOOK_AHEAD * (done / steps) ** 3) * (np.asarray(now) - mean)
                    now.assign(mean)
        seconds += time.perf_counter() - begin
        answers = predicted(model, tested)
        curve.append((seconds, float((answers == y_test).mean())))
        print(f"epoch {epoch + 1}  loss {value:.3f}  {seconds:.1f} s  test accuracy {curve[-1][1]:.2%}")
    save_picture(picture, x_test[::200] / 255, columns=10, right=answers[::200] == y_test[::200])
    return curve[-1][1]


if __name__ == "__main__":
    main(**options(epochs=5))
