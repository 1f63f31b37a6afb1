# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, runtime


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = cc.get_num_threads()
    yield
    cc.set_num_threads(before)
    cc.set_accuracy("fast")
    cc.manual_seed(0)


def test_threads() -> None:
    cc.set_num_threads(3)
    assert cc.get_num_threads() == 3
    with cc.threads(1):
        assert cc.get_num_threads() == 1
        with cc.threads(2):
            assert cc.get_num_threads() == 2
        assert cc.get_num_threads() == 1
    assert cc.get_num_threads() == 3

    def fail() -> None:
        with cc.threads(1):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert cc.get_num_threads() == 3


@pytest.mark.parametrize("count", [0, -1])
def test_too_few_threads(count: int) -> None:
    with pytest.raises(ValueError, match=f"expected at least 1 thread, got {count}"):
        cc.set_num_threads(count)


@pytest.mark.parametrize("count", [1.5, "2", None, True])
def test_threads_that_are_no_number(count: object) -> None:
    with pytest.raises(TypeError, match="expected an integer number of threads"):
        cc.set_num_threads(count)  # type: ignore[arg-type]


def test_seed_decides_weights_and_dropout() -> None:
    def draw() -> tuple[np.ndarray, np.ndarray]:
        return np.array(nn.Linear(3, 3).weight), ops.dropout(np.ones((50, 50), np.float32), 0.5)

    cc.manual_seed(5)
    first, other = draw(), draw()
    cc.manual_seed(5)
    again = draw()
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match="expected a seed from 0"):
        cc.manual_seed(seed)


def test_seeds_of_other_types() -> None:
    cc.manual_seed(np.int64(3))  # type: ignore[arg-type]
    for seed in (1.0, "1", None):
        with pytest.raises(TypeError, match="expected an integer seed"):
            cc.manual_seed(seed)  # type: ignore[arg-type]


def test_accuracy() -> None:
    cc.set_accuracy("exact")
    assert runtime.get_accuracy() == "exact"
    with pytest.raises(ValueError, match="expected accuracy 'exact' or 'fast', got 'best'"):
        cc.set_accuracy("best")


def test_info() -> None:
    info = cc.info()
    assert info["version"] == cc.__version__
    assert info["isa"] in info["isas"]
    assert info["isa"] == os.environ.get("CNNCORE_ISA", info["isa"])
    assert info["threads"] == cc.get_num_threads()
    assert 1 <= info["affinity_cores"] <= info["logical_cores"]
    lines = repr(info).splitlines()
    assert len(lines) == len(info)
    assert lines[0].split() == ["version", cc.__version__]


def test_measure_peak() -> None:
    peak = cc.measure_peak(seconds=0.05)
    assert peak["gflops_one_thread"] > 0
    assert peak["gflops"] > 0
    assert peak["gbytes"] > 0
    assert "gflops" in repr(peak)
    for seconds in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(ValueError, match="expected seconds above 0"):
            cc.measure_peak(seconds)
