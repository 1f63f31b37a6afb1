# SPDX-License-Identifier: Apache-2.0
"""`cnncore predict` on files, folders, lists and standard input."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.cli import main
from cnncore.cli.predict import _folder_name

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`m` tells dark images from light ones, the surer the more so."""
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(1, 2))
    model[2].weight.assign(np.array([[-4.0], [4.0]], np.float32))
    model[2].bias.assign(np.array([2.0, -2.0], np.float32))
    prepare = {"size": (4, 4), "mean": [0.0], "std": [1.0]}
    cc.save(model, "m.safetensors", classes=["dark", "../light"], preprocessing=prepare)
    for name, value in (("a/1", 0), ("a/b/1", 250), ("a/2", 120), ("c", 60)):
        path = Path(f"{name}.pgm")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 4 4 255\n" + bytes([value]) * 16)
    Path("a/.hidden.pgm").write_bytes(b"")
    Path("a/notes.txt").write_text("none")


def predict(capsys: Capture, *arguments: str, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert main(["predict", "m.safetensors", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_folders_are_gone_through(capsys: Capture) -> None:
    lines = predict(capsys, "a", "c.pgm")
    assert [line.split(": ")[0] for line in lines] == ["a/1.pgm", "a/2.pgm", "a/b/1.pgm", "c.pgm"]
    assert lines[0] == f"a/1.pgm: dark {1 / (1 + np.exp(-4)):.2%}"


def test_the_least_certain_first(capsys: Capture) -> None:
    lines = predict(capsys, "--lowest-first", "a", "c.pgm")
    assert [line.split(": ")[0] for line in lines] == ["a/2.pgm", "c.pgm", "a/b/1.pgm", "a/1.pgm"]


@pytest.mark.parametrize("content", [b"c.pgm\na\n", b"c.pgm\r\na", b"c.pgm\0a\0"])
def test_names_on_standard_input(content: bytes, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, content)
    assert [line.split(": ")[0] for line in predict(capsys, "-")] == [
        "c.pgm",
        "a/1.pgm",
        "a/2.pgm",
        "a/b/1.pgm",
    ]


def test_an_image_on_standard_input(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, Path("c.pgm").read_bytes())
    from_stdin = predict(capsys, "-", "--copy-to", "out")
    assert from_stdin == [line.replace("c.pgm", "-") for line in predict(capsys, "c.pgm")]
    assert Path("out/dark/stdin").read_bytes() == Path("c.pgm").read_bytes()
    stdin(monkeypatch, b"")
    assert main(["predict", "m.safetensors", "-"]) == 1
    assert "expected the names of images on standard input, got none" in capsys.readouterr().err


def test_a_file_whose_name_begins_as_an_image_does(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("BMW.pgm").write_bytes(Path("c.pgm").read_bytes())
    stdin(monkeypatch, b"BMW.pgm\n")
    assert [line.split(": ")[0] for line in predict(capsys, "-")] == ["BMW.pgm"]


def test_tables(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = predict(capsys, "c.pgm", "--top", "2", "--csv")
    assert lines[0] == "file,class,probability,class_2,probability_2"
    assert lines[1].split(",")[::2][1:] == [line.split(",")[i] for line in lines[1:] for i in (2, 4)]
    assert sum(float(value) for value in lines[1].split(",")[2::2]) == pytest.approx(1)
    assert predict(capsys, "c.pgm", "--csv", "t.csv") == predict(capsys, "c.pgm")
    assert Path("t.csv").read_text().splitlines()[1].startswith("c.pgm,dark,0.")
    with pytest.raises(SystemExit):
        main(["predict", "m.safetensors", "--csv", "c.pgm", "a"])
    assert "expected a name that ends in .csv, got 'c.pgm'; put --csv last" in capsys.readouterr().err
    assert Path("c.pgm").stat().st_size == 27
    assert main(["predict", "m.safetensors", "a", "--json", "--csv"]) == 2


def test_copies_replace_nothing_and_lead_nowhere_else(capsys: Capture) -> None:
    for _ in range(2):
        predict(capsys, "a", "c.pgm", "--copy-to", "out/sorted")
    assert sorted(os.listdir("out/sorted")) == [".._light", "dark"]
    names = ["1-2.pgm", "1.pgm", "2-2.pgm", "2.pgm", "c-2.pgm", "c.pgm"]
    assert sorted(os.listdir("out/sorted/dark")) == names
    assert Path("out/sorted/.._light/1.pgm").read_bytes() == Path("a/b/1.pgm").read_bytes()
    assert [_folder_name(name) for name in ("..", "", "/etc", "C:\\x", ".")] == [
        "_",
        "_",
        "_etc",
        "C__x",
        "_",
    ]


def test_bad_files_are_told_and_the_rest_is_done(capsys: Capture) -> None:
    Path("a/3.pgm").write_bytes(b"P5 4 4 255\n12")
    Path("a/4.pgm").symlink_to("nowhere")
    assert main(["predict", "m.safetensors", "a", "absent", "c.pgm", "--json"]) == 1
    out, err = capsys.readouterr()
    files = [json.loads(line)["file"] for line in out.splitlines()]
    assert files == ["a/1.pgm", "a/2.pgm", "a/b/1.pgm", "c.pgm"]
    assert err.splitlines() == [
        "cnncore: error: absent: no such file or folder",
        "cnncore: error: a/3.pgm: expected 16 bytes of pixels, got 2",
        "cnncore: error: a/4.pgm: No such file or directory",
        "cnncore: error: 3 of 7 files could not be classified",
    ]
    assert predict(capsys, "absent", code=1) == []


def test_more_images_than_a_batch(capsys: Capture) -> None:
    one = predict(capsys, "c.pgm")
    assert predict(capsys, *["c.pgm"] * 70) == one * 70


def test_names_that_are_no_text(capsys: Capture) -> None:
    name = os.fsdecode(b"\xff.pgm")
    try:
        Path(name).write_bytes(Path("c.pgm").read_bytes())
    except OSError:
        pytest.skip("names are texts in this file system")
    predict(capsys, name, "--csv", "t.csv", "--copy-to", "out", "--json")
    assert Path("t.csv").read_bytes().splitlines()[1].startswith(b"\xff.pgm,dark")
    assert os.listdir(b"out/dark") == [b"\xff.pgm"]
