# SPDX-License-Identifier: Apache-2.0
"""MNIST with the network of PyTorch's basic example, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from recipes import Recipe, Sets


def network() -> nn.Module:
    """The network of `cnncore.models.mnist_cnn`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


def train(sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train; yield a function that gives the test accuracy after each epoch."""
    torch.manual_seed(0)
    yield from train_model(network(), sets, recipe)


def train_model(model: nn.Module, sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train any model with AdamW."""
    model = model.to(memory_format=torch.channels_last)
    x_all, y_all, x_test, y_test = (torch.from_numpy(array) for array in sets)
    steps = recipe.steps(len(y_all))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, steps_per_epoch=steps
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for _ in range(recipe.epochs):
        model.train()
        order = torch.randperm(len(y_all))
        for rows in order[: steps * recipe.batch_size].split(recipe.batch_size):
            optimizer.zero_grad()
            x = x_all[rows].contiguous(memory_format=torch.channels_last)
            loss(model(x), y_all[rows]).backward()
            optimizer.step()
            scheduler.step()
        yield lambda: accuracy(model, x_test, y_test)


@torch.inference_mode()
def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of samples whose highest output is their class."""
    model.eval()
    right = [(model(a).argmax(1) == b).sum() for a, b in zip(x.split(500), y.split(500), strict=True)]
    return float(sum(right)) / len(y)
