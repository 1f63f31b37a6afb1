# SPDX-License-Identifier: Apache-2.0
"""Memory of large results: used again once nobody holds it, never before, and never more of it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

from cnncore import _core, ops
from cnncore.bench.machine import resident_bytes

LARGE = (8192, 1024)  # 32 MiB


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    _core.drop_result_memory()


def doubled(value: float, shape: tuple[int, ...] = LARGE) -> np.ndarray:
    result: np.ndarray = ops.add(np.full(shape, value, np.float32), value)
    return result


def test_memory_of_a_result_is_used_again() -> None:
    first = doubled(1.0)
    place = first.ctypes.data
    del first
    again = doubled(2.0)
    assert again.ctypes.data == place
    assert (again == 4.0).all()


@pytest.mark.parametrize("layout", ["c", "channels_last"])
def test_memory_that_is_held_is_left_alone(layout: str) -> None:
    x = np.ones((4, 64, 128, 128), np.float32)
    if layout == "channels_last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    first = ops.add(x, 1.0)
    part = first[1:, 3:]
    place = first.ctypes.data
    del first
    others = [ops.add(x, float(i)) for i in range(2, 6)]
    assert (part == 2.0).all()
    assert len({place, *(other.ctypes.data for other in others)}) == 5
    assert all((other == 1.0 + i).all() for i, other in enumerate(others, 2))


def test_results_are_writable_and_plain() -> None:
    result = doubled(1.0)
    result[0] = 5.0
    assert result.flags.writeable
    assert result.flags.c_contiguous
    assert (np.array(result)[1:] == 2.0).all()


def test_results_of_nearly_the_same_size_share_memory() -> None:
    first = doubled(1.0)
    place = first.ctypes.data
    del first
    near = doubled(3.0, (8000, 1024))
    assert near.ctypes.data == place
    assert (near == 6.0).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_results_of_changing_sizes_do_not_add_up() -> None:
    def resident() -> int:
        gc.collect()
        return resident_bytes()[0]

    doubled(1.0)
    before = resident()
    for rows in range(2, 20):
        doubled(1.0, (1024 * rows, 1024))
    assert resident() - before < 128 << 20


LIMITED = """
import resource
import numpy as np
import cnncore as cc
from cnncore import ops
ops.add(np.ones((48 * 1024, 1024), np.float32), 1.0)
x = np.ones(({rows}, 1024), np.float32)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + ({room} << 20),) * 2)
gradient = cc.grad(lambda w, x: ops.sum(ops.cumsum(x * w, 0) * x))(np.ones(1024, np.float32), x)
print(gradient.shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("rows", "room"), [(48 * 1024, 250), (7 * 1024, 16)])
def test_kept_memory_is_given_up_when_there_is_no_other(rows: int, room: int) -> None:
    script = LIMITED.format(rows=rows, room=room)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1024,)", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_results_of_its_own() -> None:
    doubled(1.0)
    child = os.fork()
    if child == 0:
        os._exit(0 if (doubled(3.0) == 6.0).all() else 1)
    mine = doubled(2.0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert (mine == 4.0).all()
