# SPDX-License-Identifier: Apache-2.0
"""What memory a process can get, and what is said where that is not enough."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph import limits
from cnncore.graph.arrays import aligned_empty

THERE = 100 << 20


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that can get 100 MiB."""
    monkeypatch.setattr(limits, "available_memory", lambda: (THERE, "a test"))


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (12_345_678, "12.3 MB"),
        (3 * 10**9, "3.0 GB"),
        (10**12, "1.0 TB"),
        (10**15, "1.0 PB"),
        (25 * 10**20, "2500.0 EB"),
    ],
)
def test_sizes_as_text(nbytes: int, text: str) -> None:
    assert limits.size_text(nbytes) == text


def test_what_is_had_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_memory", lambda: (1, "a test"))
    limits.require_memory(limits.SMALL, "it")
    limits.require_shape((2, limits.SMALL // 8), 4, "layer")
    with pytest.raises(MemoryError, match=r"it needs 67.1 MB, but this process can get 1 bytes \(a test\)"):
        limits.require_memory(limits.SMALL + 1, "it")
    with pytest.raises(MemoryError, match="who asked needs"):
        limits.require_memory(limits.SMALL + 1, lambda: "who asked")


@pytest.mark.usefixtures("little")
def test_an_image_must_fit_and_a_batch_need_not() -> None:
    limits.require_memory(THERE, "it")
    limits.require_shape((4, THERE // 4), 4, "layer")
    with pytest.raises(MemoryError, match=r"\[layer\] a result of shape \(4, 26214401\) needs 104.9 MB"):
        limits.require_shape((4, THERE // 4 + 1), 4, "layer")
    with pytest.raises(MemoryError, match=r"needs 104\.9 MB"):
        limits.require_shape((THERE // 4 + 1,), 4, "layer")
    with pytest.raises(
        MemoryError, match=r"needs 18\.4 EB, but this process can get 4\.6 EB \(64-bit addresses\)"
    ):
        limits.require_shape((2**61, 2), 4, "layer")
    with pytest.raises(MemoryError, match=r"needs 4\.6 EB"):
        limits.require_shape((2**59, 2), 4, "layer")


@pytest.mark.usefixtures("little")
def test_arrays_that_do_not_fit_are_not_made() -> None:
    assert aligned_empty((THERE // 4,)).nbytes == THERE
    with pytest.raises(MemoryError, match=r"^an array of shape \(26214401,\) needs 104\.9 MB"):
        aligned_empty((THERE // 4 + 1,))


@pytest.mark.usefixtures("little")
def test_memory_of_results_is_given_back_where_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[bool] = []
    core = SimpleNamespace(drop_result_memory=lambda: dropped.append(True))
    monkeypatch.setattr(limits, "_core", core)
    limits.require_memory(THERE, "it")
    assert dropped == []
    with pytest.raises(MemoryError, match="it needs"):
        limits.require_memory(THERE + 1, "it")
    assert dropped == [True]
    there = iter([(THERE, "before"), (THERE + 1, "after")])
    monkeypatch.setattr(limits, "available_memory", lambda: next(there))
    core.drop_result_memory = lambda: True
    limits.require_memory(THERE + 1, "it")


@pytest.mark.usefixtures("little")
def test_what_no_address_reaches_says_so_whatever_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_core", SimpleNamespace(drop_result_memory=lambda: True))
    with pytest.raises(MemoryError, match=r"it needs 4\.6 EB, but .* 4\.6 EB \(64-bit addresses\)"):
        limits.require_memory(limits.ADDRESSABLE + 1, "it")


def test_the_least_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"_machine": 50, "_address_space": None, "_cgroups": [70, 60]}
    for name in given:
        monkeypatch.setattr(limits, name, lambda name=name: given[name])
    assert limits.available_memory() == (50, "free memory of the machine")
    given["_address_space"] = 40
    assert limits.available_memory() == (40, "limit of the address space")
    given["_cgroups"] = [70, -5]
    assert limits.available_memory() == (0, "limit of the container")
    given.update(_machine=None, _address_space=None, _cgroups=[])
    assert limits.available_memory() == (2**62 - 1, "64-bit addresses")


def test_limits_of_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both versions of control groups, on the way to the root; cache that can be given back is free."""

    def write(path: str, **values: Any) -> None:
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (tmp_path / path / f"memory.{name}").write_text(f"{value}\n")

    monkeypatch.setattr(limits, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "CGROUP_MOUNT", tmp_path)
    assert list(limits._cgroups()) == []
    (tmp_path / "cgroup").write_text("0::/a/b\n3:cpu:/a\n4:cpuset,memory:/c\n")
    write("a/b", max=1000, current=300, stat="anon 5\ninactive_file 40")
    write("a", max="max", current=500)
    write(".", max=2000, current=100)
    write("memory/c", limit_in_bytes=700, usage_in_bytes=650, max=1, current=1)
    assert list(limits._cgroups()) == [740, 1900, 50]


def test_the_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"MemAvailable": 30, "SwapFree": 12, "MemTotal": 99}
    monkeypatch.setattr(limits, "_fields", lambda path, *names: {n: fields[n] for n in names if n in fields})
    assert limits._machine() == 42 * 1024
    del fields["SwapFree"]
    assert limits._machine() == 30 * 1024
    del fields["MemAvailable"]
    monkeypatch.setattr(limits.os, "sysconf", {"SC_PHYS_PAGES": 7, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert limits._machine() == 7 * 4096
    monkeypatch.delattr(limits.os, "sysconf")
    assert limits._machine() is None
    monkeypatch.undo()
    assert limits._fields(tmp_path / "none", "a") == {}
    (tmp_path / "some").write_text("a: 5 kB\nb 7\nc\nd: x\n")
    assert limits._fields(tmp_path / "some", "a", "b", "c", "d", "e") == {"a": 5, "b": 7}


def large(x: Any) -> Any:
    return ops.concat([x] * 4, 1)


@pytest.mark.usefixtures("little")
def test_programs_that_do_not_fit_name_the_layer() -> None:
    x = np.zeros((40, 250_000), np.float32)

    class Widened(nn.Module):
        def forward(self, x: Any) -> Any:
            return large(x)

    class Summed(nn.Module):
        def forward(self, x: Any) -> Any:
            return ops.softmax(ops.sin(large(x)), 1).sum()

    with pytest.raises(MemoryError, match=r"^\[1\] what is returned needs 160.0 MB"):
        cc.compile(nn.Sequential(nn.ReLU(), Widened()), x.shape)
    with pytest.raises(MemoryError, match=r"^what is returned needs 160.0 MB"):
        cc.compile(large, x.shape)
    constant = np.ones((1, 1_000_000), np.float32)
    with pytest.raises(MemoryError, match=r"^\[Widened\] what is returned needs 160.0 MB"):
        cc.compile(lambda x: ops.exp(constant * Widened()(x)), x.shape)
    with pytest.raises(MemoryError, match=r"^\[1\] the program, of which this step is the largest, needs"):
        cc.compile(nn.Sequential(nn.Identity(), Summed()), x.shape)


def test_inputs_beyond_addresses_are_refused_as_such() -> None:
    with pytest.raises(MemoryError, match="an input of shape"):
        cc.summary(nn.ReLU(), (1, 1, 10**11, 10**8))
