# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data
from cnncore.data import fetch, mnist_files

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(
        f">4B{array.ndim}I", 0, 0, CODES[array.dtype.str.lstrip("|")], array.ndim, *array.shape
    )
    return head + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_plain_and_packed(tmp_path: Path, code: str, packed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(code)
    content = gzip.compress(idx(array)) if packed else idx(array)
    read = data.read_idx(write(tmp_path / "a.idx", content))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(code).newbyteorder("=")
    assert read.flags.writeable


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got bytes none"),
        (b"\0\0\x08", "expected an IDX file"),
        (b"\x89PNG\r\n", r"expected an IDX file .* got bytes 89 50 4e 47"),
        (b"\0\0\x07\x01" + b"\0" * 8, "expected an IDX file"),
        (GOOD[:10], "expected 3 sizes in the IDX header"),
        (GOOD[:-1], r"expected 24 bytes of values for shape \(2, 3, 4\), got 23; it is truncated"),
        (GOOD + b"\0", "got more"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 1 << 31, 1 << 31, 4), "more than the file can hold"),
        (gzip.compress(GOOD)[:-12], "not a valid gzip file"),
        (gzip.compress(GOOD)[:20], "not a valid gzip file"),
        (gzip.compress(GOOD[:-1]), "it is truncated"),
        (
            gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1 << 31, 1 << 31, 4)),
            "more than the file can hold",
        ),
        (b"\x1f\x8b" + b"\xff" * 30, "not a valid gzip file"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        data.read_idx(write(tmp_path / "a.idx", content))
    assert str(tmp_path / "a.idx") in str(error.value)


@given(content=st.binary(max_size=60), position=st.integers(0, 39), packed=st.booleans())
def test_any_bytes_give_an_array_or_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, position: int, packed: bool
) -> None:
    whole = GOOD[:position] + content + GOOD[position + len(content) :]
    path = write(tmp_path_factory.getbasetemp() / "any.idx", gzip.compress(whole) if packed else whole)
    with suppress(ValueError):
        assert isinstance(data.read_idx(path), np.ndarray)


def small_mnist(root: Path, packed: bool = True, dotted: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for file, count in zip(mnist_files.FILES, (7, 7, 3, 3), strict=True):
        images = "images" in file
        array = rng.integers(0, 256 if images else 10, (count, 28, 28) if images else count).astype(np.uint8)
        arrays[file] = array
        name = file.replace("-idx", ".idx") if dotted else file
        write(root / (f"{name}.gz" if packed else name), gzip.compress(idx(array)) if packed else idx(array))
    return arrays


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", [".", "MNIST/raw"])
def test_mnist_from_small_files(tmp_path: Path, packed: bool, inside: str) -> None:
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    arrays = small_mnist(tmp_path / inside, packed=packed, dotted=not packed)
    (x, y), (x_test, y_test) = data.mnist(tmp_path, dtype="uint8")
    np.testing.assert_array_equal(x[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(y_test, arrays["t10k-labels-idx1-ubyte"])
    assert (x.shape, y.dtype, x_test.shape) == ((7, 1, 28, 28), np.int64, (3, 1, 28, 28))
    floats = data.mnist(tmp_path)[0][0]
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, x.astype(np.float32) * np.float32(1 / 255))


def test_missing_files_say_where_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing train-images-idx3-ubyte.*https://.*download=True"):
        data.mnist(tmp_path)
    small_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing t10k-labels-idx1-ubyte\[.gz\]\. Fetch it from"):
        data.mnist(tmp_path)


def test_swapped_and_mismatched_files_are_named(tmp_path: Path) -> None:
    arrays = small_mnist(tmp_path, packed=False)
    labels = arrays["train-labels-idx1-ubyte"]
    write(tmp_path / "train-labels-idx1-ubyte", idx(labels[:5]))
    with pytest.raises(ValueError, match=r"train-labels.*expected 7 labels.*got 5"):
        data.mnist(tmp_path)
    write(tmp_path / "train-labels-idx1-ubyte", idx(arrays["train-images-idx3-ubyte"]))
    with pytest.raises(ValueError, match=r"train-labels.*expected uint8 labels"):
        data.mnist(tmp_path)
    write(tmp_path / "train-images-idx3-ubyte", idx(labels))
    with pytest.raises(ValueError, match=r"train-images.*expected uint8 images"):
        data.mnist(tmp_path)


def test_download_fetches_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, root = tmp_path / "served", tmp_path / "root"
    served.mkdir()
    root.mkdir()
    small_mnist(served)
    (root / "train-images-idx3-ubyte.gz").write_bytes((served / "train-images-idx3-ubyte.gz").read_bytes())
    asked = []

    def fake(url: str, path: Path, digest: str) -> None:
        asked.append(url)
        path.write_bytes((served / path.name).read_bytes())

    monkeypatch.setattr(mnist_files, "fetch", fake)
    assert len(data.mnist(root, download=True)[0][0]) == 7
    assert [url.rsplit("/", 1)[1] for url in asked] == [f"{file}.gz" for file in list(mnist_files.FILES)[1:]]


def test_fetch_keeps_only_the_right_digest(tmp_path: Path) -> None:
    source = write(tmp_path / "source", b"content")
    right = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    fetch.fetch(source.as_uri(), tmp_path / "new" / "a", right)
    assert (tmp_path / "new" / "a").read_bytes() == b"content"
    with pytest.raises(ValueError, match=r"expected a file with SHA-256 0+, got ed7002"):
        fetch.fetch(source.as_uri(), tmp_path / "new" / "b", "0" * 64)
    with pytest.raises(OSError, match="cannot fetch file:"):
        fetch.fetch((tmp_path / "absent").as_uri(), tmp_path / "new" / "c", right)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_the_real_mnist(data_root: Path) -> None:
    (x, y), (x_test, y_test) = data.mnist(data_root, dtype="uint8")
    assert (x.shape, x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x.mean()), 2) == 33.32
