# SPDX-License-Identifier: Apache-2.0
"""Memory of parameters and optimisers: reading and writing numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnncore import _core


def test_numbers_are_written_as_float64_bits_in_one_change_each() -> None:
    first, second = _core.Storage(np.zeros(3, np.int64)), _core.Storage(np.zeros((), np.int64))
    versions = first.version, second.version
    _core.write_numbers([first, second], [(0.1, np.float32(2.5), 3), (-0.0,)])
    assert first.read().view(np.float64).tolist() == [0.1, 2.5, 3.0]
    assert np.signbit(second.read().view(np.float64))
    assert (first.version, second.version) == (versions[0] + 1, versions[1] + 1)


def test_numbers_that_do_not_fit_change_nothing() -> None:
    first, second = _core.Storage(np.zeros(2, np.int64)), _core.Storage(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="expected 1 tuples, got 2"):
        _core.write_numbers([first], [(1.0, 2.0), (3.0,)])
    with pytest.raises(ValueError, match="tuple 0: expected 2 numbers for int64, got 3"):
        _core.write_numbers([first], [(1.0, 2.0, 3.0)])
    with pytest.raises(ValueError, match="tuple 1: expected 2 numbers for int64"):
        _core.write_numbers([first, second], [(1.0, 2.0), (1.0, 2.0)])
    with pytest.raises(RuntimeError):
        _core.write_numbers([first], [(1.0, "x")])
    assert not first.read().any()


def test_item_reads_an_integer() -> None:
    storage = _core.Storage(np.array(2**62 + 1))
    assert storage.item() == 2**62 + 1
    for other in (np.zeros(2, np.int64), np.zeros((), np.float32)):
        with pytest.raises(ValueError, match="an int64 scalar"):
            _core.Storage(other).item()


def test_writing_takes_arrays_parts_of_files_and_updates_of_dicts(tmp_path: Path) -> None:
    stored = [_core.Storage(np.zeros(3, np.float32)), _core.Storage(np.zeros((2, 2), np.int64))]
    (tmp_path / "f").write_bytes(b"abc" + np.arange(4).tobytes())
    settings = {"a": 1, "b": 2}
    with open(tmp_path / "f", "rb") as file:
        contents = [np.ones(3, np.float32), (file.fileno(), 3)]
        _core.write_storages(stored, contents, [(settings, {"b": 3, "c": 4})])
    assert stored[0].read().tolist() == [1, 1, 1]
    assert stored[1].read().tolist() == [[0, 1], [2, 3]]
    assert settings == {"a": 1, "b": 3, "c": 4}


def test_a_file_that_ends_early_leaves_arrays_and_dicts_unchanged(tmp_path: Path) -> None:
    stored = [_core.Storage(np.zeros(3, np.float32)), _core.Storage(np.zeros(4, np.int64))]
    (tmp_path / "f").write_bytes(np.arange(4).tobytes()[:-1])
    settings = {"a": 1}
    for part, error in [(0, "Input/output error"), (-1, "Invalid argument")]:
        with open(tmp_path / "f", "rb") as file:
            contents = [np.ones(3, np.float32), (file.fileno(), part)]
            with pytest.raises(OSError, match=error):
                _core.write_storages(stored, contents, [(settings, {"a": 2})])
    with pytest.raises(OSError, match="Bad file descriptor"):
        _core.write_storages(stored, [np.ones(3, np.float32), (1 << 20, 0)], [(settings, {"a": 2})])
    assert stored[0].read().tolist() == [0, 0, 0]
    assert settings == {"a": 1}


def test_contents_that_do_not_fit_change_nothing() -> None:
    stored = [_core.Storage(np.zeros(3, np.float32)), _core.Storage(np.zeros(4, np.int64))]
    ones = np.ones(3, np.float32)
    for contents, message in [
        ([ones], "expected 2 arrays, got 1"),
        ([ones, np.ones(4, np.float32)], "array 1: expected dense int64"),
        ([ones, np.ones(3, np.int64)], r"array: expected shape \(4,\), got \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.write_storages(stored, contents)
    assert not stored[0].read().any()
