# SPDX-License-Identifier: Apache-2.0
"""A folder of photos of awkward kinds: trained, predicted and evaluated at the first try."""

from __future__ import annotations

import csv
import json
import os
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import awkward_photos as awkward
import cnncore as cc
from cnncore.cli import main

pytest.importorskip("PIL")

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, m.safetensors and runs/1, and what the training printed."""
    folder = tmp_path_factory.mktemp("awkward")
    awkward.photos(folder / "photos")
    before = os.getcwd()
    os.chdir(folder)
    try:
        capture = pytest.MonkeyPatch()
        lines: list[str] = []
        capture.setattr("cnncore.cli.train.print_result", lambda *args: lines.append(json.dumps(args[2])))
        options = ("--epochs", "6", "--size", "24x24", "--out", "m.safetensors", "--quiet")
        assert main(["train", "photos", *options]) == 0
        capture.undo()
        Path("result.json").write_text(lines[0])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def readable() -> dict[str, list[str]]:
    """The names of the images that can be read, by class, in the order of their paths."""
    found: dict[str, list[str]] = {}
    for name in awkward.CLASSES:
        paths = sorted(str(path) for path in Path("photos", name).rglob("*") if path.is_file())
        usual = [path for path in paths if Path(path).name not in awkward.UNREADABLE]
        found[name] = [p for p in usual if not Path(p).name.startswith((".", "notes", "Thumbs"))]
    assert [len(paths) for paths in found.values()] == [20, 20, 20]
    return found


def answers() -> dict[str, str]:
    """The model's answers by file, as Python gives them."""
    model = cc.load_model("m.safetensors")
    paths = [path for part in readable().values() for path in part]
    return dict(zip(paths, model.predict_classes(paths).tolist(), strict=True))


def figures(true: list[str], said: list[str]) -> dict[str, Any]:
    """Accuracy, confusion matrix and the figures of classes, counted one by one."""
    pairs = list(zip(true, said, strict=True))
    matrix = [[pairs.count((a, b)) for b in awkward.CLASSES] for a in awkward.CLASSES]
    rows = []
    for name in awkward.CLASSES:
        hits, answered, there = pairs.count((name, name)), said.count(name), true.count(name)
        rows.append((hits / answered if answered else 0.0, hits / there, 2 * hits / (answered + there)))
    return {"accuracy": sum(a == b for a, b in pairs) / len(pairs), "matrix": matrix, "rows": rows}


