# SPDX-License-Identifier: Apache-2.0
"""Training step by step against torch: same start, same batches, same losses and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim

ROWS, STEPS = 16, 5


def layers(nn: Any) -> dict[str, Any]:
    """The same networks from either library's layers."""
    return {
        "convolutions": nn.Sequential(
            nn.Conv2d(3, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, stride=2, groups=2),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(72, 20),
            nn.Tanh(),
            nn.Linear(20, 10),
        ),
        "batch norm": nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 1),
            nn.AvgPool2d(2),
            nn.BatchNorm2d(12, momentum=0.3),
            nn.Sigmoid(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 10),
        ),
    }


@pytest.mark.parametrize("name", ["convolutions", "batch norm"])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_losses_and_weights_follow_torch(name: str, accuracy: str) -> None:
    torch = pytest.importorskip("torch")
    cc.set_accuracy(accuracy)
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS, ROWS, 3, 16, 16)).astype(np.float32)
    y = rng.integers(0, 10, (STEPS, ROWS))
    ours, theirs = layers(nn)[name], layers(torch.nn)[name]
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
    theirs = theirs.double()
    optimizer = optim.SGD(ours.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    reference = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    loss_layer = nn.CrossEntropyLoss()
    step = cc.train_step(lambda x, y: loss_layer(ours(x), y), optimizer)
    for number in range(STEPS):
        expected = torch.nn.functional.cross_entropy(
            theirs(torch.from_numpy(x[number]).double()), torch.from_numpy(y[number])
        )
        reference.zero_grad()
        expected.backward()
        reference.step()
        assert step(x[number], y[number]) == pytest.approx(float(expected.detach()), rel=1e-5)
    cc.set_accuracy("fast")
    for key, tensor in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], tensor.numpy(), rtol=1e-3, atol=2e-5, err_msg=key)
