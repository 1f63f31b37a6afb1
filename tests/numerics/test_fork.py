# SPDX-License-Identifier: Apache-2.0
"""Children forked at any moment, beside any thread, work and end; each case in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

HANG_SECONDS = 300

HEAD = """
import os, sys, threading, time, warnings
import numpy as np, cnncore as cc
from cnncore import models, nn, ops, optim
warnings.simplefilter("ignore", DeprecationWarning)  # that such forks work is what is tested
cc.set_num_threads(2)
x, y = np.ones((32, 3, 32, 32), np.float32), np.arange(32) % 10

def network():
    cc.manual_seed(0)
    return models.resnet20()

def in_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def beside(work, forks):
    go = [True]
    def loop():
        while go[0]:
            work()
    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(6):
        time.sleep(0.003 * number)
        forks()
    go[0] = False
    for thread in threads:
        thread.join()
"""

CASES = {
    "the child uses a module and ends by sys.exit": """
        m = network().eval()
        m(x)
        for _ in range(5):
            child = os.fork()
            if child == 0:
                m(x)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """,
    "the child's child": """
        m = network().eval()
        expected = m(x)
        in_child(lambda: in_child(lambda: np.testing.assert_array_equal(m(x), expected)))
    """,
    "beside predictors, the child changes the weights they share": """
        m = network().eval()
        p = cc.compile(m, x.shape)
        expected = p(x)
        def change():
            m.conv1.weight.assign(np.array(m.conv1.weight) * 2)
            np.testing.assert_array_equal(p(x), expected)
        beside(lambda: p(x), lambda: in_child(change))
    """,
    "beside a training step, the child goes on with it": """
        m = network()
        step = cc.train_step(lambda a, b: ops.cross_entropy(m(a), b), optim.Adam(m.parameters()))
        step(x, y)
        beside(lambda: step(x, y), lambda: in_child(lambda: step(x, y)))
    """,
    "beside compilation, assignment and saving": """
        m = network().eval()
        def work():
            cc.compile(m, x.shape)(x)
            m.conv1.weight.assign(np.array(m.conv1.weight))
            m.state_dict()
            with cc.threads(1):
                ops.dropout(x, 0.5)
        beside(work, lambda: in_child(work))
    """,
    "the child finds one step's parameters, state and statistics": """
        m = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 900, 10))
        optimizer = optim.Adam(m.parameters(), lr=0.01)
        step = cc.train_step(lambda a, b: ops.cross_entropy(m(a), b), optimizer)
        def state():
            return {k: np.array(v) for k, v in m.state_dict().items()}
        states = [state()]
        start = optimizer.state_dict()
        for _ in range(400):
            step(x, y)
            states.append(state())
        m.load_state_dict(states[0])
        optimizer.load_state_dict(start)
        left = [400]
        def work():
            left[0] -= 1
            if left[0] > 0:
                step(x, y)
            else:
                time.sleep(0.001)
        def check():
            now = optimizer.step_count
            for name, value in state().items():
                np.testing.assert_array_equal(value, states[now][name])
        beside(work, lambda: in_child(check))
    """,
    "torch in the child": """
        import torch
        m = network().eval()
        m(x)
        in_child(lambda: torch.nn.functional.conv2d(torch.ones(8, 16, 56, 56), torch.ones(16, 16, 3, 3)))
    """,
}


@pytest.mark.parametrize("name", CASES)
def test_a_forked_child_works_and_ends(name: str) -> None:
    if "torch" in name and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    script = HEAD + textwrap.dedent(CASES[name])
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, errors = process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        raise
    assert process.returncode == 0, errors