def same(found: dict[str, Any], true: list[str], said: list[str]) -> None:
    """Compare what a command printed with what is counted here, and with scikit-learn's where it is there."""
    expected = figures(true, said)
    assert found["confusion_matrix"] == expected["matrix"]
    rows = [tuple(row[name] for name in ("precision", "recall", "f1")) for row in found["classes"]]
    np.testing.assert_allclose(rows, expected["rows"], rtol=1e-15)
    means = [found["mean"][name] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(means, np.mean(expected["rows"], axis=0), rtol=1e-14)
    try:
        from sklearn import metrics
    except ImportError:
        return
    names = list(awkward.CLASSES)
    assert found["confusion_matrix"] == metrics.confusion_matrix(true, said, labels=names).tolist()
    usual = metrics.precision_recall_fscore_support(true, said, labels=names, zero_division=0)
    np.testing.assert_allclose(np.array(rows).T, usual[:3], rtol=1e-14)
    macro = metrics.precision_recall_fscore_support(true, said, average="macro", zero_division=0)
    np.testing.assert_allclose(means, macro[:3], rtol=1e-14)


def test_training_reads_what_can_be_read() -> None:
    result = json.loads(Path("result.json").read_text())
    assert [Path(row["file"]).name for row in result["left_out"]] == list(awkward.UNREADABLE)
    reasons = [row["reason"] for row in result["left_out"]]
    assert reasons[0] == "expected an image, got an empty file"
    assert reasons[1] == "expected an image, got a file that starts with b'I am tex'"
    assert (result["size"], result["fit"], result["report"]) == ([24, 24], "crop", "runs/1")
    assert sum(row["images"] for row in result["classes"]) == 12
    model = cc.load_model("m.safetensors")
    assert model.class_names == awkward.CLASSES
    assert model.preprocessing.fit == "crop"


def test_figures_of_the_training() -> None:
    said, result = answers(), json.loads(Path("result.json").read_text())
    pairs = [(name, said[path]) for name, paths in readable().items() for path in paths[4::5]]
    true, answered = [name for name, _ in pairs], [answer for _, answer in pairs]
    same(result, true, answered)
    assert result["test_accuracy"] == figures(true, answered)["accuracy"]
    best = result["epoch_validation_accuracy"]
    assert best[result["best_epoch"] - 1] == max(best)
    rows = list(csv.reader(Path("runs/1/confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == result["confusion_matrix"]


def test_prediction_goes_on_after_a_bad_file(capsys: Capture) -> None:
    assert main(["predict", "m.safetensors", "photos", "--csv", "p.csv", "--top", "3"]) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert [Path(line.split(": ")[2]).name for line in lines[1:4]] == list(awkward.UNREADABLE)
    assert lines[-1] == "cnncore: error: 3 of 63 files could not be classified"
    rows = list(csv.DictReader(Path("p.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["file"]: row["class"] for row in rows} == answers()
    assert len(out.splitlines()) == 60
    model = cc.load_model("m.safetensors")
    for row in rows[::7]:
        logits = model.predict(row["file"])[0].astype(np.float64)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        order = np.argsort(-shares)
        assert [row["class"], row["class_2"], row["class_3"]] == [awkward.CLASSES[i] for i in order]
        given = [float(row[name]) for name in ("probability", "probability_2", "probability_3")]
        # A softmax of three is about ten roundings of float32.
        np.testing.assert_allclose(given, shares[order], rtol=10 * 2**-24, atol=10 * 2**-24)


def test_evaluation_scores_all_of_a_folder(capsys: Capture) -> None:
    assert main(["evaluate", "m.safetensors", "photos", "--json", "--mistakes"]) == 0
    out, err = capsys.readouterr()
    found, said = json.loads(out), answers()
    true = {path: name for name, paths in readable().items() for path in paths}
    same(found, list(true.values()), [said[path] for path in true])
    assert found["images"] == 60
    assert found["accuracy"] == figures(list(true.values()), [said[p] for p in true])["accuracy"]
    assert [Path(row["file"]).name for row in found["left_out"]] == list(awkward.UNREADABLE)
    wrong = [(row["file"], row["class"], row["answer"]) for row in found["mistakes"]]
    assert wrong == [(path, name, said[path]) for path, name in true.items() if said[path] != name]
    assert "3 of 63 images cannot be read and are left out:" in err
    assert "the model was trained on most of these images" in err
    result = json.loads(Path("result.json").read_text())
    assert main(["evaluate", "m.safetensors", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert (kept["images"], kept["accuracy"]) == (12, result["test_accuracy"])
    assert kept["confusion_matrix"] == result["confusion_matrix"]


def test_evaluation_of_one_class_and_of_unknown_ones(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / awkward.CLASSES[1]).symlink_to(Path("photos", awkward.CLASSES[1]).resolve())
    assert main(["evaluate", "m.safetensors", str(tmp_path / "some"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 20
    assert found["accuracy"] == found["classes"][1]["recall"]
    (tmp_path / "some" / "hexagon").symlink_to(Path("photos", awkward.CLASSES[0]).resolve())
    assert main(["evaluate", "m.safetensors", str(tmp_path / "some")]) == 1
    assert "has hexagon" in capsys.readouterr().err


def test_every_kind_is_read_as_pillow_shows_it() -> None:
    """A model of several sizes and ways to fit sees what Pillow's own calls give."""
    from PIL import Image, ImageOps

    for path, (fit, size) in zip(
        [p for part in readable().values() for p in part],
        cycle(product(("crop", "letterbox", "stretch"), ((24, 24), (20, 30)))),
        strict=False,
    ):
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            if upright.mode.startswith("I"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            picture = upright.convert("RGB")
        height, width = size
        if fit == "crop":
            expected = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
        elif fit == "letterbox":
            expected = ImageOps.pad(picture, (width, height), Image.Resampling.BILINEAR, (128, 128, 128))
        else:
            expected = picture.resize((width, height), Image.Resampling.BILINEAR)
        prepare = cc.data.ImagePreprocessing(size, [0.0] * 3, [1 / 255] * 3, fit)
        found = prepare(cc.data.read_image(path, dtype="uint8"))
        difference = np.abs(found.transpose(1, 2, 0) - np.asarray(expected, np.float32))
        # Pillow rounds between its two passes, and places a letterbox by whole pixels of its own.
        assert np.median(difference) <= 2, (path, fit, size)


@pytest.mark.slow
def test_the_first_try_without_options_learns(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward.photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "photos"]) == 0
    out, err = capsys.readouterr()
    assert "3 of 63 images cannot be read and are left out:" in err
    assert "Quadrat gr\u00fcn 20, red circle 20, \u4e09\u89d2 20" in err
    assert "images are made 32x32: the middle part of these proportions (--size, --fit)" in err
    assert "confusion matrix, true class by answer" in out
    assert main(["evaluate", "cnncore-model.safetensors", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] >= 0.6
