# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import data
from cnncore.data import cifar

PARTS = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
RNG = np.random.default_rng(0)
IMAGES = {part: RNG.integers(0, 256, (4, 3072)).astype(np.uint8) for part in PARTS}
LABELS = {part: RNG.integers(0, 10, 4) for part in PARTS}


def binary(part: str) -> bytes:
    return np.column_stack([LABELS[part].astype(np.uint8), IMAGES[part]]).tobytes()


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def python(part: str) -> bytes:
    """A batch as Python 2 wrote it: protocol 2, byte texts, arrays of numpy.core."""
    pixels = IMAGES[part].tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01K\x04M\x00\x0c\x86cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T"
        + struct.pack("<i", len(pixels))
        + pixels
        + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS[part]) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."


def modern(part: str) -> bytes:
    return pickle.dumps({"data": IMAGES[part], "labels": [int(n) for n in LABELS[part]]})


def write(root: Path, contents: dict[str, bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def check(split: Any) -> None:
    (x, y), (x_test, y_test) = split
    assert (x.shape, x_test.shape, y.dtype) == ((20, 3, 32, 32), (4, 3, 32, 32), np.int64)
    np.testing.assert_array_equal(x.reshape(20, -1), np.concatenate([IMAGES[part] for part in PARTS[:5]]))
    np.testing.assert_array_equal(y, np.concatenate([LABELS[part] for part in PARTS[:5]]))
    np.testing.assert_array_equal(x_test.reshape(4, -1), IMAGES["test_batch"])
    np.testing.assert_array_equal(y_test, LABELS["test_batch"])


FORMS = {
    "binary": {f"{part}.bin": binary(part) for part in PARTS},
    "python": {part: python(part) for part in PARTS},
    "modern": {part: modern(part) for part in PARTS},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py", "cifar10"])
def test_every_form_in_a_folder(tmp_path: Path, form: str, inside: str) -> None:
    write(tmp_path / inside, FORMS[form])
    check(data.cifar10(tmp_path, dtype="uint8"))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_an_archive(tmp_path: Path, form: str) -> None:
    path = archive(tmp_path / "cifar-10-python.tar.gz", FORMS[form])
    check(data.cifar10(path, dtype="uint8"))
    check(data.cifar10(tmp_path, dtype="uint8"))


def test_float32_is_from_0_to_1(tmp_path: Path) -> None:
    (x, _), _ = data.cifar10(write(tmp_path, FORMS["binary"]))
    assert x.dtype == np.float32
    assert 0 <= x.min() <= x.max() <= 1


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for call in (
        Call(Path.touch, marker),
        Call(eval, f"open({str(marker)!r}, 'w')"),
        Call(np.save, marker, 1),
    ):
        write(tmp_path, {**FORMS["python"], "data_batch_3": pickle.dumps({"data": call})})
        with pytest.raises(
            ValueError, match=r"data_batch_3: not a valid Python batch .* which is not loaded"
        ):
            data.cifar10(tmp_path)
        assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (python("test_batch")[:-500], "not a valid Python batch"),
        (b"\x80\x02]q\x00.", "expected 'data' to be uint8 rows of 3072 pixels, got NoneType"),
        (pickle.dumps({"data": np.zeros((4, 3072)), "labels": [0] * 4}), "got float64 "),
        (pickle.dumps({"data": IMAGES["test_batch"], "labels": [0]}), "expected 'labels' to be 4 integers"),
        (
            pickle.dumps({"data": IMAGES["test_batch"], "labels": [0, 1, 2, 10]}),
            "expected labels from 0 to 9",
        ),
        (b"\x80\x04cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.", "not a valid Python batch"),
    ],
)
def test_damaged_python_batches_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, {**FORMS["python"], "test_batch": content})
    with pytest.raises(ValueError, match=message) as error:
        data.cifar10(tmp_path)
    assert "test_batch" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected records of 3073 bytes"),
        (binary("test_batch")[:-1], "expected records of 3073 bytes .* got 12291 bytes"),
        (b"\x0a" + bytes(3072), "expected labels from 0 to 9, got 10 to 10"),
    ],
)
def test_damaged_binary_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, {**FORMS["binary"], "test_batch.bin": content})
    with pytest.raises(ValueError, match=message) as error:
        data.cifar10(tmp_path)
    assert "test_batch.bin" in str(error.value)


def test_a_binary_batch_whose_first_label_looks_like_a_pickle(tmp_path: Path) -> None:
    write(tmp_path, {**FORMS["binary"], "test_batch.bin": b"\x80" + bytes(3072)})
    with pytest.raises(ValueError, match="expected labels from 0 to 9, got 128"):
        data.cifar10(tmp_path)


def test_missing_and_damaged_archives(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"CIFAR-10 is not there. Fetch https://.*download=True"):
        data.cifar10(tmp_path)
    path = archive(tmp_path / "cifar-10-binary.tar.gz", {"data_batch_1.bin": binary("data_batch_1")})
    with pytest.raises(ValueError, match=r"missing data_batch_2, .*test_batch"):
        data.cifar10(tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="not a valid"):
        data.cifar10(tmp_path)
    write(tmp_path / "some", {"data_batch_1.bin": binary("data_batch_1")})
    with pytest.raises(FileNotFoundError, match=r"data_batch_2\[.bin\]: this file of CIFAR-10 is missing"):
        data.cifar10(tmp_path / "some")


def test_download_fetches_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(url: str, path: Path, digest: str) -> None:
        assert (url, digest) == (cifar.ADDRESS, cifar.SHA256)
        archive(path, FORMS["binary"])

    monkeypatch.setattr(cifar, "fetch", fake)
    check(data.cifar10(tmp_path, download=True, dtype="uint8"))


@pytest.mark.slow
def test_the_real_images(data_root: Path) -> None:
    pytest.importorskip("PIL")
    (x, y), (x_test, y_test) = data.cifar10(data_root, dtype="uint8")
    assert (x.shape, x_test.shape) == ((50000, 3, 32, 32), (10000, 3, 32, 32))
    assert np.bincount(y).tolist() == [5000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
