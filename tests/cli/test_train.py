# SPDX-License-Identifier: Apache-2.0
"""Training, and what can be done with the model it saves."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore.cli import main, model_file

Capture = pytest.CaptureFixture[str]


def result(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """Run a command with `--json`; return what it printed."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def write_pgm(path: Path, image: np.ndarray) -> str:
    path.write_bytes(f"P5 {image.shape[1]} {image.shape[0]} 255\n".encode() + image.tobytes())
    return str(path)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("models") / "digits.safetensors")
    assert main(["train", "digits", "--out", path, "--epochs", "4", "--quiet"]) == 0
    return path


def test_training_prints_accuracy_and_speed(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "model"
    assert main(["train", "digits", "--out", str(path), "--epochs", "1", "--batch-size", "128"]) == 0
    out, err = capsys.readouterr()
    assert "test accuracy" in out
    assert "images/s" in out
    assert out.endswith(f"saved {path}\n")
    assert err.startswith(
        "digits: 1,442 training and 355 test images of 8x8, 10 classes\ndigits_cnn, batch 128"
    )
    assert "epoch 1/1" in err


@pytest.mark.slow
def test_digits_reach_the_promised_accuracy(tmp_path: Path, capsys: Capture) -> None:
    found = result(capsys, "train", "digits", "--out", str(tmp_path / "model"), "--quiet")
    assert found["test_accuracy"] >= 0.985


def test_evaluate_finds_the_accuracy_of_the_training(digits_model: str, capsys: Capture) -> None:
    found = result(capsys, "evaluate", digits_model)
    assert found["accuracy"] == model_file.load(digits_model)[1].test_accuracy >= 0.9
    assert (found["dataset"], found["images"]) == ("digits", 355)
    assert main(["evaluate", digits_model, "digits"]) == 0
    assert "of 355 test images of digits)" in capsys.readouterr().out


def test_predict_reads_image_files(digits_model: str, tmp_path: Path, capsys: Capture) -> None:
    _, (x, y) = cc.data.digits(dtype="uint8")
    files = [write_pgm(tmp_path / f"{i}.pgm", image[0]) for i, image in enumerate(x[:20])]
    np.save(tmp_path / "a.npy", x[0, 0])
    assert main(["predict", digits_model, *files]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.split(":")[0] for line in lines] == files
    right = [line.split()[1] == str(label) for line, label in zip(lines, y, strict=False)]
    assert sum(right) >= 17
    found = result(capsys, "predict", digits_model, str(tmp_path / "a.npy"), "--top", "3")
    assert found["class"] == lines[0].split()[1]
    assert len(found["top"]) == 3
    assert 1 >= found["top"][0]["probability"] >= found["top"][1]["probability"] >= 0


def test_predict_fits_images_and_says_so(digits_model: str, tmp_path: Path, capsys: Capture) -> None:
    _, (x, y) = cc.data.digits(dtype="uint8")
    image = np.repeat(np.repeat(x[0, 0], 4, 0), 4, 1)
    colour = np.stack([image] * 3, axis=-1)
    np.save(tmp_path / "large.npy", colour)
    assert main(["predict", digits_model, *[str(tmp_path / "large.npy")] * 3]) == 0
    out, err = capsys.readouterr()
    assert err.count("colour 32x32 is converted to the network's grey 8x8; so are others") == 1
    assert out.split()[1] == str(y[0])


def test_predict_names_what_it_cannot_read(digits_model: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "broken.pgm"
    path.write_bytes(b"P5 8 8 255\n1234")
    assert main(["predict", digits_model, str(path)]) == 1
    assert f"{path}: expected 64 bytes of pixels, got 4" in capsys.readouterr().err
    assert main(["predict", digits_model, str(tmp_path / "absent.pgm")]) == 1
    assert "absent.pgm: no such file or folder" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["predict", digits_model, str(tmp_path / "none")]) == 1
    assert "none: expected image files, got a folder without any" in capsys.readouterr().err


def test_predict_shows_names_in_any_encoding(digits_model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "\u65e5.npy", cc.data.digits(dtype="uint8")[1][0][0, 0])
    done = subprocess.run(
        [sys.executable, "-m", "cnncore", "predict", digits_model, str(tmp_path / "\u65e5.npy")],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        check=False,
    )
    assert done.returncode == 0
    assert rb"\u65e5.npy: " in done.stdout


def test_summary_of_a_model_file(digits_model: str, capsys: Capture) -> None:
    assert result(capsys, "summary", digits_model)["input"] == [1, 1, 8, 8]


def test_the_same_seed_gives_the_same_model(tmp_path: Path, capsys: Capture) -> None:
    def train(name: str, *options: str) -> dict[str, Any]:
        main(["train", "digits", "--out", str(tmp_path / name), "--epochs", "1", "--quiet", *options])
        return cc.load(tmp_path / name)

    first, again, other = train("a"), train("b"), train("c", "--seed", "1")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["fc.weight"], other["fc.weight"])


