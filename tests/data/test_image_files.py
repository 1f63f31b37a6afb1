# SPDX-License-Identifier: Apache-2.0
"""Image files that are decoded when they are asked for."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import data
from cnncore.data import transforms as t


def _pgm(path: Path, value: int, height: int = 4, width: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P5 %d %d 255\n" % (width, height) + bytes([value]) * (height * width))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2", "dog/3")):
        _pgm(tmp_path / f"photos/{name}.pgm", 10 * i, 4 + i, 6 + i)
    return tmp_path / "photos"


def test_folders_and_zips_give_the_same(photos: Path, tmp_path: Path) -> None:
    samples = data.ImageFolder(photos)
    assert samples.classes == ("cat", "dog")
    assert samples.labels.tolist() == [0, 0, 1, 1, 1]
    image, label = samples[3]
    assert image.shape == (3, 7, 9)
    assert (image == 30).all()
    assert label == 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in photos.rglob("*.pgm"):
            archive.write(path, path.relative_to(photos))
    zipped = data.ImageFolder(tmp_path / "a.zip", channels=1)
    assert zipped.names == samples.names
    assert np.array_equal(zipped[4][0], samples[4][0][:1])


def test_batches_of_images_of_several_sizes(photos: Path) -> None:
    loader = data.DataLoader(data.ImageFolder(photos), 5, transform=t.Resize((8, 8)), workers=2)
    ((x, y),) = list(loader)
    assert x.shape == (5, 3, 8, 8)
    assert x[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert y.tolist() == [0, 0, 1, 1, 1]
    ((small, _),) = list(data.DataLoader(data.ImageFolder(photos, size=(2, 3), channels=1), 5))
    assert small.shape == (5, 1, 2, 3)


def test_parts(photos: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            _pgm(tmp_path / f"set/{part}/{name}/{part}.pgm", 1)
    assert data.ImageFolder(tmp_path / "set", "test").names == ["test/cat/test.pgm", "test/dog/test.pgm"]
    assert len(data.ImageFolder(tmp_path / "set", "train")) == 2
    with pytest.raises(ValueError, match="which has train and test"):
        data.ImageFolder(tmp_path / "set")
    with pytest.raises(ValueError, match="which has no parts"):
        data.ImageFolder(photos, "train")


def test_broken_files_raise_or_are_left_out(photos: Path) -> None:
    (photos / "cat/2.pgm").write_bytes(b"P5 6 4 255\n0")
    with pytest.raises(ValueError, match=r"2\.pgm"):
        data.ImageFolder(photos).batch([0, 1])
    samples = data.ImageFolder(photos, size=(4, 6), errors="skip")
    with pytest.warns(UserWarning, match=r"left out: .*2\.pgm"):
        x, y = samples.batch([0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples.batch([1, 2])
    assert len(x) == len(y) == 2
    assert x[:, 0, 0, 0].tolist() == [0, 20]
    with pytest.raises(ValueError, match=r"can be read among samples \[1\], got none"):
        samples.batch([1])
    (photos / "dog/1.pgm").unlink()
    with pytest.warns(UserWarning, match=r"left out: .*1\.pgm"):
        assert len(samples.batch([0, 2])[0]) == 1


def test_the_cache_keeps_the_first_images_that_fit(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    samples = data.ImageFolder(photos, size=(4, 6), channels=1, cache_bytes=2 * 24 + 23)
    decoded = samples._decoded
    monkeypatch.setattr(samples, "_decoded", lambda name: read.append(name[-5]) or decoded(name))
    for index in (0, 1, 0, 1, 2, 1, 0):
        samples.image(index)
    assert read == ["1", "2", "1"]
    with pytest.raises(ValueError, match="read-only"):
        samples.image(0)[:] = 0


def test_tables(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos/list.csv"
    table.write_text("path,kind,age\ncat/1.pgm,cat,0.5\ndog/2.pgm,dog,3\n\n")
    samples = data.ImageTable(table, "path", "kind")
    assert samples.classes == ("cat", "dog")
    assert (samples[1][0] == 30).all()
    ages = data.ImageTable(table, "path", "age")
    assert ages.labels.tolist() == [0.5, 3]
    assert ages.classes == ()
    columns = {"image": ["cat/1.pgm"], "label": [7]}
    assert data.ImageTable(columns, root=photos)[0][1] == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line of names"),
        ("image,label\n", "at least one row"),
        ("image,kind\na,b\n", "expected columns 'image' and 'label', got"),
        ("image,label\na\n", "csv:2: expected 2 values, got 1"),
    ],
)
def test_wrong_tables(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        data.ImageTable(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"errors": "ignore"}, "'raise' or 'skip'"),
        ({"channels": 2}, "channels 1, 3 or None"),
        ({"size": (0, 4)}, "at least 1 x 1"),
        ({"part": "valid"}, "'train', 'test' or None"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str, photos: Path) -> None:
    with pytest.raises(ValueError, match=message):
        data.ImageFolder(photos, **settings)
    with pytest.raises(ValueError, match="a label for each of 2 files, got 1"):
        data.ImageFiles(photos, ["a", "b"], [0])


def test_large_photos_are_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    rows, columns = np.mgrid[:1200, :1600] / 8
    pixels = np.stack([128 + 100 * np.sin(rows / 40), 128 + 100 * np.cos(columns / 30), rows], -1).astype(
        np.uint8
    )
    image_module.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    small = data.ImageFiles(tmp_path, ["a.jpg"], [0], size=(60, 80)).image(0)
    expected = data.resize(data.read_image(tmp_path / "a.jpg", dtype="uint8"), (60, 80))
    assert small.shape == (3, 60, 80)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(small.astype(int) - expected).max() <= 4
