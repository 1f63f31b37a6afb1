# SPDX-License-Identifier: Apache-2.0
"""Torch checkpoints: what is in them, and that nothing of them is executed."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
import torch_checkpoints as torch_zip
from cnncore import io, nn

SIX = np.arange(6, dtype=np.float32)


def checkpoint(path: Path, value: bytes, **options: Any) -> Path:
    torch_zip.write(path, value, {"0": SIX}, **options)
    return path


def test_views_and_shared_storages(tmp_path: Path) -> None:
    value = torch_zip.entries(
        {
            "whole": torch_zip.tensor("0", (2, 3)),
            "transposed": torch_zip.tensor("0", (3, 2), (1, 3)),
            "row": torch_zip.tensor("0", (3,), offset=3),
            "expanded": torch_zip.tensor("0", (4, 1), (0, 1), offset=5),
            "scalar": torch_zip.tensor("0", (), offset=2),
            "empty": torch_zip.tensor("0", (0, 3), offset=6),
        }
    )
    arrays = cc.load_torch(checkpoint(tmp_path / "m.pt", value))
    whole = SIX.reshape(2, 3)
    for name, expected in {
        "whole": whole,
        "transposed": whole.T,
        "row": SIX[3:],
        "expanded": np.full((4, 1), 5),
        "scalar": SIX[2],
        "empty": np.zeros((0, 3)),
    }.items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].shape == expected.shape
    arrays["whole"][0, 0] = 9  # an array of its own
    assert arrays["transposed"][0, 0] == 0


def test_bytes_in_the_other_order(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch_zip.write(path, torch_zip.tensor("0", (6,)), {"0": SIX.astype(">f4")}, extra={"byteorder": b"big"})
    np.testing.assert_array_equal(cc.load_torch(path)[""], SIX)


@pytest.mark.parametrize("entry", ["state_dict", "model", "model_state_dict", "net", "ema"])
def test_models_inside_checkpoints(tmp_path: Path, entry: str) -> None:
    inner = torch_zip.entries({"weight": torch_zip.tensor("0", (2, 3))})
    other = torch_zip.entries({"exp_avg": torch_zip.tensor("0", (6,))})
    value = torch_zip.entries({"epoch": torch_zip.number(3), "optimizer": other, entry: inner})
    path = checkpoint(tmp_path / "m.pt", value)
    assert list(cc.load_torch(path)) == ["weight"]
    assert list(cc.load_torch(path, key="optimizer")) == ["exp_avg"]
    with pytest.raises(ValueError, match=r"an entry among epoch, optimizer, .*, got 'best'"):
        cc.load_torch(path, key="best")
    loss = torch_zip.tensor("0", ())
    path = checkpoint(tmp_path / "m.pt", torch_zip.entries({"loss": loss, entry: inner}))
    assert list(cc.load_torch(path)) == ["weight"]
    whole = torch_zip.entries({"scale": torch_zip.tensor("0", (6,)), entry: inner})
    assert list(cc.load_torch(checkpoint(tmp_path / "m.pt", whole))) == ["scale", f"{entry}.weight"]


def test_dicts_without_a_known_entry_give_all_tensors(tmp_path: Path) -> None:
    inner = torch_zip.entries({"weight": torch_zip.tensor("0", (2, 3))})
    path = checkpoint(tmp_path / "m.pt", torch_zip.entries({"encoder": inner, "decoder": inner}))
    assert list(cc.load_torch(path)) == ["encoder.weight", "decoder.weight"]


def test_no_tensors(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.pt", torch_zip.entries({"epoch": torch_zip.number(1)}))
    with pytest.raises(ValueError, match="no tensors in it, but epoch"):
        cc.load_torch(path)


WRONG = {
    "executes": (
        torch_zip.call(torch_zip.name("os", "system"), torch_zip.text("true")),
        r"asks for os\.system",
    ),
    "stack global": (
        torch_zip.text("os")
        + torch_zip.text("system")
        + b"\x93"
        + torch_zip.together(torch_zip.text("true"))
        + b"R",
        r"asks for os\.system",
    ),
    "inst": (b"(" + torch_zip.text("true") + b"ios\nsystem\n", "opcode INST"),
    "obj": (b"(" + torch_zip.name("os", "system") + torch_zip.text("true") + b"o", "opcode OBJ"),
    "extension": (b"\x82\x01", "opcode EXT1"),
    "object": (torch_zip.name("torch.nn", "Module") + b")\x81}b", r"asks for torch\.nn\.Module"),
    "scripted without a script": (
        torch_zip.name("__torch__", "Net") + b")\x81}b",
        r"asks for __torch__\.Net",
    ),
    "state": (b"]}b", "sets the state of a list"),
    "no call": (b"])R", "a call of what is no name"),
    "recursive key": (b"}" + b")" + b"\x85" * 100 + b"Ns", "keys that are texts"),
    "no end": (b"N" * 10 + b"(", "damaged"),
    "odd": (b"}(NNNu", "a key without a value"),
    "missing mark": (b"Nt", "a mark is missing"),
    "memo": (b"h\x05", "damaged"),
    "bytearray": (b"\x96" + struct.pack("<Q", 1 << 60), "damaged|opcode|bytearray8"),
    "long text": (b"X" + struct.pack("<I", 0xFFFFFFF0), "expected"),
    "offset": (torch_zip.tensor("0", (6,), offset=1), "reaches beyond its storage"),
    "negative offset": (torch_zip.tensor("0", (1,), offset=-1), "strides from 0"),
    "negative stride": (torch_zip.tensor("0", (2,), (-1,), offset=3), "strides from 0"),
    "negative size": (torch_zip.tensor("0", (-1,), (1,)), "strides from 0"),
    "huge": (torch_zip.tensor("0", (2**61, 2**61)), "strides from 0|beyond"),
    "huge stride": (torch_zip.tensor("0", (2,), (2**61,)), "reaches beyond"),
    "repeats": (torch_zip.tensor("0", (2**40,), (0,)), "repeat their storages"),
    "ranks": (torch_zip.tensor("0", (1,) * 65), "at most 64"),
    "uneven": (torch_zip.tensor("0", (1, 1), (1,)), "as many extents as strides"),
    "storage": (torch_zip.tensor("7", (1,)), "'7' is missing"),
    "storage type": (
        torch_zip.tensor("0", (1,), storage="QInt8Storage"),
        "a known type of storage, got QInt8",
    ),
    "self": (b"}\x94" + torch_zip.text("a") + b"h\x00s", "dicts inside each other"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(tmp_path: Path, case: str) -> None:
    value, message = WRONG[case]
    path = checkpoint(tmp_path / "m.pt", value)
    with pytest.raises(ValueError, match=message):
        cc.load_torch(path)


def test_many_views_of_one_storage_cannot_fill_the_memory(tmp_path: Path) -> None:
    views = {f"a{n}": torch_zip.tensor("0", (4096, 6), (0, 1)) for n in range(400)}
    with pytest.raises(ValueError, match="repeat their storages more than 16 times"):
        cc.load_torch(checkpoint(tmp_path / "m.pt", torch_zip.entries(views)))


def test_dicts_that_share_dicts_are_not_walked_for_ever(tmp_path: Path) -> None:
    chain = b"}q\x00"
    for place in range(1, 41):
        chain += b"}(" + torch_zip.text("a") + b"h" + bytes([place - 1])
        chain += torch_zip.text("b") + b"h" + bytes([place - 1]) + b"uq" + bytes([place])
    with pytest.raises(ValueError, match="at most 1000000 values"):
        cc.load_torch(checkpoint(tmp_path / "m.pt", chain))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    value = torch_zip.tensor("0", (6,))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/readme", b"")
    with pytest.raises(ValueError, match=r"without data\.pkl"):
        cc.load_torch(path)
    checkpoint(path, value, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        cc.load_torch(path)
    checkpoint(path, value, extra={"data.pkl": b""})
    with pytest.raises(ValueError, match="the same name"):
        cc.load_torch(path)
    checkpoint(path, value, extra={"byteorder": b"middle"})
    with pytest.raises(ValueError, match="byteorder little or big"):
        cc.load_torch(path)
    for contents in (pickle.dumps({"a": 1}), b"", b"\x89HDF\r\n"):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match="expected a torch checkpoint, which is a zip archive"):
            cc.load_torch(path)
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(ValueError, match=r"before version 1\.6.*torch\.save\(torch\.load"):
        cc.load_torch(path)


def test_whole_checkpoints_fill_models(tmp_path: Path) -> None:
    inner = torch_zip.entries({"module.weight": torch_zip.tensor("0", (2, 3))})
    path = checkpoint(tmp_path / "m.pt", torch_zip.entries({"state_dict": inner}))
    layer = nn.Linear(3, 2, bias=False)
    assert io.load_into(layer, path) == ([], [])
    np.testing.assert_array_equal(layer.weight, SIX.reshape(2, 3))


def test_what_torch_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pt"
    dtypes = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    dtypes += ["complex64", "complex128", "uint16", "uint32", "uint64"]
    state = {name: torch.tensor([0, 1, 2, 3]).to(getattr(torch, name)) for name in dtypes}
    small = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
    for name in small:
        if hasattr(torch, name):
            state[name] = torch.arange(256, dtype=torch.uint8).view(getattr(torch, name))
    torch.save(state, path)
    arrays = cc.load_torch(path)
    assert list(arrays) == list(state)
    for name, value in state.items():
        wide = value.float() if name in ("float16", "bfloat16", *small) else value
        np.testing.assert_array_equal(arrays[name], wide.numpy(), strict=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_checkpoints_of_training(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(theirs.parameters())
    theirs(torch.ones(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    path = tmp_path / "m.pt"
    average = torch.optim.swa_utils.AveragedModel(theirs)
    checkpoint = {"epoch": 3, "model": theirs.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**checkpoint, "ema": average.state_dict(), "device": torch.device("cpu")}, path)
    for key in (None, "ema"):
        ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        assert io.load_into(ours, path, key=key) == ([], [])
        for name, value in theirs.state_dict().items():
            np.testing.assert_array_equal(ours.state_dict()[name], value.numpy())
    for script in (torch.jit.script(theirs), torch.jit.trace(theirs.eval(), torch.ones(1, 3, 5, 5))):
        script.save(path)
        arrays = cc.load_torch(path)
        assert list(arrays) == list(theirs.state_dict())
        np.testing.assert_array_equal(arrays["0.weight"], theirs[0].weight.detach().numpy())
    torch.save(theirs, path)
    with pytest.raises(
        ValueError, match=r"asks for torch\.nn\.modules\.container\.Sequential, which is never"
    ):
        cc.load_torch(path)
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"before version 1\.6"):
        cc.load_torch(path)
