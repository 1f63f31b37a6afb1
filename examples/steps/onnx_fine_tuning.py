# SPDX-License-Identifier: Apache-2.0
"""An ONNX file is loaded, trained on, written again and run in onnxruntime, where that is installed.

The file comes from a network that has learnt upright digits; what it shall learn from a few are digits that
lie on their side. With a path as argument that file is loaded instead: it has to take (batch, 1, 8, 8) and
give 10 classes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import cnncore as cc
import cnncore.onnx
from cnncore import data, nn, optim

FEW = 200
"""Images of lying digits that there are to train on."""


def file_from_elsewhere(path: Path, x: Any, y: Any, epochs: int) -> None:
    """Write a trained network as an ONNX file."""
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.SiLU(),
        nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.SiLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    train(model, optim.Adam(model.parameters(), lr=2e-3), x, y, epochs)
    cnncore.onnx.export(model, path, (1, 1, 8, 8), dynamic_batch=True, input_names=["image"])


def train(model: nn.Module, optimizer: Any, x: Any, y: Any, epochs: int) -> None:
    loss = nn.CrossEntropyLoss()
    model.train()
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer)
    for epoch in range(epochs):
        for batch in data.DataLoader((x, y), batch_size=50, shuffle=True, seed=epoch):
            step(*batch)
    model.eval()


def in_onnxruntime(path: Path, x: Any) -> Any:
    """Return what onnxruntime computes, or None where it is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def main(quick: bool = False, source: str | None = None) -> tuple[float, float, float]:
    """Return the accuracies on lying digits: as loaded, trained on, and of the written file elsewhere."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = data.digits()
    lying, lying_test = (np.ascontiguousarray(np.rot90(images, axes=(2, 3))) for images in (x, x_test))

    def accuracy(scores: Any) -> float:
        return float((scores.argmax(1) == y_test).mean())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upright.onnx"
        if source is None:
            file_from_elsewhere(path, x, y, 2 if quick else 10)
        model = cnncore.onnx.load(source or path)
        before = accuracy(model(lying_test))
        print(f"{model}: {before:.2%} of the lying digits are read")
        train(model, optim.Adam(model.parameters(), lr=1e-3), lying[:FEW], y[:FEW], 20 if quick else 60)
        after = accuracy(model(lying_test))
        print(f"trained on {FEW} of them: {after:.2%}")
        path = Path(folder) / "lying.onnx"
        cnncore.onnx.export(model, path, (1, 1, 8, 8), dynamic_batch=True)
        scores = in_onnxruntime(path, lying_test)
        if scores is None:
            scores = cnncore.onnx.load(path)(lying_test)
            print("onnxruntime is not installed; the file loaded again:", end=" ")
        else:
            difference = np.abs(scores - model(lying_test)).max() / np.abs(scores).max()
            print(f"in onnxruntime, scores to {difference:.1e} of the largest:", end=" ")
        elsewhere = accuracy(scores)
        print(f"{elsewhere:.2%}")
    return before, after, elsewhere


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--quick"]
    main("--quick" in sys.argv, paths[0] if paths else None)
