# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files of every kind end in an error that names the file, in bounded time and memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn
from cnncore.cli import model_file

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
CIFAR_PARTS = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
MUTATIONS = 300


def saved(form: str) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(PIXELS).save(file, form)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, PIXELS)
    return file.getvalue()


def idx() -> bytes:
    return b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + bytes(24)


def images_zip(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("a/1.pgm", "b/größe.pgm", "b/2.pgm"):
            archive.writestr(name, b"P5 2 2 255\n\0\1\2\3")
    return file.getvalue()


def cifar_batch() -> bytes:
    images = RNG.integers(0, 256, (2, 3072)).astype(np.uint8)
    return pickle.dumps({"data": images, "labels": [1, 2]})


def cifar_archive(mode: Any) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for part in CIFAR_PARTS:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{part}.bin")
            info.size = 3073
            archive.addfile(info, io.BytesIO(bytes(3073)))
    return file.getvalue()


def safetensors(folder: Path) -> bytes:
    cc.save({"a": np.arange(3.0), "b": np.array([True, False])}, folder / "m", metadata={"x": "y"})
    return (folder / "m").read_bytes()


def model(folder: Path) -> bytes:
    classes = ("0", "1")
    description = model_file.Description("digits_cnn", classes, (1, 8, 8), (0.5,), (0.25,), "digits", 0.0)
    model_file.save(str(folder / "m"), model_file.build("digits_cnn", 2, 1), description)
    return (folder / "m").read_bytes()


def read_folder_of_one_batch(path: Path) -> Any:
    return data.cifar10(path.parent)


KINDS: dict[str, tuple[str, Callable[[Path], bytes], Callable[[Path], Any]]] = {
    "P2": ("x.pgm", lambda _: b"P2\n# c\n2 2\n255\n0 1 2 3\n", data.read_image),
    "P6": ("x.ppm", lambda _: b"P6\n2 2\n65535\n" + bytes(24), data.read_image),
    "NPY": ("x.npy", lambda _: npy(), data.read_image),
    **{
        form: (f"x.{form.lower()}", lambda _, form=form: saved(form), data.read_image)  # type: ignore[misc]
        for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
    },
    "IDX": ("x-ubyte", lambda _: idx(), data.read_idx),
    "IDX in gzip": ("x-ubyte.gz", lambda _: gzip.compress(idx(), mtime=0), data.read_idx),
    "zip, stored": ("x.zip", lambda _: images_zip(zipfile.ZIP_STORED), data.image_folder),
    "zip, deflated": ("x.zip", lambda _: images_zip(zipfile.ZIP_DEFLATED), data.image_folder),
    "CIFAR batch": ("data_batch_1", lambda _: cifar_batch(), read_folder_of_one_batch),
    "CIFAR tar": ("cifar-10-python.tar.gz", lambda _: cifar_archive("w"), data.cifar10),
    "CIFAR tar.gz": ("cifar-10-python.tar.gz", lambda _: cifar_archive("w:gz"), data.cifar10),
    "safetensors": ("x.safetensors", safetensors, cc.load),
    "model": ("x.safetensors", model, lambda path: model_file.load(str(path))),
}


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a content cut, or with some bytes changed, inserted, left out or doubled."""
    changed = bytearray(content)
    # Headers hold what can be taken wrong; half of the changes fall there.
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 256)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, max(1, min(reach, len(changed)))))
        kind = rng.integers(0, 6)
        length = int(rng.integers(1, 9))
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place : place + length] = rng.bytes(length)
        elif kind == 2:
            changed[place : place + length] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF])]) * length
        elif kind == 3:
            changed[place:place] = bytes([rng.choice(list(b"\0\n #([{0-9\xff"))]) * length
        elif kind == 4:
            del changed[place : place + length]
        else:
            changed[place:place] = changed[place : place + 4 * length]
    return bytes(changed)


def error_of(read: Callable[[Path], Any], path: Path) -> str | None:
    """Return the message of the error that reading ends in, None where it succeeds."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_read_or_named(kind: str, tmp_path: Path) -> None:
    name, make, read = KINDS[kind]
    content = make(tmp_path)
    for part in CIFAR_PARTS:
        (tmp_path / part).write_bytes(b"") if name == "data_batch_1" else None
    path = tmp_path / name
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(content, np.random.default_rng(seed)))
        message = error_of(read, path)
        # A batch that is right is followed by the next one, which is empty here.
        assert message is None or name in message or "data_batch_2" in message, f"seed {seed}: {message}"


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    compressed = zlib.compress(pixels, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


ENTRY = b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
# Each of these took from seconds to for ever, gigabytes, or ended in an error of another kind.
HOSTILE: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], Any], str]] = {
    "blanks without a header": ("x.pgm", lambda: b"P5" + b"\n" * 10**5, data.read_image, "expected width"),
    "comments without end": ("x.pgm", lambda: b"P5 #" + b"#\n" * 10**5, data.read_image, "expected width"),
    "pixel of 400 digits": (
        "x.pgm",
        lambda: b"P2 1 1 255 " + b"9" * 400,
        data.read_image,
        "pixels up to 255",
    ),
    "text for many pixels": ("x.pgm", lambda: b"P2 8192 8192 255 1", data.read_image, "67108864 numbers"),
    "unfinished NPY header": (
        "x.npy",
        lambda: b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'shape': (17, 31".ljust(118),
        data.read_image,
        "not a valid NPY file",
    ),
    "NPY of objects": (
        "x.npy",
        lambda: (
            b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }".ljust(117)
            + b"\n"
            + pickle.dumps(1)
        ),
        data.read_image,
        "Python objects, which are never loaded",
    ),
    "IDX of 200 axes": (
        "x-ubyte",
        lambda: b"\0\0\x08\xc8" + struct.pack(">200I", *[1] * 200) + b"\0",
        data.read_idx,
        "at most 32 axes",
    ),
    "empty IDX of huge size": (
        "x-ubyte",
        lambda: b"\0\0\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3),
        data.read_idx,
        "which no array can have",
    ),
    "cut tar.gz": ("x.tar.gz", lambda: cifar_archive("w:gz")[:90], data.cifar10, "not a valid archive"),
    "zip of a later version": (
        "x.zip",
        lambda: images_zip(zipfile.ZIP_STORED).replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff"),
        data.image_folder,
        "not a valid zip file",
    ),
    "label beyond 64 bits": (
        "data_batch_1",
        lambda: pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [2**70]}),
        read_folder_of_one_batch,
        "expected labels from 0 to 9",
    ),
    "pickle that remembers number 2**28": (
        "data_batch_1",
        lambda: b"\x80\x02}r" + struct.pack("<I", 2**28) + b".",
        read_folder_of_one_batch,
        "not a valid Python batch",
    ),
    "pickle whose key takes 2**60 steps": (
        "data_batch_1",
        lambda: (
            b"\x80\x02}K\x01\x85q\x00"
            + b"".join(b"h%c\x85h%c\x86q%c" % (i, i, i + 1) for i in range(60))
            + b"K\x01s."
        ),
        read_folder_of_one_batch,
        "a tuple used twice",
    ),
    "shape of a million factors": (
        "x.safetensors",
        lambda: header(
            b'{"a":{"dtype":"U8","shape":[' + b",".join([b"10"] * 10**6) + b'],"data_offsets":[0,0]}}'
        ),
        cc.load,
        "a: shape .* 1000000 axes, at most 32",
    ),
    "many empty tensors": (
        "x.safetensors",
        lambda: header(b"{" + b",".join(ENTRY % number for number in range(140_000)) + b"}"),
        cc.load,
        "expected at most 131072 tensors, got 140000",
    ),
    "a name twice among many": (
        "x.safetensors",
        lambda: header(b"{" + b",".join(b'"%d":1' % number for number in [*range(100_000), 7]) + b"}"),
        cc.load,
        "the name '7' occurs twice",
    ),
    "number of 5000 digits": (
        "x.safetensors",
        lambda: header(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}'),
        cc.load,
        "not a valid safetensors file",
    ),
    "name of a million letters": (
        "x.safetensors",
        lambda: header(b'{"' + b"n" * 10**6 + b'":3}'),
        cc.load,
        r"not a valid safetensors file: n{400,600}\.\.\.$",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_named(case: str, tmp_path: Path) -> None:
    name, make, read, message = HOSTILE[case]
    (tmp_path / name).write_bytes(make())
    if name == "data_batch_1":
        for part in CIFAR_PARTS[1:]:
            (tmp_path / part).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"(?s){name}: .*{message}"):
        read(tmp_path / name)


