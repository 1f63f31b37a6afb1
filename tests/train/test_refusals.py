# SPDX-License-Identifier: Apache-2.0
"""What is no setting of training, of a callback or a metric is refused by its name."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim, train
from cnncore.train import metrics

X, Y = np.ones((8, 4), np.float32), np.arange(8) % 2


class Nonsense:
    """What no argument may be."""


WRONG: list[Any] = [Nonsense(), np.ones((2, 3)), np.array([]), 2**70 + 0.5j]


def trainer(**settings: Any) -> cc.Trainer:
    model = nn.Sequential(nn.Linear(4, 2))
    return cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1), **settings)


@pytest.mark.parametrize("wrong", [*WRONG, "text", 2**70, math.nan])
@pytest.mark.parametrize(
    "name", ["epochs", "steps_per_epoch", "initial_epoch", "verbose", "validation_split"]
)
def test_fit(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        trainer().fit((X, Y), **{"epochs": 1, "verbose": 0, name: wrong})


def test_an_update_comes_some_day() -> None:
    with pytest.raises(ValueError, match=r"accumulate of at most 2147483647, got 1180591620717411303424"):
        trainer(accumulate=2**70)


@pytest.mark.parametrize("wrong", [*WRONG, "text", math.nan])
@pytest.mark.parametrize(
    "name",
    ["schedule_by", "accumulate", "ema", "max_memory", "clip_grad_norm", "clip_grad_value", "scheduler"],
)
def test_trainers(name: str, wrong: Any) -> None:
    if name == "scheduler" and isinstance(wrong, np.ndarray) and not wrong.size:
        return
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        trainer(**{name: wrong}).fit((X, Y), epochs=1, verbose=0)


@pytest.mark.parametrize("wrong", [*WRONG, "text", 0, 0.5])
def test_rows_of_batches(wrong: Any) -> None:
    for call in (trainer().predict, trainer().model.predict):
        with pytest.raises((TypeError, ValueError), match=r"\bbatch_size\b"):
            call(X, batch_size=wrong)


NEEDED: dict[Any, dict[str, Any]] = {
    train.CSVLogger: {"path": "log.csv"},
    train.EarlyStopping: {},
    train.ModelCheckpoint: {"path": "m.safetensors"},
    train.ReduceLROnPlateau: {},
    train.TensorBoard: {},
    train.TerminateOnNaN: {},
    metrics.AUC: {},
    metrics.Accuracy: {},
    metrics.ConfusionMatrix: {},
    metrics.Dice: {},
    metrics.F1: {},
    metrics.MeanIoU: {},
    metrics.Precision: {},
    metrics.Recall: {},
    metrics.TopKAccuracy: {},
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in NEEDED for name in inspect.signature(kind).parameters]
)
def test_callbacks_and_metrics(kind: Any, name: str) -> None:
    default = inspect.signature(kind).parameters[name].default
    wrong = [value for value in WRONG if not (name == "monitor" and np.size(value) == 0)]
    wrong += [math.nan] * (isinstance(default, float) and name != "zero_division")
    wrong += ["perhaps"] * isinstance(default, (bool, float, int)) + [-1] * (name in ("patience", "k"))
    for value in wrong:
        expected = "path" if name == "folder" else name
        with pytest.raises((TypeError, ValueError), match=rf"\b{expected}\b"):
            kind(**{**NEEDED[kind], name: value})


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"epoch,loss\nx,1\n"])
def test_a_log_goes_on_with_a_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"log.csv: append=True needs rows of a CSVLogger"):
        trainer().fit((X, Y), epochs=1, verbose=0, callbacks=[train.CSVLogger(path, append=True)])
    assert path.read_bytes() == content


@pytest.mark.parametrize("wrong", [5, "ab", [1], None])
def test_boxes_are_lists_of_dicts(wrong: Any) -> None:
    found = [{"boxes": np.ones((1, 4)), "scores": [1.0], "labels": [1]}]
    for pair in ((wrong, found), (found, wrong)):
        with pytest.raises(TypeError, match=r"map: expected (outputs|targets) as a list"):
            metrics.mean_average_precision(*pair)


@pytest.mark.parametrize("wrong", [5, None, 0.5])
def test_texts_are_sequences(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected texts as a list"):
        metrics.word_error_rate(wrong, ["a"])
    with pytest.raises(TypeError, match="expected a text or a sequence"):
        metrics.edit_distance("a", wrong)
