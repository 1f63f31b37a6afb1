# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core, nn, ops, runtime


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


@pytest.mark.parametrize("count", [1025, 2**40, 2**70])
def test_too_many_threads(count: int) -> None:
    for ask in (cc.set_num_threads, lambda n: cc.threads(n).__enter__()):
        with pytest.raises(ValueError, match=f"expected at most 1024 threads, got {count}"):
            ask(count)


def test_blocks_of_threads_that_overlap() -> None:
    before = cc.get_num_threads()
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def other() -> None:
        with cc.threads(before + 7):
            inside.set()
            leave.wait()
            seen.append(cc.get_num_threads())

    thread = threading.Thread(target=other)
    with cc.threads(before + 3):
        thread.start()
        inside.wait()
        assert cc.get_num_threads() == before + 3
    leave.set()
    thread.join()
    assert seen == [before + 7]
    assert cc.get_num_threads() == before


def test_blocks_of_asyncio_tasks_that_overlap() -> None:
    async def task(count: int, pauses: int) -> None:
        with cc.threads(count):
            for _ in range(pauses):
                await asyncio.sleep(0)
                assert cc.get_num_threads() == count

    async def both() -> None:
        await asyncio.gather(task(5, 2), task(6, 5))

    before = cc.get_num_threads()
    asyncio.run(both())
    assert cc.get_num_threads() == before


def info_with(**environment: str) -> dict[str, Any]:
    """What a process with these variables reports, and the threads that took part in a loop as `used`."""
    script = """
import json, os, cnncore as cc, numpy as np
with_two = np.ones((64, 64, 64, 64), np.float32)
for _ in range(20): cc.ops.exp(with_two)
info = dict(cc.info())
print(json.dumps({**info, "used": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc") else None}))
"""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "CNNCORE_", "OPENBLAS"))
    }
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_PROC_BIND": "true"},
        {"OMP_PROC_BIND": "spread", "OMP_PLACES": "cores"},
        {"GOMP_CPU_AFFINITY": "0-1"},
        {"OMP_DYNAMIC": "true"},
    ],
)
def test_variables_that_bind_threads_of_others(variables: dict[str, str]) -> None:
    report, plain = info_with(**variables), info_with()
    assert (report["threads"], report["thread_source"]) == (plain["threads"], plain["thread_source"])
    assert report["used"] == plain["used"]


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"CNNCORE_NUM_THREADS": "3"}, 3),
        ({"CNNCORE_NUM_THREADS": "3", "OMP_NUM_THREADS": "1"}, 3),
        ({"OMP_THREAD_LIMIT": "1"}, 1),
        ({"OMP_NUM_THREADS": "1"}, 1),
    ],
)
def test_variables_that_set_the_number_of_threads(variables: dict[str, str], threads: int) -> None:
    report = info_with(**variables)
    assert report["threads"] == threads
    if os.cpu_count() != 1:
        assert report["thread_source"] == next(iter(variables))
    assert report["used"] in (threads, None)


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "2x", "99999999999999999999"])
def test_a_bad_number_of_threads_in_the_environment(text: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "cnncore", "info"],
        env={**os.environ, "CNNCORE_NUM_THREADS": text},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    expected = f"CNNCORE_NUM_THREADS: expected 1 to 1024 threads, got '{text}'"
    assert result.stderr == f"cnncore: error: {' '.join(expected.split())}\n"


