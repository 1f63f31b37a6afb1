# SPDX-License-Identifier: Apache-2.0
"""Planned memory is what a process really takes, also for long signals and training steps."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import numpy as np
import cnncore as cc
from cnncore import nn, ops, optim

def kilobytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

def warm_up():
    '''Threads, their stacks, and what the first program of a process loads.'''
    small = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    step = cc.train_step(lambda x: ops.mean(small(x)), optim.SGD(small.parameters(), lr=0.1))
    for _ in range(3):
        step(np.ones((8, 1, 32, 32), np.float32))
    small.eval()
    small(np.ones((8, 1, 32, 32), np.float32))

def report(planned, before):
    print(planned / 1024, kilobytes("VmHWM") - before)
"""

JOBS = {
    "1x9 on ten minutes of audio": """
        x = np.ones((1, 1, 1, 28_800_000), np.int16)  # the program converts it
        model = nn.Sequential(nn.Conv2d(1, 1, (1, 9), padding=(0, 4), bias=False)).eval()
        warm_up()
        before = kilobytes("VmHWM")
        predictor = cc.compile(model, input_shape=x.shape)
        y = predictor(x)
        report(predictor.memory.total + y.nbytes, before)
    """,
    "1x9 on audio that is used as it comes": """
        x = np.ones((1, 1, 1, 28_800_000), np.float32)
        model = nn.Sequential(nn.Conv2d(1, 1, (1, 9), padding=(0, 4), bias=False)).eval()
        warm_up()
        before = kilobytes("VmHWM")
        predictor = cc.compile(model, input_shape=x.shape)
        y = predictor(x)
        report(predictor.memory.total + y.nbytes, before)
    """,
    "the same in a call of the model, converted": """
        x = np.ones((1, 1, 1, 28_800_000), np.int16)
        model = nn.Sequential(nn.Conv2d(1, 1, (1, 9), padding=(0, 4), bias=False)).eval()
        warm_up()
        before = kilobytes("VmHWM")
        y = model(x)
        report(x.size * 4 + y.nbytes, before)
    """,
    "a convolution, pooling and a strided convolution of audio": """
        x = np.ones((1, 1, 1, 14_400_000), np.float32)
        model = nn.Sequential(
            nn.Conv2d(1, 4, (1, 9), padding=(0, 4)), nn.ReLU(), nn.MaxPool2d((1, 4)),
            nn.Conv2d(4, 2, (1, 5), stride=(1, 2)),
        ).eval()
        warm_up()
        before = kilobytes("VmHWM")
        predictor = cc.compile(model, input_shape=x.shape)
        y = predictor(x)
        report(predictor.memory.total + y.nbytes, before)
    """,
    "a training step on images": """
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1),
            nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, stride=2), nn.Flatten(),
            nn.Linear(33856, 10),
        )
        x, y = np.ones((16, 3, 96, 96), np.float32), np.arange(16) % 10
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step = cc.train_step(lambda x, y: ops.cross_entropy(model(x), y), optimizer)
        warm_up()
        before = kilobytes("VmHWM")
        step(x, y)
        step(x, y)
        report(step.memory.total, before)
    """,
    "a training step on long signals": """
        model = nn.Sequential(
            nn.Conv2d(1, 8, (1, 9), padding=(0, 4)), nn.ReLU(), nn.MaxPool2d((1, 4)), nn.Conv2d(8, 8, (1, 9))
        )
        x = np.ones((1, 1, 1, 2_000_000), np.float32)
        step = cc.train_step(lambda x: ops.mean(model(x) ** 2), optim.SGD(model.parameters(), lr=0.1))
        warm_up()
        before = kilobytes("VmHWM")
        step(x)
        step(x)
        report(step.memory.total, before)
    """,
}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory of a process")
@pytest.mark.parametrize("name", JOBS)
def test_planned_memory_is_measured_memory(name: str) -> None:
    """Within 5 %, and the megabytes of Python's objects."""
    path = os.pathsep.join(part for part in sys.path if part)
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(JOBS[name])],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-1000:]
    planned, measured = (float(number) for number in result.stdout.split())
    assert 0.95 * planned - 4096 < measured < 1.05 * planned + 4096
