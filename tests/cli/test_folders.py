# SPDX-License-Identifier: Apache-2.0
"""What `cnncore train` makes of folders: size, parts, memory, weights to begin with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore.cli import main, photos
from cnncore.cli.datasets import Images
from cnncore.cli.photos import Wanted, choose_size, read_photos

Capture = pytest.CaptureFixture[str]

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, colours: bool = False, extents: tuple[int, int] = (8, 8)) -> np.ndarray:
    image = RNG.integers(0, 256, (*extents, 3) if colours else extents).astype(np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    head = b"P%d %d %d 255\n" % (6 if colours else 5, extents[1], extents[0])
    Path(path).write_bytes(head + image.tobytes())
    return image


def folder(root: str, count: int = 10, **settings: Any) -> None:
    for name in ("a", "b"):
        for index in range(count):
            write(f"{root}/{name}/{index:02d}.ppm", **settings)


def names(images: Images, part: str) -> list[str]:
    chosen = getattr(images, part)
    return [chosen.samples.names[number] for number in chosen.numbers]


def test_sizes_that_are_chosen() -> None:
    assert choose_size([(100, 128)] * 3, 9) == (100, 128)
    assert choose_size([(100, 129)] * 3, 9) == (32, 32)
    assert choose_size([(640, 480), (480, 640)], 999) == (32, 32)
    assert choose_size([(640, 480), (480, 640)], 1000) == (64, 64)
    assert choose_size([(640, 48), (48, 640)], 1000) == (32, 32)
    assert choose_size([], 9) == (32, 32)


def test_what_the_images_are() -> None:
    folder("grey")
    images = read_photos("grey", Wanted(), quiet=True)
    assert (images.image, images.prepared) == ((1, 8, 8), True)
    x, _ = images.train.batch(np.arange(len(images.train)))
    np.testing.assert_allclose(images.mean, [x.mean() / 255], rtol=1e-12)
    np.testing.assert_allclose(images.std, [x.std() / 255], rtol=1e-12)
    write("grey/b/99.ppm", colours=True, extents=(20, 9))
    images = read_photos("grey", Wanted(), quiet=True)
    assert (images.image, images.prepared, images.fit) == ((3, 32, 32), False, "crop")
    x, _ = images.train.batch(np.arange(len(images.train)))
    np.testing.assert_allclose(images.mean, x.mean((0, 2, 3)) / 255, rtol=1e-12)
    np.testing.assert_allclose(images.std, x.std((0, 2, 3)) / 255, rtol=1e-12)


def test_memory_for_decoded_images_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    folder("some")
    every = [read_photos("some", Wanted(memory=bytes_), quiet=True) for bytes_ in (0, 64 * 7, 1 << 20)]
    assert [len(images.train.samples._cache.images) for images in every] == [0, 7, 20]  # type: ignore[attr-defined]
    batches = [images.train.batch(np.arange(16)) for images in every]
    assert all((x == batches[0][0]).all() and (y == batches[0][1]).all() for x, y in batches)


def test_parts() -> None:
    for part, count in (("train", 10), ("val", 2), ("test", 3)):
        folder(f"three/{part}", count)
    images = read_photos("three", Wanted(), quiet=True)
    sizes = [len(part) for part in images.parts]
    assert sizes == [20, 6, 4]
    assert names(images, "validation")[0] == "val/a/00.ppm"
    folder("two/train"), folder("two/valid", 2)
    images = read_photos("two", Wanted(), quiet=True)
    assert ([len(part) for part in images.parts], names(images, "test")[0]) == ([20, 4], "valid/a/00.ppm")
    folder("one")
    images = read_photos("one", Wanted(), quiet=True)
    assert names(images, "test") == ["a/04.ppm", "a/09.ppm", "b/04.ppm", "b/09.ppm"]


def test_classes_without_an_image_that_can_be_read() -> None:
    folder("some")
    for index in range(3):
        Path("some/c").mkdir(exist_ok=True)
        Path(f"some/c/{index}.ppm").write_bytes(b"")
    images = read_photos("some", Wanted(), quiet=True)
    assert (images.classes, len(images.left_out)) == (("a", "b"), 3)
    for index in range(10):
        Path(f"some/b/{index:02d}.ppm").write_bytes(b"")
    with pytest.raises(ValueError, match=r"at least two classes .* expected an image, got an empty file"):
        read_photos("some", Wanted(), quiet=True)


def test_too_few_images() -> None:
    folder("few", 4)
    with pytest.raises(ValueError, match=r"at least 5 images of some class.*got 8 images of 2 classes"):
        read_photos("few", Wanted(), quiet=True)


def test_files_left_out_are_named_up_to_a_number(capsys: Capture) -> None:
    photos.report_left_out([(f"{i}.png", "empty") for i in range(25)], 40)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "25 of 40 images cannot be read and are left out:"
    assert (lines[1], lines[20], lines[21]) == ("  0.png: empty", "  19.png: empty", "  and 5 more")


def train(capsys: Capture, *options: str) -> dict[str, Any]:
    capsys.readouterr()
    command = ["train", *options, "--epochs", "1", "--quiet", "--json"]
    assert main(command) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_weights_to_begin_with(capsys: Capture) -> None:
    folder("some")
    folder("large", extents=(40, 20), colours=True)
    train(capsys, "some", "--model", "digits_cnn", "--out", "first")
    before = cc.load("first")
    found = train(
        capsys, "large", "--init", "first", "--lr", "1e-30", "--fit", "letterbox", "--out", "second"
    )
    assert (found["model"], found["size"], found["fit"]) == ("digits_cnn", [8, 8], "letterbox")
    after = cc.load("second")
    assert (after["fc.weight"] == before["fc.weight"]).all()
    first, second = cc.load_model("first").preprocessing, cc.load_model("second").preprocessing
    assert second == first._replace(fit="letterbox")
    with pytest.raises(SystemExit):
        main(["train", "some", "--init", "first", "--transfer", "first"])


def test_runs_have_numbers(capsys: Capture) -> None:
    folder("some")
    reports = [train(capsys, "some", "--model", "digits_cnn", "--out", "m")["report"] for _ in range(2)]
    assert reports == ["runs/1", "runs/2"]
    assert main(["train", "some", "--model", "lenet5", "--size", "9x9"]) == 1
    assert sorted(os.listdir("runs")) == ["1", "2"]
    assert train(capsys, "some", "--model", "digits_cnn", "--report", "here")["report"] == "here"
    settings = json.loads(Path("here/settings.json").read_text())
    assert (settings["size"], settings["fit"], settings["augment"]) == ([8, 8], "crop", "none")


def test_evaluation_of_a_test_part(capsys: Capture) -> None:
    for part, count in (("train", 10), ("test", 3)):
        folder(f"parts/{part}", count)
    found = train(capsys, "parts", "--model", "digits_cnn", "--no-best", "--out", "m")
    assert main(["evaluate", "m", "parts", "--json"]) == 0
    out, err = capsys.readouterr()
    scored = json.loads(out)
    assert (scored["images"], scored["accuracy"]) == (6, found["test_accuracy"])
    assert "parts: scored are the images in its test folder" in err
    assert main(["evaluate", "m", "parts/train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 20


def test_options_for_folders_alone(capsys: Capture) -> None:
    for options in (["--size", "8x8"], ["--fit", "crop"]):
        assert main(["train", "digits", *options]) == 2
        assert "--size and --fit are for folders of images" in capsys.readouterr().err
    Path("a.txt").write_text("text")
    assert main(["train", "a.txt"]) == 1
    assert "a.txt: expected a folder or zip file of images in folders by class" in capsys.readouterr().err
