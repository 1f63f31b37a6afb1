# SPDX-License-Identifier: Apache-2.0
"""The file format against the reference package, and against damaged and hostile files."""

from __future__ import annotations

import json
import os
import pickle
import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cnncore as cc
from cnncore import io, nn, optim
from cnncore.io import safetensors
from cnncore.train import Trainer

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "scalar": np.float64(1.5),
    "counts": np.array([1, -2, 3], np.int64),
    "flags": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32),
    "größe": np.array([np.nan, np.inf, -0.0], np.float16),
    "strided": np.arange(12, dtype=np.int32).reshape(3, 4).T[::-1],
    "big-endian": np.arange(3, dtype=">f4"),
}


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        other = np.asarray(theirs[name])
        assert array.shape == other.shape
        assert array.dtype == other.dtype.newbyteorder("=")
        np.testing.assert_array_equal(array, other)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    io.save(ARRAYS, path, metadata={"format": "np", "note": "ö"})
    same(io.load(path), ARRAYS)
    assert io.load_metadata(path) == {"format": "np", "note": "ö"}
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_reads_what_the_reference_writes(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {
        name: np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        for name, array in ARRAYS.items()
    }
    reference.save_file(arrays, tmp_path / "m", metadata={"a": "b"})
    same(io.load(tmp_path / "m"), arrays)
    assert io.load_metadata(tmp_path / "m") == {"a": "b"}


def test_the_reference_reads_what_is_written(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    io.save(ARRAYS, tmp_path / "m")
    same(reference.load_file(tmp_path / "m"), ARRAYS)


@given(
    arrays=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable()),
        st.sampled_from(DTYPES).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
        ),
        max_size=4,
    )
)
def test_any_arrays_round_trip(arrays: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "m"
    io.save(arrays, path)
    loaded = io.load(path)
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].tobytes() == array.tobytes()


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], np.uint16)
    write_raw(tmp_path / "m", {"x": entry("BF16", [4], 0, 8)}, bits.tobytes())
    loaded = io.load(tmp_path / "m")["x"]
    assert loaded.dtype == np.float32
    assert loaded.tolist() == [1.0, -2.0, np.inf, 2.0**-133]


def test_bfloat16_from_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    values = torch.randn(5, 7)
    reference.save_file({"x": values.bfloat16(), "y": values.half()}, tmp_path / "m")
    loaded = io.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded["x"], values.bfloat16().float().numpy())
    np.testing.assert_array_equal(loaded["y"], values.half().numpy())


# -- damaged files ------------------------------------------------------------------------------


