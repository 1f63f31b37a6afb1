# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnncore import data
from cnncore.data import images, sources


def pgm(value: int, height: int = 4, width: int = 3) -> bytes:
    return f"P5 {width} {height} 255\n".encode() + bytes([value]) * (height * width)


def ppm(value: int, height: int = 4, width: int = 3) -> bytes:
    return f"P6 {width} {height} 255\n".encode() + bytes([value]) * (3 * height * width)


def write(root: Path, files: dict[str, bytes], packed: bool) -> Path:
    if packed:
        with zipfile.ZipFile(root / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return root / "images.zip"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


FLAT = {"dog/b.pgm": pgm(2), "cat/1.pgm": pgm(1), "dog/a.pgm": pgm(3), "README.txt": b"no image"}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wrapper", ["", "pets/", "a/b/"])
def test_classes_as_folders(tmp_path: Path, packed: bool, wrapper: str) -> None:
    found = data.image_folder(
        write(tmp_path, {wrapper + name: content for name, content in FLAT.items()}, packed), dtype="uint8"
    )
    x, y = found
    assert found.classes == ("cat", "dog")
    assert (x.shape, y.dtype, y.tolist()) == ((3, 1, 4, 3), np.int64, [0, 1, 1])
    assert x[:, 0, 0, 0].tolist() == [1, 3, 2]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "VAL"), ("training", "testing")])
def test_train_and_test(tmp_path: Path, packed: bool, train: str, test: str) -> None:
    files = {f"{train}/a/1.pgm": pgm(51), f"{train}/b/1.pgm": pgm(102), f"{test}/b/1.pgm": pgm(255)}
    (x, y), (x_test, y_test) = data.image_folder(write(tmp_path, files, packed))
    assert (y.tolist(), y_test.tolist(), x_test.max()) == ([0, 1], [1], 1)
    np.testing.assert_allclose(x[:, 0, 0, 0], [0.2, 0.4], rtol=1e-6)


def test_grey_becomes_colour_where_one_image_has_colour(tmp_path: Path) -> None:
    files = {f"{'ab'[number > 170]}/{number:03}.pgm": pgm(number) for number in range(200)}
    root = write(tmp_path, files, packed=False)
    assert data.image_folder(root).x.shape == (200, 1, 4, 3)
    (root / "a" / "150.pgm").write_bytes(ppm(9))
    x = data.image_folder(root, dtype="uint8").x
    assert x.shape == (200, 3, 4, 3)
    assert x[:, 2, 0, 0].tolist() == [*range(150), 9, *range(151, 200)]
    assert data.image_folder(root, channels=1).x.shape == (200, 1, 4, 3)


def test_other_sizes_are_named_or_resized(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/1.pgm": pgm(1), "b/2.pgm": pgm(1, 5, 6)}, packed=False)
    with pytest.raises(
        ValueError, match=r"2.pgm: expected 4 x 3 pixels like the first image, got 5 x 6; size="
    ):
        data.image_folder(root)
    assert data.image_folder(root, size=(8, 7)).x.shape == (2, 1, 8, 7)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": b""}, "expected images as <class>/<image> or .* got no images"),
        ({"1.pgm": pgm(1)}, "got '1.pgm' outside any class"),
        ({"a/1.pgm": pgm(1), "b/2.pgm": b"P5 4 4 255\n"}, r"2.pgm: expected 16 bytes of pixels, got 0"),
        ({"train/1.pgm": pgm(1), "test/1.pgm": pgm(1)}, r"got 'test/1.pgm' outside any class"),
        ({"a/1.pgm": pgm(1)}, r"expected a folder for each of at least two classes, got only 'a'"),
        ({"train/a/1.pgm": pgm(1), "val/a/1.pgm": pgm(1)}, r"at least two classes, got only 'a'"),
        ({"train/a/1.pgm": pgm(1), "test/b/1.pgm": pgm(1)}, r"expected test classes among \['a'\], got 'b'"),
    ],
)
def test_what_is_no_image_folder(tmp_path: Path, files: dict[str, bytes], message: str, packed: bool) -> None:
    with pytest.raises(ValueError, match=message):
        data.image_folder(write(tmp_path, files, packed))


def test_what_is_no_zip_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder or zip file, there is none"):
        data.image_folder(tmp_path / "absent")
    path = write(tmp_path, FLAT, packed=True)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"images.zip: not a valid zip file"):
        data.image_folder(path)


def test_damage_inside_a_zip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/1.pgm", pgm(1))
        archive.writestr("b/1.pgm", pgm(3))
    path.write_bytes(path.read_bytes().replace(b"\x01" * 12, b"\x02" * 12))
    with pytest.raises(ValueError, match=r"images.zip:a/1.pgm: damaged in the zip file: Bad CRC"):
        data.image_folder(path)


def test_large_files_in_a_zip_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 100)
    path = write(tmp_path, {"a/1.pgm": pgm(0, 100, 100), "b/1.pgm": pgm(0)}, packed=True)
    with pytest.raises(ValueError, match=r"1.pgm: expected at most 100 bytes, got"):
        data.image_folder(path)


