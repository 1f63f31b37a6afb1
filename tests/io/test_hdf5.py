# SPDX-License-Identifier: Apache-2.0
"""What becomes of the process that reads an HDF5 file never harms this one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import cnncore as cc
from cnncore.io import hdf5

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars")["0"] = np.ones((2, 3), np.float32)
    return path


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that reads files."""
    monkeypatch.setattr(hdf5, "SCRIPT", tmp_path / "reader.py")
    return tmp_path / "reader.py"


def test_the_script_reads_what_is_there(path: Path) -> None:
    assert {name: array.tolist() for name, array in cc.load_keras(path).items()} == {
        "dense.weight": [[1.0, 1.0]] * 3
    }


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such limit")
def test_time_of_the_processor_is_limited(path: Path, reader: Path) -> None:
    script = str(Path(hdf5.__file__).with_name("hdf5_process.py"))
    limited = f"import runpy; runpy.run_path({script!r})['_limit'](1, 1 << 34)"
    reader.write_text(f"{limited}\nwhile True:\n    pass\n")
    with pytest.raises(ValueError, match=r"m\.weights\.h5: .* does not come to an end on it"):
        cc.load_keras(path)


def test_time_by_the_clock_is_limited(path: Path, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "PATIENCE", 0.1)
    reader.write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(ValueError, match="does not come to an end on it"):
        cc.load_keras(path)


def layer(*arrays: object) -> str:
    """A script that says that these arrays follow."""
    return f"print({json.dumps({'key': 'dense', 'path': 'a.', 'name': 'a', 'arrays': arrays})!r})\n"


@pytest.mark.parametrize(
    "answer",
    [
        "import os\nos.abort()",
        "",
        "print('no JSON')",
        "print([1])",
        "print('{}')",
        layer(["<f4", 1, 3]) + "print('short')",
        layer(["<f4", 1, 100_000]) + "print(400_000 * 'x')",
        layer(["O", 1]) + "print('12345678')",
        "while True:\n    print(end='x' * 1000)",
    ],
)
def test_what_is_no_answer(path: Path, reader: Path, answer: str) -> None:
    reader.write_text(answer)
    with pytest.raises(ValueError, match=r"m\.weights\.h5: .* ends its process on it \(status -?\d+\)"):
        cc.load_keras(path)


def test_without_what_reads_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"cnncore\[keras\]"):
            cc.load_keras(path)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(RuntimeError, match="a Python process of its own"):
        cc.load_keras(path)
