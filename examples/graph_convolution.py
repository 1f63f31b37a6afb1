# SPDX-License-Identifier: Apache-2.0
"""Graph convolution: on a grid it is a convolution with equal weights around, on any graph it needs no
grid.

A graph convolutional network (Kipf and Welling, 2017) tells which community each node of a random graph
belongs to, knowing noisy features of all nodes and the communities of a few; a network that does not see
the edges does worse. First, on a grid, it equals `conv2d` with the kernel of the neighbours, which says
what it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from ported.example_data import quick_option

COMMUNITIES, FEATURES = 4, 16


def normalised(edges: Any) -> Any:
    """D^-1/2 (A + I) D^-1/2 of an adjacency matrix."""
    linked = edges + np.eye(len(edges), dtype=np.float32)
    scale = 1 / np.sqrt(linked.sum(1))
    return (scale[:, None] * linked * scale).astype(np.float32)


class GraphConvolution(nn.Module):
    """Sums over neighbours of (nodes, features), then a linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Any, links: Any) -> Any:
        return ops.matmul(links, self.linear(x))


class Network(nn.Module):
    """(nodes, features) and links (nodes, nodes) -> (nodes, communities)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(FEATURES, 32), GraphConvolution(32, COMMUNITIES)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Any, links: Any) -> Any:
        return self.second(self.dropout(ops.relu(self.first(x, links))), links)


def grid_equals_convolution(size: int = 8) -> float:
    """The largest difference of sums over a torus' neighbours from a circular convolution."""
    place = np.arange(size * size).reshape(size, size)
    links = np.eye(size * size, dtype=np.float32)
    for axis in (0, 1):
        for shift in (-1, 1):
            links[place.ravel(), np.roll(place, shift, axis).ravel()] = 1
    x = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype(np.float32)
    kernel = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32)[None, None]
    wrapped = ops.pad(x, (1, 1, 1, 1), mode="circular")
    return float(abs(ops.conv2d(wrapped, kernel).ravel() - links @ x.ravel()).max())


def learn(links: Any, x: Any, y: Any, known: Any, steps: int) -> float:
    """Return the accuracy on the nodes whose community is not told."""
    cc.manual_seed(0)
    model = Network()
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    told = np.where(known, y, -100)
    step = cc.train_step(
        lambda x, links, y: ops.cross_entropy(model(x, links), y, ignore_index=-100), optimizer
    )
    for _ in range(steps):
        step(x, links, told)
    found = model.eval()(x, links).argmax(1)
    return float((found == y)[~known].mean())


def main(quick: bool = False) -> float:
    """Return the accuracy of the network that sees the edges."""
    rng = np.random.default_rng(0)
    print(f"on a grid it differs from conv2d by {grid_equals_convolution():.1e}")
    nodes = 80 if quick else 600
    y = rng.integers(0, COMMUNITIES, nodes)
    likely = np.where(y[:, None] == y, 0.05, 0.008)
    upper = np.triu(rng.random((nodes, nodes)) < likely, 1)
    edges = (upper | upper.T).astype(np.float32)
    means = rng.normal(0, 0.5, (COMMUNITIES, FEATURES))
    x = (means[y] + rng.normal(0, 1, (nodes, FEATURES))).astype(np.float32)
    known = rng.random(nodes) < 0.1
    steps = 10 if quick else 200
    accuracy = learn(normalised(edges), x, y, known, steps)
    alone = learn(np.eye(nodes, dtype=np.float32), x, y, known, steps)
    print(f"{known.sum()} of {nodes} nodes told; others: {accuracy:.1%} right, without edges {alone:.1%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
