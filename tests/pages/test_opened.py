# SPDX-License-Identifier: Apache-2.0
"""Models from files of every kind, with what they take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, models, nn
from cnncore.cli import model_file
from cnncore.cli.networks import build
from cnncore.pages.opened import as_probabilities, open_model

X = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()


def test_of_cc_save(tmp_path: Path) -> None:
    model = net()
    prepare = data.ImagePreprocessing(size=(8, 8), mean=[0.5], std=[0.25])
    history = json.dumps({"loss": [1.0, 0.5]})
    path = str(tmp_path / "m.safetensors")
    cc.save(model, path, {"history": history}, classes=["cat", "dog"], preprocessing=prepare)
    opened = open_model(path)
    assert (opened.name, opened.classes, opened.image) == ("m.safetensors", ("cat", "dog"), (1, 8, 8))
    assert opened.history == {"loss": [1.0, 0.5]}
    np.testing.assert_array_equal(opened.outputs(X), model(X))
    np.testing.assert_allclose(opened.shown(opened.prepare(X)), X, atol=1e-6)
    assert opened.prepare(np.zeros((3, 20, 30), np.uint8)).shape == (1, 8, 8)
    assert open_model(path, (2, 1, 8, 8)).image == (1, 8, 8)
    with pytest.raises(ValueError, match=r"takes images of \(1, 8, 8\), got --input 1,3,8,8"):
        open_model(path, (1, 3, 8, 8))


def test_of_the_command_line(tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    about = model_file.Description(
        "digits_cnn", tuple("0123456789"), (1, 8, 8), (0.3,), (0.4,), "digits", 0.9
    )
    model_file.save(path, build("digits_cnn", 10, 1), about)
    opened = open_model(path)
    assert (opened.dataset, len(opened.classes), opened.mean) == ("digits", 10, (0.3,))


def test_of_published_weights(tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    model = models.get("resnet20")
    cc.save(model, path, preprocessing=models.preprocessing("resnet50", "V1"))
    assert open_model(path).image == (3, 224, 224)


def test_without_a_preprocessing_the_size_is_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    cc.save(net(), path)
    with pytest.raises(ValueError, match="say it with --input 1,3,32,32"):
        open_model(path)
    opened = open_model(path, (1, 1, 8, 8))
    assert (opened.image, opened.classes) == ((1, 8, 8), ("0", "1"))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        open_model(path, (1, 2, 8, 8))


def test_of_onnx_with_a_fixed_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model, path = net(), str(tmp_path / "m.onnx")
    cc.onnx.export(model, path, (2, 1, 8, 8))
    opened = open_model(path)
    assert (opened.batch, opened.fixed, opened.image) == (2, True, (1, 8, 8))
    np.testing.assert_allclose(opened.outputs(X), model(X), rtol=1e-5, atol=1e-6)


def test_outputs_that_are_no_classes(tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    cc.save(nn.Sequential(nn.Conv2d(1, 4, 3)), path, classes=["a"])
    assert open_model(path, (1, 1, 8, 8)).classes == ()
    cc.save(net(), path, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="names of 2 classes, as the model has, got 3"):
        open_model(path, (1, 1, 8, 8))


@pytest.mark.parametrize("text", ["{", "[1]", '{"loss": 1}', '{"loss": ["a"]}'])
def test_a_history_that_is_none(tmp_path: Path, text: str) -> None:
    path = str(tmp_path / "m.safetensors")
    cc.save(net(), path, {"history": text}, preprocessing={"size": (8, 8)})
    assert dict(open_model(path).history) == {}


def test_probabilities_are_left_and_logits_become_such() -> None:
    given = np.array([[0.2, 0.8], [1.0, 0.0]])
    np.testing.assert_array_equal(as_probabilities(given), given)
    found: Any = as_probabilities(np.array([[1000.0, 1000.0 + np.log(3.0)]]))
    np.testing.assert_allclose(found, [[0.25, 0.75]])
