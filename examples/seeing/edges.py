# SPDX-License-Identifier: Apache-2.0
"""Edges by filters that are set by hand (Sobel's), then by filters that are learned from examples of them.

A convolution is a sum of products of neighbourhoods with a filter: which filter it is, decides what it sees.
A network is not told; it finds the filter that explains the examples.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim

SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], np.float32)
"""Differences from left to right, averaged over three rows; turned, those from top to bottom."""


def shapes(count: int, seed: int) -> Any:
    """Return images (count, 1, 24, 24) of a bright rectangle and a disc on a dark ground, with noise."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:24, :24]
    images = np.zeros((count, 1, 24, 24), np.float32)
    for image in images[:, 0]:
        top, left, high, wide = rng.integers((2, 2, 5, 5), (12, 12, 10, 10))
        image[top : top + high, left : left + wide] = rng.uniform(0.5, 1.0)
        middle, radius = rng.integers(6, 18, 2), rng.integers(3, 6)
        image[(down - middle[0]) ** 2 + (right - middle[1]) ** 2 < radius**2] = rng.uniform(0.5, 1.0)
    return images + rng.normal(0, 0.02, images.shape).astype(np.float32)


def by_hand(images: Any) -> Any:
    """Return the strength of edges from left to right and from top to bottom, (count, 2, 22, 22)."""
    return ops.conv2d(images, np.stack([SOBEL, SOBEL.T])[:, None])


def picture(image: Any) -> str:
    """Return an image as text: the darker, the larger its absolute values."""
    shares = np.abs(image) / np.abs(image).max()
    return "\n".join("".join(" .:-=+*#%@"[int(9 * share)] * 2 for share in row) for row in shares)


def main(quick: bool = False) -> float:
    """Return how far the learned filters are from Sobel's, as a share of their size."""
    cc.manual_seed(0)
    images = shapes(64 if quick else 256, seed=0)
    edges = by_hand(images)
    print(picture(images[0, 0]), "\n")
    print(picture(np.hypot(*edges[0])), "\n")

    model = nn.Conv2d(1, 2, 3, bias=False)
    step = cc.train_step(lambda x, y: ops.mse_loss(model(x), y), optim.Adam(model.parameters(), lr=0.05))
    before = np.array(model.weight)
    for number in range(200 if quick else 400):
        loss = step(images, edges)
        if number % 50 == 0:
            print(f"step {number}  loss {loss:.6f}")
    learned = np.asarray(model.weight)[:, 0]
    for name, filters in (("at first", before[:, 0]), ("learned", learned)):
        print(name)
        for rows in zip(*filters.round(2), strict=True):
            print("   ".join(" ".join(f"{value:5.2f}" for value in row) for row in rows))
    wanted = np.stack([SOBEL, SOBEL.T])
    share = float(np.abs(learned - wanted).max() / np.abs(wanted).max())
    print(f"the learned filters differ from Sobel's by at most {share:.2%}")
    return share


if __name__ == "__main__":
    main("--quick" in sys.argv)
