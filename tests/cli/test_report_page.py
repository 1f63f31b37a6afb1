# SPDX-License-Identifier: Apache-2.0
"""`cnncore report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.cli import main, model_file
from cnncore.cli.networks import build


@pytest.fixture
def digits(tmp_path: Path) -> str:
    path = str(tmp_path / "m.safetensors")
    about = model_file.Description(
        "digits_cnn", tuple("0123456789"), (1, 8, 8), (0.3,), (0.4,), "digits", 0.9
    )
    model_file.save(path, build("digits_cnn", 10, 1), about)
    return path


def test_digits_without_saying_so(digits: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n1,2.0,2.5\n2,1.0,\n")
    output = tmp_path / "r.html"
    assert main(["report", digits, "-o", str(output), "--images", "60", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    page = output.read_text()
    assert result["file"] == str(output)
    assert 0 <= result["accuracy"] <= 1
    assert result["parameters"] == 58474
    assert "of 60 images are right" in page
    assert "loss over the epochs" in page


def test_the_curves_of_a_training_are_in_its_model(tmp_path: Path, capsys: Any) -> None:
    path, output = str(tmp_path / "m.safetensors"), tmp_path / "r.html"
    assert main(["train", "digits", "--epochs", "2", "--out", path, "--quiet"]) == 0
    again = str(tmp_path / "again.safetensors")
    assert main(["train", "digits", "--epochs", "2", "--out", again, "--quiet"]) == 0
    assert Path(path).read_bytes() == Path(again).read_bytes()
    assert main(["report", path, "-o", str(output), "--images", "20"]) == 0
    page = output.read_text()
    assert "loss over the epochs" in page
    assert "accuracy over the epochs" in page
    capsys.readouterr()


def folder(root: Path, classes: list[str]) -> str:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(5):
            image = np.random.default_rng(number).integers(0, 256, (10, 12), np.uint8)
            (root / name / f"{number}.pgm").write_bytes(b"P5 12 10 255\n" + image.tobytes())
    return str(root)


def test_folders_go_by_the_names_of_classes(tmp_path: Path, capsys: Any) -> None:
    """The folder lacks a class of the model, so that its numbers are others."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    model[1].weight.assign(np.zeros((3, 64)))
    model[1].bias.assign([0.0, 0.0, 5.0])  # always the third class
    path = str(tmp_path / "m.safetensors")
    cc.save(model, path, classes=["ant", "bee", "cow"], preprocessing={"size": (8, 8)})
    photos = folder(tmp_path / "photos", ["bee", "cow"])
    assert main(["report", path, photos, "-o", str(tmp_path / "r.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5
    strange = folder(tmp_path / "strange", ["bee", "dog"])
    assert main(["report", path, strange, "-o", str(tmp_path / "n.html")]) == 1
    assert "the model's classes ant, bee, cow; " in capsys.readouterr().err
    assert not (tmp_path / "n.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.safetensors"], "nowhere.safetensors"),
        (["MODEL", "nothing"], "expected digits, mnist, cifar10 or a folder"),
        (["MODEL", "mnist"], "say which with --data DIR"),
        (["MODEL", "--history", "HISTORY"], "expected a table of numbers"),
        (["MODEL", "--history", "/dev/zero"], "/dev/zero: expected a regular file"),
        (["MODEL", "--history", "EMPTY"], "an epoch a row, got no rows"),
        (
            ["MODEL", "--input", "1,1,4,4"],
            "says that the model takes images of (1, 8, 8), got --input 1,1,4,4",
        ),
        (["MODEL", "-o", "nowhere/r.html"], "nowhere"),
    ],
)
def test_what_is_wrong_is_said(
    digits: str, tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    history = tmp_path / "h.csv"
    history.write_text("loss\nmuch\n")
    (tmp_path / "empty.csv").touch()
    names = {"MODEL": digits, "HISTORY": str(history), "EMPTY": str(tmp_path / "empty.csv")}
    given = [names.get(argument, argument) for argument in arguments]
    if "-o" not in given:
        given += ["-o", str(tmp_path / "r.html")]
    assert main(["report", *given]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
