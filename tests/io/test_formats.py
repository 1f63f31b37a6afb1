# SPDX-License-Identifier: Apache-2.0
"""Formats other than safetensors and torch's, names by rules, and partial loading."""

from __future__ import annotations

import io as streams
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import io, nn
from cnncore.io import npz
from cnncore.io.small_floats import widen

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    arrays = {"weight": WEIGHT, "column": np.asfortranarray(WEIGHT), "n": np.int64(3), "b": np.array([True])}
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        read = io.load(path)
        assert list(read) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, strict=True)
    layer = nn.Linear(3, 2, bias=False)
    assert io.load_into(layer, path, strict=False).unexpected_keys == ["column", "n", "b"]
    np.testing.assert_array_equal(layer.weight, WEIGHT)


def archive(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return path


def npy(shape: str, data: bytes, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a.npy": npy("(2,)", b"1234")}, "does not take the bytes there are"),
        ({"a.npy": npy(f"({2**62},)", b"1234")}, "does not take the bytes there are"),
        ({"a.npy": npy("(-1,)", b"")}, "does not take the bytes there are|valid"),
        ({"a.npy": npy("(1,)", b"12345678", "'|O'")}, "expected numbers, got dtype object"),
        ({"a.npy": npy("(1,)", b"1234", "'S4'")}, "expected numbers"),
        ({"a.npy": b"\x93NUMPY\x09\x00"}, r"version 1\.0 or 2\.0"),
        ({"a.npy": npy("__import__('os')", b"")}, "not a valid"),
        ({"a.npy": b""}, "not a valid"),
        ({"a.txt": b"text"}, "names of their own, got 'a.txt'"),
    ],
)
def test_damaged_npz(tmp_path: Path, parts: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        io.load(archive(tmp_path / "m.npz", parts))


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_FREE", 1 << 22)
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as part:
        for _ in range(5):
            part.write(bytes(1 << 20))
    with pytest.raises(ValueError, match="bytes in a file of"):
        io.load(path)


def sharded(tmp_path: Path, homes: dict[str, str]) -> Path:
    io.save({"weight": WEIGHT}, tmp_path / "a.safetensors")
    io.save({"bias": WEIGHT[:, 0]}, tmp_path / "b.safetensors")
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": homes}))
    return path


def test_sharded_safetensors(tmp_path: Path) -> None:
    path = sharded(tmp_path, {"weight": "a.safetensors", "bias": "b.safetensors"})
    assert {name: array.shape for name, array in io.load(path).items()} == {"weight": (2, 3), "bias": (2,)}
    layer = nn.Linear(3, 2)
    assert io.load_into(layer, path) == ([], [])
    np.testing.assert_array_equal(layer.bias, WEIGHT[:, 0])


@pytest.mark.parametrize(
    ("homes", "message"),
    [
        ({"weight": "../a.safetensors"}, r"names of files beside it, got '\.\./a"),
        ({"weight": "/a.safetensors"}, "names of files beside it"),
        ({"weight": "..\\a.safetensors"}, "names of files beside it"),
        ({"weight": ".."}, "names of files beside it"),
        ({"weight": "a\0"}, "names of files beside it"),
        ({"weight": "b.safetensors"}, "has no array 'weight'"),
        ({"weight": 3}, "with a weight_map"),
        ({}, "with a weight_map"),
    ],
)
def test_damaged_indices(tmp_path: Path, homes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        io.load(sharded(tmp_path, homes))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"weight_map": 3}', "\xff"])
def test_what_is_no_index(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="index of safetensors files"):
        io.load(path)


def test_eight_bit_floats(tmp_path: Path) -> None:
    """Every byte of a format by its definition: sign, exponent and fraction."""
    torch = pytest.importorskip("torch")
    for kind in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"):
        bits = np.arange(256, dtype=np.uint8)
        expected = torch.from_numpy(bits).view(getattr(torch, kind)).float().numpy()
        np.testing.assert_array_equal(widen(bits, kind), expected)


def test_eight_bit_floats_by_hand() -> None:
    bits = np.array([0x00, 0x01, 0x08, 0x3C, 0x7E, 0xFE], np.uint8)
    assert widen(bits, "float8_e4m3fn").tolist() == [0, 2**-9, 2**-6, 1.5, 448, -448]
    assert widen(bits, "float8_e5m2").tolist()[1:4] == [2**-16, 2**-13 * 1.0, 1.0]
    assert np.isnan(widen(np.array([0x7E], np.uint8), "float8_e5m2")[0])
    assert widen(np.array([0, 127, 254], np.uint8), "float8_e8m0fnu").tolist() == [2**-127, 1, 2**127]
    assert widen(np.array([0x3F80, 0xFF80], np.uint16), "bfloat16").tolist() == [1, -np.inf]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2"), ("F8_E8M0", "float8_e8m0fnu")],
)
def test_eight_bit_floats_in_safetensors(tmp_path: Path, kind: str, name: str) -> None:
    header = json.dumps({"a": {"dtype": kind, "shape": [2, 2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([1, 60, 126, 200]))
    expected = widen(np.array([[1, 60], [126, 200]], np.uint8), name)
    np.testing.assert_array_equal(io.load(path)["a"], expected, strict=True)
    layer = nn.Linear(2, 2, bias=False)
    assert io.load_into(layer, path, rename=[("^a$", "weight")]) == ([], [])
    np.testing.assert_array_equal(layer.weight, expected)


# -- names ------------------------------------------------------------------------------------------


def written(tmp_path: Path, names: dict[str, Any]) -> Path:
    io.save(names, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def block() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "form", ["module.{}", "_orig_mod.{}", "backbone.{}", "module._orig_mod.{}", "_orig_mod.module.{}"]
)
def test_prefixes_of_wrappers(tmp_path: Path, form: str) -> None:
    state = block().state_dict()
    path = written(tmp_path, {form.format(name): value for name, value in state.items()})
    model = block()
    assert io.load_into(model, path) == ([], [])
    np.testing.assert_array_equal(model[0].weight, state["0.weight"])


def test_wrappers_inside(tmp_path: Path) -> None:
    state = block().state_dict()
    names = {
        name.replace("1.", "1._orig_mod.", 1) if name[0] == "1" else name: v for name, v in state.items()
    }
    assert "1._orig_mod.0.weight" in names
    assert io.load_into(block(), written(tmp_path, names)) == ([], [])


def test_a_models_own_backbone_keeps_its_name(tmp_path: Path) -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(3, 2), "module": nn.Linear(3, 2)})
    assert io.load_into(model, written(tmp_path, model.state_dict())) == ([], [])


def test_averages_count_is_left_out(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in block().state_dict().items()}
    assert io.load_into(block(), written(tmp_path, {**state, "n_averaged": np.int64(4)})) == ([], [])


def test_rules(tmp_path: Path) -> None:
    path = written(tmp_path, {"old.0.w": WEIGHT, "old.0.b": WEIGHT[:, 0], "head.weight": WEIGHT})
    layer = nn.Linear(3, 2)
    rules = [("^head", None), (r"^old\.(\d)\.", ""), ("^w$", "weight"), ("^b$", "bias")]
    assert io.load_into(layer, path, rename=rules) == ([], [])
    np.testing.assert_array_equal(layer.weight, WEIGHT)
    with pytest.raises(ValueError, match=r"two names become 'x': 'head.weight' and 'old.0.b'"):
        io.load_into(layer, path, rename=[(".*", "x"), ("xx", "x")])
    with pytest.raises(ValueError, match=r"regular expressions, got '\('"):
        io.load_into(layer, path, rename=[("(", "")])
    with pytest.raises(ValueError, match="does not fit"):
        io.load_into(layer, path, rename=[("old", r"\3")])
    for rule in ("old", ("old",), ("old", 3), (3, "old")):
        with pytest.raises(TypeError, match="pairs"):
            io.load_into(layer, path, rename=[rule])  # type: ignore[list-item]


def test_another_head_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, block().state_dict())
    model = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 5)), nn.Linear(5, 5))
    head = model[1][0].weight.numpy().copy()
    with pytest.raises(ValueError, match=r"1\.0\.weight: expected shape \(5, 2\), got \(2, 2\)"):
        io.load_into(model, path)
    report = io.load_into(model, path, strict=False)
    assert report.missing_keys == ["2.weight", "2.bias"]
    assert report.unexpected_keys == []
    assert report.mismatched_keys == ["1.0.weight", "1.0.bias"]
    assert "mismatched_keys=['1.0.weight'" in repr(report)
    np.testing.assert_array_equal(model[1][0].weight, head)
    assert repr(io.load_into(block(), path)) == "<All keys matched successfully>"


def test_names_of_networks_files(tmp_path: Path) -> None:
    model = cc.models.squeezenet1_1(classes=3)
    path = written(tmp_path, model.state_dict())
    other = cc.models.get("squeezenet1_1", num_classes=3, weights=path)
    np.testing.assert_array_equal(other.state_dict()["features.0.weight"], model.features[0].weight)
    with pytest.raises(ValueError, match=r"classifier\.1\.weight: expected shape \(1000, 512, 1, 1\)"):
        cc.models.squeezenet1_1(weights=str(path))


def test_streams_are_no_paths() -> None:
    with pytest.raises(TypeError, match="expected a file's path"):
        cc.load_torch(streams.BytesIO())  # type: ignore[arg-type]
