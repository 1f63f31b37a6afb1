# SPDX-License-Identifier: Apache-2.0
"""Networks of published packages give what onnxruntime gave for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")

import cnncore as cc
import cnncore.onnx
from cnncore import ops, optim

pytestmark = pytest.mark.data

NETWORKS = (
    "basic-pitch-nmp",
    "brainmaze-seizure-modelA",
    "captcha-crnn",
    "magika-v3_3",
    "rapidocr-cls",
    "rapidocr-det",
    "rapidocr-rec",
)

LABELS = {"captcha-crnn", "magika-v3_3", "rapidocr-cls", "rapidocr-rec"}
"""Those whose outputs are scores of letters or classes."""


def _examples(folder: Path, file: str) -> tuple[list[Any], list[Any]]:
    arrays = np.load(folder / file)
    inputs = [arrays[f"in{i}"] for i in range(len(arrays["in_names"]))]
    return inputs, [arrays[f"out{i}"] for i in range(len(arrays["out_names"]))]


@pytest.fixture(params=NETWORKS)
def folder(request: pytest.FixtureRequest, data_root: Path) -> Path:
    path = data_root / "onnx" / request.param
    if not path.is_dir():
        pytest.skip(f"no onnx/{request.param} in the folder with the data sets")
    return path


def test_outputs_are_those_of_onnxruntime(folder: Path) -> None:
    model = cnncore.onnx.load(folder / "model.onnx")
    # The shorter sequences: a recurrence is one program of all its steps.
    for file in ("io_alt.npz",) if "seizure" in folder.name else ("io.npz", "io_alt.npz"):
        inputs, wanted = _examples(folder, file)
        found = model(*inputs)
        for got, want in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
            assert got.shape == want.shape
            assert got.dtype == want.dtype
            assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()
            if folder.name in LABELS:
                np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))


def test_one_step_of_training_lowers_the_loss(folder: Path) -> None:
    model = cnncore.onnx.load(folder / "model.onnx")
    inputs, wanted = _examples(folder, "io_alt.npz")

    def loss(*arrays: Any) -> Any:
        found = model(*arrays)
        return ops.mse_loss(found[0] if isinstance(found, tuple) else found, wanted[0] * np.float32(0.9))

    first, grads = cc.value_and_grad(loss, model.parameters())(*inputs)
    slope = sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads)
    start = model.state_dict()
    falls = []
    # Larger steps meet the curvature, smaller ones the loss's rounding: between them it falls as it should.
    for share in (1e-2, 1e-3, 1e-4, 1e-5):
        model.load_state_dict(start)
        step = cc.train_step(loss, optim.SGD(model.parameters(), share * float(first) / slope))
        assert float(step(*inputs)) == float(first)
        falls.append((1 - float(step(*inputs)) / float(first)) / share)
    assert min(abs(fall - 1) for fall in falls) < 0.1, falls
