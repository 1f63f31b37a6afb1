# SPDX-License-Identifier: Apache-2.0
"""Land cover of a multispectral scene: trained on small pieces, predicted by tiles, bit for bit as a whole.

The scene is made: water, forest, fields and towns with the reflectance of five bands, under haze and noise.

    python examples/satellite_tiles.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim

CLASSES = ("water", "forest", "field", "town")
# Reflectance in blue, green, red, near and short-wave infrared.
SPECTRA = np.array(
    [[0.08, 0.06, 0.04, 0.02, 0.01], [0.03, 0.06, 0.04, 0.40, 0.16], [0.07, 0.11, 0.12, 0.30, 0.28],
     [0.16, 0.18, 0.20, 0.26, 0.30]], np.float32,
)  # fmt: skip


def smooth(rng: np.random.Generator, size: int, grain: int) -> np.ndarray:
    """Return random hills of about `grain` pixels."""
    coarse = rng.normal(size=(1, 1, size // grain + 2, size // grain + 2)).astype(np.float32)
    return ops.interpolate(coarse, size=(size, size), mode="bicubic")[0, 0]


def scene(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bands (1, 5, size, size) and classes (size, size)."""
    rng = np.random.default_rng(seed)
    heights = np.stack([smooth(rng, size, 24) + 0.3 * smooth(rng, size, 6) for _ in CLASSES])
    labels = heights.argmax(0)
    bands = SPECTRA[labels].transpose(2, 0, 1)
    bands = bands * (1 + 0.2 * smooth(rng, size, 12)) + 0.05 * np.abs(smooth(rng, size, 60))
    bands += 0.06 * rng.normal(size=bands.shape)
    return bands[None].astype(np.float32) * 4 - 0.6, labels


class Segmenter(nn.Module):
    """Two scales and a skip."""

    def __init__(self, bands: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.fine = self.block(bands, width)
        blocks = [self.block(width, 2 * width), self.block(2 * width, 2 * width)]
        self.coarse = nn.Sequential(nn.MaxPool2d(2), *blocks)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Sequential(self.block(3 * width, width), nn.Conv2d(width, classes, 1))

    def block(self, before: int, after: int) -> nn.Module:
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

    def forward(self, x):
        fine = self.fine(x)
        return self.head(ops.concat([fine, self.up(self.coarse(fine))], 1))


def pieces(bands: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a scene into squares."""
    starts = [(i, j) for i in range(0, len(labels), size) for j in range(0, len(labels), size)]
    x = np.stack([bands[0, :, i : i + size, j : j + size] for i, j in starts])
    return x, np.stack([labels[i : i + size, j : j + size] for i, j in starts])


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, for a test")
    quick = parser.parse_args().quick
    size, tile, epochs = (192, 96, 3) if quick else (1024, 256, 6)

    cc.set_accuracy("exact")  # sums in one order: the bits do not depend on where a pixel lies
    x, y = pieces(*scene(256 if quick else 512, 0), 64)
    model = Segmenter(5, len(CLASSES))
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-3))
    trainer.fit(data.Dataset(x, y), epochs=epochs, batch_size=4, verbose=0)

    bands, labels = scene(size, 1)
    tiles = cc.tiled(cc.compile(model, (1, 5, tile, tile)))
    found = tiles(bands)
    by_pixel = np.abs(bands[0, :, None] - (SPECTRA.T[:, :, None, None] * 4 - 0.6)).sum(0).argmin(0)
    whole = cc.compile(model, bands.shape)
    same = bool((found == whole(bands)).all())
    figures = {
        "accuracy": float((found[0].argmax(0) == labels).mean()),
        "accuracy of the nearest spectrum": float((by_pixel == labels).mean()),
        "same bits as the whole image": float(same),
        "MB for tiles": tiles.memory((size, size)).total / 1e6,
        "MB for the whole image": whole.memory.total / 1e6,
    }
    print(f"scene {size} x {size}, tiles of {tile} that overlap by {tiles.halo[0]} pixels")
    for name, value in figures.items():
        print(f"{name:34} {value:.4g}")
    cc.set_accuracy("fast")
    return figures


if __name__ == "__main__":
    main()
