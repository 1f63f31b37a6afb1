# SPDX-License-Identifier: Apache-2.0
"""Memory of parameters and optimisers: reading and writing numbers."""

from __future__ import annotations

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