def test_a_failed_training_leaves_the_old_model(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    assert main(["train", "digits", "--out", str(path), "--model", "lenet5"]) == 1
    assert path.read_text() == "old"


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Images of two classes: light on the left, light on the right."""
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        folder = tmp_path / "squares" / label
        folder.mkdir(parents=True)
        for number in range(40):
            image = rng.integers(0, 60, (16, 16)).astype(np.uint8)
            half = slice(0, 8) if label == "left" else slice(8, 16)
            image[:, half] += 150
            write_pgm(folder / f"{number}.pgm", image)
    return tmp_path / "squares"


def test_a_folder_of_images(squares: Path, tmp_path: Path, capsys: Capture) -> None:
    path = str(tmp_path / "model")
    found = result(
        capsys, "train", str(squares), "--out", path, "--epochs", "3", "--batch-size", "16", "--quiet"
    )
    assert found["test_accuracy"] >= 0.9
    description = model_file.load(path)[1]
    assert (description.classes, description.image) == (("left", "right"), (1, 16, 16))
    image = str(squares / "left" / "0.pgm")
    assert result(capsys, "predict", path, image)["class"] == "left"
    assert result(capsys, "evaluate", path)["accuracy"] == found["test_accuracy"]
    assert main(["evaluate", path, "digits"]) == 1
    assert "expected the model's classes left, right; digits has 0, 1, 2" in capsys.readouterr().err


@pytest.mark.slow
def test_mnist(data_root: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["train", "mnist", "--data", str(data_root), "--out", str(tmp_path / "model"), "--quiet"]
    assert result(capsys, *arguments, "--epochs", "2")["test_accuracy"] >= 0.99


def test_older_models_of_the_usual_name_are_kept(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = []
    for seed in range(3):
        assert main(["train", "digits", "--epochs", "1", "--quiet", "--seed", str(seed)]) == 0
        contents.append(Path("cnncore-model.safetensors").read_bytes())
        shown = capsys.readouterr().err
        kept = f"cnncore-model-{seed}.safetensors"
        assert shown == (f"the older cnncore-model.safetensors is now {kept}\n" if seed else "")
    names = ["cnncore-model-1.safetensors", "cnncore-model-2.safetensors", "cnncore-model.safetensors"]
    assert sorted(os.listdir()) == names
    assert [Path(name).read_bytes() for name in names] == contents


def test_a_full_disk_loses_nothing(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    Path("cnncore-model.safetensors").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    assert main(["train", "digits", "--epochs", "1", "--quiet"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {Path(name).read_bytes() for name in os.listdir()} == {b"old"}
    assert "cnncore-model.safetensors" in os.listdir()


def test_a_loss_that_is_not_finite_keeps_the_last_finite_model(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnncore.cli.job.learning_rate", lambda highest, step, steps, schedule: 1e30)
    out = tmp_path / "m.safetensors"
    assert main(["train", "digits", "--out", str(out), "--epochs", "2", "--quiet"]) == 3
    err = capsys.readouterr().err
    assert "has NaN or infinity" in err
    assert f"the loss became NaN or infinite; saved {out} as after 0 of 2 epochs" in err
    assert all(np.isfinite(array).all() for array in cc.load(out).values())