def test_descriptions_of_models_are_checked(tmp_path: Path) -> None:
    good = {
        "model": "digits_cnn",
        "classes": ["0", "1"],
        "image": [1, 8, 8],
        "mean": [0.5],
        "std": [0.5],
        "dataset": "digits",
        "test_accuracy": 0.5,
    }
    path = tmp_path / "m.safetensors"
    for text in [
        "[" * 100_000,
        "1",
        json.dumps({**good, "image": [10**9, 8, 8], "mean": [0.5] * 2}),
        json.dumps({**good, "image": [1, 10**9, 10**9]}),
        json.dumps({**good, "image": [float("inf"), 8, 8]}),
        json.dumps({**good, "std": [float("nan")]}),
        json.dumps({**good, "mean": [float("inf")]}),
    ]:
        cc.save(nn.Linear(1, 1), path, metadata={"cnncore": text})
        with pytest.raises(ValueError, match=r"m.safetensors: damaged description"):
            model_file.load(str(path))


def test_a_long_narrow_image_is_resized_in_little_memory(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    width = 1 << 22
    (tmp_path / "x.png").write_bytes(png(width, 1, bytes([0]) + bytes([100]) * width))
    tracemalloc.start()
    try:
        image = data.read_image(tmp_path / "x.png", size=(8, 8), dtype="uint8")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.shape == (1, 8, 8)
    assert (image == 100).all()
    # The pixels, and float64 weights for the eighth that one value of the result sums up.
    assert peak < 16 * width


@pytest.mark.parametrize("read", [data.read_image, data.read_idx, cc.load, data.image_folder])
def test_what_is_no_regular_file(read: Callable[[Any], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: expected a regular file, got a pipe, socket or device"):
        read(tmp_path / "pipe")
    with pytest.raises(TypeError, match=r"expected .* path.*, got 12345"):
        read(12345)
    with pytest.raises(ValueError, match="holds a NUL character"):
        read("a\0b")