def entry(dtype: Any, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_raw(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


F32 = entry("F32", [2], 0, 8)
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "no JSON": (b"{nope", b"", "its header is not JSON text"),
    "not UTF-8": (b'{"\xff": 1}', b"", "its header is not JSON text"),
    "a list": ([1, 2], b"", "expected its header to be a JSON object, got list"),
    "nested deeply": (b"[" * 100_000, b"", "its header is not JSON text"),
    "a name twice": (b'{"a": 1, "a": 2}', b"", "the name 'a' occurs twice"),
    "a field twice": (
        b'{"a": {"dtype": "U8", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
        bytes(8),
        "occurs twice",
    ),
    "entry is no object": ({"a": 3}, b"", "a: expected dtype, shape and data_offsets, got 3"),
    "missing field": (
        {"a": {"dtype": "F32", "shape": [2]}},
        bytes(8),
        "expected dtype, shape and data_offsets",
    ),
    "unknown dtype": ({"a": entry("F31", [2], 0, 8)}, bytes(8), "expected a dtype among F64, .*, got 'F31'"),
    "dtype is no text": ({"a": entry(["F32"], [2], 0, 8)}, bytes(8), "expected a dtype among"),
    "negative size": ({"a": entry("F32", [-2, -1], 0, 8)}, bytes(8), "expected a shape of sizes from 0"),
    "size is a float": ({"a": entry("F32", [2.0], 0, 8)}, bytes(8), "expected a shape of sizes from 0"),
    "size is a bool": ({"a": entry("F32", [True], 0, 4)}, bytes(4), "expected a shape of sizes from 0"),
    "size is huge": ({"a": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8), "takes .* bytes"),
    "empty but huge": ({"a": entry("F32", [0, 2**62, 2**62], 0, 0)}, b"", "a: shape"),
    "many axes": ({"a": entry("F32", [1] * 1000, 0, 4)}, bytes(4), "a: shape"),
    "offsets backwards": ({"a": entry("F32", [2], 8, 0)}, bytes(8), r"expected data_offsets \[begin, end\]"),
    "offsets negative": ({"a": entry("F32", [2], -8, 0)}, bytes(8), r"expected data_offsets \[begin, end\]"),
    "offsets not two": ({"a": {**F32, "data_offsets": [0, 4, 8]}}, bytes(8), "expected data_offsets"),
    "too few bytes": ({"a": entry("F32", [3], 0, 8)}, bytes(8), "takes 12 bytes, data_offsets is .0, 8."),
    "overlap": (
        {"a": F32, "b": entry("F32", [2], 4, 12)},
        bytes(12),
        "b: expected data from byte 8, got 4.*overlap",
    ),
    "same place": ({"a": F32, "b": F32}, bytes(8), "overlap"),
    "gap": ({"a": F32, "b": entry("F32", [1], 12, 16)}, bytes(16), "expected data from byte 8, got 12.*gap"),
    "gap at start": ({"a": entry("F32", [1], 4, 8)}, bytes(8), "gap"),
    "truncated data": ({"a": F32}, bytes(7), "expected 8 bytes of tensors, got 7; it is truncated"),
    "trailing data": ({"a": F32}, bytes(9), "expected 8 bytes of tensors, got 9; something follows"),
    "metadata no texts": ({"__metadata__": {"a": 1}}, b"", "expected __metadata__ to hold texts"),
    "metadata no object": ({"__metadata__": "x"}, b"", "expected __metadata__ to hold texts"),
    "bool 2": ({"a": entry("BOOL", [1], 0, 1)}, b"\x02", "expected BOOL bytes 0 or 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_contents_name_file_and_problem(case: str, tmp_path: Path) -> None:
    header, data, message = HOSTILE[case]
    write_raw(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(ValueError, match=rf"bad.safetensors: not a valid safetensors file: .*{message}"):
        io.load(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "expected at least 8 bytes, got 0"),
        (b"\x01\x02\x03", "expected at least 8 bytes, got 3"),
        (struct.pack("<Q", 2**63) + b"{}", "a header of 9223372036854775808 bytes, more than 100000000"),
        (
            struct.pack("<Q", 1000) + b"{}",
            "expected a header of 1000 bytes, the file has 10; it is truncated",
        ),
        (b"P5\n28 28\n255\n" + bytes(784), "its first 8 bytes give a header of"),
    ],
)
def test_bad_beginnings(contents: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(contents)
    with pytest.raises(ValueError, match=message):
        io.load(tmp_path / "bad")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    io.save({"a": np.arange(3.0), "b": np.int8([1, 2])}, tmp_path / "m")
    contents = (tmp_path / "m").read_bytes()
    for length in range(len(contents)):
        (tmp_path / "cut").write_bytes(contents[:length])
        with pytest.raises(ValueError, match="cut: "):
            io.load(tmp_path / "cut")


class Bomb:
    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_is_recognised_and_never_run(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickle.dumps({"w": Bomb()}, protocol))
    with pytest.raises(
        ValueError, match=r"m.pt: expected a safetensors file, got a pickle file .*never loaded"
    ):
        io.load(tmp_path / "m.pt")


def test_other_formats_are_recognised(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"got a zip file .cc.load_torch reads torch checkpoints"):
        io.load(tmp_path / "m.pth")
    np.save(tmp_path / "m.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"a .npy file; read it with numpy.load"):
        io.load(tmp_path / "m.npy")
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match="HDF5"):
        io.load(tmp_path / "m.h5")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        io.load(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError):
        io.load(tmp_path)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    for value, message in [
        ({"a": np.zeros(2, complex)}, "a: safetensors cannot hold dtype complex128"),
        ({"a": np.array(["x"])}, "a: safetensors cannot hold dtype"),
        ({1: np.zeros(2)}, "names that are texts"),
        ({"__metadata__": np.zeros(2)}, "other than '__metadata__'"),
        ([np.zeros(2)], "expected a Module or a dict of arrays, got list"),
    ]:
        with pytest.raises(TypeError, match=message):
            io.save(value, tmp_path / "m")  # type: ignore[arg-type]
    optimizer = optim.Adam(nn.Linear(2, 2).parameters())
    trainer = Trainer(nn.Linear(2, 2), nn.MSELoss(), optimizer)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    for part in (
        optimizer,
        trainer,
        scheduler,
        optimizer.state_dict(),
        {"optimizer": optimizer.state_dict()},
    ):
        with pytest.raises(TypeError, match=r"cc\.Trainer\(model, loss, optimizer\)\.save\(path\)"):
            io.save(part, tmp_path / "m")  # type: ignore[arg-type]
    for ending, message in [
        (".pth", r"name it .*m\.safetensors; torch reads safetensors with"),
        (".PT", r"name it .*m\.safetensors"),
        (".keras", r"load_model\(path\)"),
        (".npz", r"np\.savez"),
        (".onnx", r"cnncore\.onnx\.export"),
    ]:
        with pytest.raises(ValueError, match=message):
            io.save(nn.Linear(2, 2), tmp_path / f"m{ending}")
    with pytest.raises(TypeError, match="expected metadata texts by name"):
        io.save({}, tmp_path / "m", metadata={"a": 1})  # type: ignore[dict-item]
    assert os.listdir(tmp_path) == []


def test_load_into_a_fresh_model_holds_nothing_beside_it(tmp_path: Path) -> None:
    source, target = nn.Linear(512, 1024), nn.Linear(512, 1024)
    io.save(source, tmp_path / "m")
    tracemalloc.start()
    try:
        io.load_into(target, tmp_path / "m")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < source.weight.nbytes // 4
    np.testing.assert_array_equal(source.weight, target.weight)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_error_in_the_middle_leaves_the_model_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, dtype: type
) -> None:
    def network() -> nn.Sequential:
        # Weights as drawn, of more than one block, and as changed since; buffers; a layer with two names.
        layers = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm2d(300), nn.Linear(300, 300), nn.Linear(9, 9))
        layers[2].weight.assign(np.arange(90000).reshape(300, 300))
        layers[1].num_batches_tracked.assign(7)
        layers.add_module("again", layers[0])
        return layers

    state = {
        name: np.full(a.shape, 2, dtype) for name, a in network().state_dict().items() if "num" not in name
    }
    io.save({**state, "1.num_batches_tracked": np.array(9)}, tmp_path / "m")
    read = safetensors.Reader._read
    for failing in range(len(state) + 1):
        target = network()
        before = target.state_dict()
        predictor = cc.compile(target[3], (2, 9))
        answer = predictor(np.ones((2, 9)))
        left = failing

        def reading(self: safetensors.Reader, name: str, array: Any, skip: int = 0) -> None:
            nonlocal left
            if left == 0:
                array.reshape(-1)[: array.size // 2] = 5  # what a disk gave before it failed
                raise error
            left -= 1
            read(self, name, array, skip)

        monkeypatch.setattr(safetensors.Reader, "_read", reading)
        with pytest.raises(type(error)):
            io.load_into(target, tmp_path / "m")
        for name, value in target.state_dict().items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)
        np.testing.assert_array_equal(predictor(np.ones((2, 9))), answer)
    monkeypatch.undo()
    io.load_into(target, tmp_path / "m")
    assert all(np.all(value == 2) for name, value in target.state_dict().items() if "num" not in name)


def test_a_file_that_fails_after_it_was_checked_leaves_the_model_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm2d(300), nn.Linear(300, 9))
    target[2].bias.assign(np.arange(9))
    io.save({name: np.full(a.shape, 2, a.dtype) for name, a in target.state_dict().items()}, tmp_path / "m")
    before = target.state_dict()
    place = safetensors.Reader.place
    monkeypatch.setattr(safetensors.Reader, "place", lambda self, name: (place(self, name)[0], 1 << 40))
    with pytest.raises(OSError, match="Input/output error"):
        io.load_into(target, tmp_path / "m")
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_other_threads_see_a_load_whole(tmp_path: Path, dtype: Any) -> None:
    target = nn.Sequential(nn.Linear(200, 300), nn.Linear(300, 200))
    for value in (1, 2):
        state = {name: np.full(a.shape, value, dtype) for name, a in target.state_dict().items()}
        io.save(state, tmp_path / str(value))
    found: list[set[float]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found.append({float(x) for a in target.state_dict().values() for x in (a.min(), a.max())})

    for parameter in target.parameters():
        parameter.assign(np.zeros(parameter.shape))
    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(40):
        io.load_into(target, tmp_path / str(1 + turn % 2))
    done.set()
    reader.join()
    assert all(len(values) == 1 for values in found)


def test_a_first_load_is_seen_whole_too(tmp_path: Path) -> None:
    source = nn.Sequential(nn.Linear(200, 300), nn.Linear(300, 200))
    io.save({name: np.full(a.shape, 2, a.dtype) for name, a in source.state_dict().items()}, tmp_path / "m")
    for _ in range(20):
        target = nn.Sequential(nn.Linear(200, 300), nn.Linear(300, 200))
        before, found = target.state_dict(), []
        thread = threading.Thread(target=io.load_into, args=(target, tmp_path / "m"))
        thread.start()
        while thread.is_alive():
            found.append(target.state_dict())
        thread.join()
        for state in found:
            loaded = {bool(np.all(array == 2)) for array in state.values()}
            assert len(loaded) == 1
            assert loaded == {True} or all(np.array_equal(state[name], before[name]) for name in before)


def test_load_into(tmp_path: Path) -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    io.save(source, tmp_path / "m")
    assert io.load_into(target, tmp_path / "m") == ([], [])
    np.testing.assert_array_equal(source.weight, target.weight)
    with pytest.raises(
        ValueError, match=r"m: the state does not fit Linear:\n  weight: expected shape \(2, 4\)"
    ):
        io.load_into(nn.Linear(4, 2), tmp_path / "m")
    assert io.load_into(nn.Linear(3, 2, bias=False), tmp_path / "m", strict=False) == ([], ["bias"])


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_headers_whose_length_begins_as_pickle_does(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    array = np.arange(3.0)
    for padding in range(length):
        cc.save({"a": array}, path, metadata={"x": "y" * padding})
        found = int.from_bytes(path.read_bytes()[:8], "little")
        if found >= length:
            break
    assert found == length
    assert path.read_bytes()[:1] == b"\x80"
    np.testing.assert_array_equal(cc.load(path)["a"], array)