def test_an_instruction_set_that_does_not_exist() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "cnncore", "info"],
        env={**os.environ, "CNNCORE_ISA": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("cnncore: error: CNNCORE_ISA: expected one of portable")
    assert result.stderr.count("\n") == 1


GROUPS = {
    "version 2": ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
    "version 2, root": ("0::/\n", {"cpu.max": "400000 100000"}, 4.0),
    "the tightest counts": ("0::/a\n", {"a/cpu.max": "300000 100000", "cpu.max": "200000 100000"}, 2.0),
    "version 1": (
        "4:cpuacct,cpu:/a\n",
        {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"},
        2.5,
    ),
    "version 1, no limit": (
        "4:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        0.0,
    ),
    "cpuset is no quota": ("4:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, 0.0),
    "no number": ("0::/\n", {"cpu.max": "abc 100000"}, 0.0),
    "half a line": ("0::/\n", {"cpu.max": "100000"}, 0.0),
    "no period": ("0::/\n", {"cpu.max": "100000 0"}, 0.0),
    "infinite": ("0::/\n", {"cpu.max": "inf 1"}, 0.0),
    "too large": ("0::/\n", {"cpu.max": "1e999 1"}, 0.0),
    "not a list of groups": ("\x00\xff::::\nabc", {"cpu.max": "x"}, 0.0),
}


@pytest.mark.parametrize("name", GROUPS)
def test_cpu_quota_of_a_container(name: str, tmp_path: Path) -> None:
    groups, files, quota = GROUPS[name]
    (tmp_path / "groups").write_text(groups, encoding="latin-1")
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert _core.cgroup_quota(str(tmp_path / "groups"), str(tmp_path)) == quota


EPYC = [
    ("1", "Data", "32K"),
    ("1", "Instruction", "48K"),
    ("2", "Unified", "512K"),
    ("3", "Unified", "32768K"),
]
KIB = 1024
CACHES = {
    "as the kernel writes it": (EPYC, [32 * KIB, 512 * KIB, 32768 * KIB]),
    "instructions first": ([EPYC[1], EPYC[0], EPYC[2]], [32 * KIB, 512 * KIB, 0]),
    "other units": ([("1", "Data", "49152"), ("3", "Unified", "32M")], [49152, 0, 32768 * KIB]),
    "no level": ([("", "Data", "32K"), *EPYC[2:]], [0, 512 * KIB, 32768 * KIB]),
    "no type": ([("1", "", "32K"), *EPYC[2:]], [0, 512 * KIB, 32768 * KIB]),
    "no size": ([("1", "Data", ""), ("2", "Unified", "K"), ("3", "Unified", "-4K")], [0, 0, 0]),
    "more than any": ([("3", "Unified", "99999999999999999999K")], [0, 0, 0]),
    "nothing there": ([], [0, 0, 0]),
}


@pytest.mark.parametrize("name", CACHES)
def test_caches_as_the_kernel_describes_them(name: str, tmp_path: Path) -> None:
    entries, sizes = CACHES[name]
    for index, entry in enumerate(entries):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for file, text in zip(("level", "type", "size"), entry, strict=True):
            (folder / file).write_text(f"{text}\n")
    assert [_core.described_cache(str(tmp_path), level) for level in (1, 2, 3)] == sizes


@pytest.mark.skipif(not Path("/sys/devices/system/cpu/cpu0/cache").exists(), reason="tells of the caches")
def test_caches_of_this_machine_are_those_the_kernel_describes() -> None:
    info = _core.cpu_info()
    for level, key in enumerate(("l1d_bytes", "l2_bytes", "l3_bytes"), 1):
        described = _core.described_cache("/sys/devices/system/cpu/cpu0/cache", level)
        assert info[key] == described or not described


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


@pytest.mark.parametrize("channels", [33, 300])
def test_exact_sums_of_a_pixel_do_not_depend_on_its_place(channels: int) -> None:
    """As what `cc.tiled` puts together needs."""
    cc.set_accuracy("exact")
    layer = nn.Conv2d(channels, 8, 1).eval()
    x = np.random.default_rng(0).standard_normal((1, channels, 5, 7)).astype(np.float32)
    image, pixel = cc.compile(layer, x.shape), cc.compile(layer, (1, channels, 1, 1))
    assert {row["algorithm"] for row in (*image.explain(), *pixel.explain())} == {"direct"}
    y = image(x)
    for place in np.ndindex(5, 7):
        np.testing.assert_array_equal(pixel(x[(..., *place, None, None)])[..., 0, 0], y[(..., *place)])


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is made of Linux's ulimit")
def test_threads_that_cannot_be_started_are_done_without() -> None:
    """A stack larger than the memory there may be is what each new thread asks for."""
    script = """
import cnncore as cc, numpy as np
cc.set_num_threads(4)
x = np.full((64, 64, 64, 64), 2, np.float32)
assert (cc.ops.add(x, x) == 4).all()
print(cc.get_num_threads(), cc.info()["thread_source"])
"""
    result = subprocess.run(
        [
            "bash",
            "-c",
            'ulimit -s 16000000 && ulimit -v 8000000 && exec "$0" -c "$1"',
            sys.executable,
            script,
        ],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if "ulimit" in result.stderr:
        pytest.skip("the limits are already lower")
    assert result.stdout == "1 threads the system lets the process start\n", result.stderr
