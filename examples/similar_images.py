# SPDX-License-Identifier: Apache-2.0
"""Search for similar images by a network's embeddings.

Handwritten digits stand anywhere in a larger picture. A network learns to read them; what its last layer is
given serves as a picture's embedding, and pictures whose embeddings point the same way are similar.

    python examples/similar_images.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim

WANTED, SIZE = 10, 16


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def placed(images: np.ndarray, seed: int) -> np.ndarray:
    """Return pictures with the images, (rows, 1, 8, 8), at random places."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((len(images), 1, SIZE, SIZE), np.float32)
    for picture, image, (i, j) in zip(
        pictures, images, rng.integers(0, SIZE - 7, (len(images), 2)), strict=True
    ):
        picture[:, i : i + 8, j : j + 8] = image
    return pictures


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Return the numbers of the ten most similar rows of each row, by the cosine."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -2)
    return np.argsort(-similar, axis=1, kind="stable")[:, :WANTED]


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs, for a test")
    quick = parser.parse_args().quick
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = data.digits()
    model = network()
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-3))
    for epoch in range(4 if quick else 20):
        trainer.fit(placed(x, epoch), y, epochs=1, batch_size=32, verbose=0)

    pictures = placed(x_test, 1000)
    embed = cc.compile(model, pictures.shape, outputs=["11"])  # what the last layer is given
    found = {
        "pixels": nearest(pictures.reshape(len(pictures), -1)),
        "embeddings": nearest(embed(pictures)["11"]),
    }
    figures = {name: float((y_test[rows] == y_test[:, None]).mean()) for name, rows in found.items()}
    for name, share in figures.items():
        print(f"{name:11} {share:.1%} of the {WANTED} most similar pictures show the same digit")
    print(f"most like picture 0, a {y_test[0]}: digits {y_test[found['embeddings'][0]].tolist()}")
    return figures


if __name__ == "__main__":
    main()
