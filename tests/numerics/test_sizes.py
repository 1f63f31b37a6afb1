# SPDX-License-Identifier: Apache-2.0
"""Sizes that cannot be had end in an error that says so, at once and before anything is tried."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cnncore.graph import limits

LIMIT = 3 << 30
"""Address space of each subprocess."""

HEAD = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
import numpy as np
import cnncore as cc
from cnncore import nn, ops
one = np.ones((1, 1, 8, 8), np.float32)
kernel = np.ones((1, 1, 3, 3), np.float32)
try:
    {{code}}
except (MemoryError, TypeError, ValueError) as error:
    print(type(error).__name__ + ": " + str(error))
else:
    print("done")
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of the address space")


def run(code: str) -> str:
    """Run a line in a process of its own; return its error or "done"."""
    path = os.pathsep.join(part for part in sys.path if part)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HEAD).replace("{code}", code)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert result.returncode == 0, f"exit {result.returncode}: {result.stderr[-500:]}"
    return result.stdout.strip()


TOO_LARGE = {
    "pad": "ops.pad(np.ones((1, 1), np.float32), (0, 10**10))",
    "pad, both axes": "ops.pad(np.ones((2, 2)), (0, 10**5, 0, 10**5))",
    "pad beyond what 64 bits address": "ops.pad(np.ones((2, 2)), (0, 2**61))",
    "adaptive mean": "ops.adaptive_avg_pool2d(one, 40000)",
    "adaptive max": "ops.adaptive_max_pool2d(one, (2**31 - 1, 2**31 - 1))",
    "padding of a convolution": "ops.conv2d(one, kernel, padding=10**5)",
    "padding with a stride": "ops.conv2d(one, kernel, padding=2**30, stride=3)",
    "transposed convolution": "ops.conv_transpose2d(one, kernel, stride=2**30)",
    "dilated transposed": "ops.conv_transpose2d(one, kernel, dilation=2**30)",
    "layer": "nn.Conv2d(2**40, 2**40, 3)",
    "linear layer": "nn.Linear(2**20, 2**20)",
    "compiled shape": "cc.compile(nn.ReLU(), (2**40, 3, 8, 8))",
    "compiled shape beyond 64 bits": "cc.compile(nn.ReLU(), (2**40, 2**40))",
    "padding of the gradient": "cc.grad(lambda x: ops.sum(ops.conv2d(x, kernel, padding=2**20)))(one)",
    "sum of two": "(lambda x: ops.add(x[:, None], x[None, :]))(np.ones(10**5, np.float32))",
    "matmul": "ops.matmul(np.ones((10**6, 1), np.float32), np.ones((1, 10**6), np.float32))",
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_the_memory_says_how_much_there_is(name: str) -> None:
    answer = run(TOO_LARGE[name])
    assert answer.startswith("MemoryError: "), answer
    assert " needs " in answer, answer
    assert "but this process can get" in answer, answer


REFUSED = {
    "stride": ("ops.conv2d(one, kernel, stride=2**32)", "stride of at most 2147483647"),
    "stride beyond 64 bits": ("ops.conv2d(one, kernel, stride=2**70)", "stride of at most 2147483647"),
    "stride of the gradient": (
        "cc.grad(lambda x: ops.sum(ops.conv2d(x, kernel, stride=2**40)))(one)",
        "stride of at most 2147483647",
    ),
    "padding": ("ops.conv2d(one, kernel, padding=2**62)", "padding of at most 2147483647"),
    "dilation": ("ops.conv2d(one, kernel, dilation=2**64)", "dilation of at most 2147483647"),
    "transposed": ("ops.conv_transpose2d(one, kernel, dilation=2**64)", "dilation of at most 2147483647"),
    "pooling": ("ops.max_pool2d(one, 2**62, padding=2**61)", "kernel_size of at most 2147483647"),
    "adaptive": ("ops.adaptive_avg_pool2d(one, 2**40)", "output_size of at most 2147483647"),
    "divisor": ("ops.avg_pool2d(one, 2, divisor_override=2**40)", "divisor_override"),
    "layer's stride": ("nn.Conv2d(1, 1, 3, stride=2**40)", "stride of at most 2147483647"),
    "layer's pooling": ("nn.MaxPool2d(2**40)", "kernel_size of at most 2147483647"),
    "pad beyond 64 bits": ("ops.pad(np.ones((2, 2)), (0, 2**70))", "each padding from -2**63 to 2**63 - 1"),
    "reshape": ("ops.reshape(one, (2**60, -1))", "expected a shape of 64 elements"),
    "reshape beyond 64 bits": ("ops.reshape(one, (2**70, -1))", "each extent from -2**63 to 2**63 - 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_beyond_their_range_are_refused(name: str) -> None:
    code, message = REFUSED[name]
    answer = run(code)
    assert answer.startswith("ValueError: "), answer
    assert message in answer, answer


DONE = {
    "a stride beyond the input": "assert ops.conv2d(one, kernel, stride=2**31 - 1).tolist() == [[[[9.0]]]]",
    "its gradient": """assert np.array_equal(cc.grad(lambda x: ops.sum(
        ops.conv2d(x, kernel, stride=2**31 - 1)))(one)[0, 0, :3, :3], kernel[0, 0])""",
    "a large window": "assert ops.max_pool2d(one, 2**31 - 1, padding=2**30 - 1).tolist() == [[[[1.0]]]]",
    "much padding": """assert ops.conv2d(one[:, :, :1], kernel[:, :, :1], padding=(0, 2**24), stride=(1, 3)
        ).sum() == 8""",
}


@pytest.mark.parametrize("name", DONE)
def test_what_can_be_computed_is(name: str) -> None:
    assert run(DONE[name]) == "done"


def test_the_message_names_the_layer() -> None:
    answer = run("cc.compile(nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(60000)), (1, 3, 8, 8))")
    assert answer.startswith("MemoryError: [1] a result of shape (1, 8, 60000, 60000) needs 115.2 GB"), answer


def test_a_program_of_values_that_fit_one_by_one_is_refused_when_they_do_not_together() -> None:
    answer = run("cc.compile(lambda x: [ops.exp(x * i) for i in range(8)], (10**8,))  # 0.4 GB each")
    assert answer.startswith("MemoryError: "), answer


def folder(path: Path, limit: str, used: int, inactive: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "memory.max").write_text(limit + "\n")
    (path / "memory.current").write_text(f"{used}\n")
    (path / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_containers_count_on_the_way_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tightest limit counts, and file pages that can be dropped count as free."""
    group = tmp_path / "cgroup"
    group.write_text("5:cpu:/x\n0::/outer/inner\n")
    folder(tmp_path / "mount", "max", 0, 0)
    folder(tmp_path / "mount/outer", "5000", 3000, 100)
    folder(tmp_path / "mount/outer/inner", "max", 10, 0)
    monkeypatch.setattr(limits, "CGROUP", group)
    monkeypatch.setattr(limits, "CGROUP_MOUNT", tmp_path / "mount")
    assert limits.available_memory() == (2100, "limit of the container")
    (tmp_path / "mount/outer/memory.max").write_text("nonsense\n")
    assert limits.available_memory()[1] != "limit of the container"