def test_mnist_and_cifar_as_images(tmp_path: Path) -> None:
    digits = {
        f"{part}/{label}/1.pgm": pgm(label, 28, 28) for part in ("train", "test") for label in range(10)
    }
    (x, y), _ = data.mnist(write(tmp_path, digits, packed=True))
    assert (x.shape, y.tolist()) == ((10, 1, 28, 28), list(range(10)))
    with pytest.raises(ValueError, match=r"expected 32 x 32 images of airplane.*got 28 x 28 of 0, 1"):
        data.cifar10(tmp_path / "images.zip")
    flat = write(tmp_path, {"0/1.pgm": pgm(0, 28, 28), "1/1.pgm": pgm(0, 28, 28)}, packed=True)
    with pytest.raises(ValueError, match=r"expected train\|test/<class>/<image>, got <class>/<image>"):
        data.mnist(flat)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("around", ["train/", "Training/", "val/", "valid/", "pets/train/", "validation/"])
def test_a_lone_part_is_no_class(tmp_path: Path, packed: bool, around: str) -> None:
    files = {f"{around}a/1.pgm": pgm(1), f"{around}b/1.pgm": pgm(2)}
    found = data.image_folder(write(tmp_path, files, packed))
    assert (found.classes, found.y.tolist()) == (("a", "b"), [0, 1])


def test_a_class_may_be_named_train_among_others(tmp_path: Path) -> None:
    root = write(tmp_path, {"bus/1.pgm": pgm(1), "train/1.pgm": pgm(2)}, packed=False)
    assert data.image_folder(root).classes == ("bus", "train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("around", ["", "train/"])
def test_empty_classes_are_named(tmp_path: Path, packed: bool, around: str) -> None:
    files = {f"{around}{name}/1.pgm": pgm(1) for name in "ab"}
    if packed:
        with zipfile.ZipFile(write(tmp_path, files, packed), "a") as archive:
            archive.writestr(f"{around}c/", b"")
    else:
        (write(tmp_path, files, packed) / around / "c").mkdir()
    with pytest.warns(UserWarning, match=rf"no images in '{around}c', which is no class"):
        found = data.image_folder(tmp_path / "images.zip" if packed else tmp_path)
    assert found.classes == ("a", "b")


def test_every_spelling_of_an_image_is_read(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for number, end in enumerate([".jfif", ".jpe", ".JPEG"]):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        image.new("L", (4, 4), 100).save(folder / f"{number}{end}", "JPEG")
    assert len(data.image_folder(tmp_path).x) == 3


def test_formats_without_a_codec_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL")
    monkeypatch.setattr(images, "_readable_by_pillow", lambda: (frozenset({".png"}), []))
    heic = b"\0\0\0\x18ftypheic"
    root = write(tmp_path, {**FLAT, "cat/2.heic": heic, "cat/3.HEIC": heic, "dog/4.avif": b""}, packed=False)
    with pytest.warns(UserWarning, match=r"3 of 6 images are left out.*cat/2.heic.*'pillow-heif' 'pillow>="):
        assert len(data.image_folder(root).x) == 3
    with pytest.raises(
        ValueError, match=r"2.heic: HEIC images cannot be read here: pip install 'pillow-heif'"
    ):
        data.read_image(root / "cat" / "2.heic")


def test_links_end(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/1.pgm": pgm(1), "b/1.pgm": pgm(2)}, packed=False)
    for name in "xy":
        (root / "a" / name).symlink_to(root)
    (root / "linked").symlink_to(root / "b")
    assert data.image_folder(root).classes == ("a", "b", "linked")
    deep = tmp_path / "b" / "0"
    for _ in range(40):
        deep.mkdir()
        for name in "xy":
            (deep / name).symlink_to(deep.parent / str(int(deep.name) + 1))
        deep = deep.parent / str(int(deep.name) + 1)
    deep.mkdir()
    with pytest.raises(ValueError, match="links lead to this folder in more than 64 ways"):
        data.image_folder(root)


def test_what_is_no_file_or_unreadable(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/1.pgm": pgm(1), "b/1.pgm": pgm(2)}, packed=False)
    os.mkfifo(root / "b" / "2.pgm")
    with pytest.raises(ValueError, match=r"2.pgm: expected a regular file, got a pipe"):
        data.image_folder(root)
    (root / "b" / "2.pgm").unlink()
    (root / "b" / "2.pgm").symlink_to("absent")
    with pytest.raises(FileNotFoundError, match=r"2\.pgm"):
        data.image_folder(root)
    (root / "b" / "2.pgm").unlink()
    (root / "c").mkdir(mode=0)
    try:
        if os.access(root / "c", os.R_OK):
            pytest.skip("this user may read anything")
        with pytest.raises(PermissionError, match="c'"):
            data.image_folder(root)
    finally:
        (root / "c").chmod(0o700)
