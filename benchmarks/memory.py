# SPDX-License-Identifier: Apache-2.0
"""Memory of a training process: its peak beside PyTorch's for the same job, and whether it grows.

Run as a script it is that process: `memory.py RUNNER NETWORK BATCH STEPS THREADS` trains and prints its
memory as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cnncore.bench.machine import resident_bytes
from networks import NETWORKS, Network
from peers import Runner, runners

PEER_OF = {"cnncore": "cnncore", "torch": "torch", "torch channels_last": "torch"}
STEPS = 30
MEGABYTE = 1e6


def compare(network: Network, batch: int, threads: int, names: list[str]) -> dict[str, float]:
    """Peak resident megabytes of a fresh process for each runner, which takes `STEPS` training steps."""
    peaks = {}
    for name in names:
        arguments = [network.name, str(batch), str(STEPS), str(threads)]
        command = [sys.executable, str(Path(__file__)), name, *arguments]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[name] = json.loads(output.splitlines()[-1])["peak"] / MEGABYTE
    return peaks


def soak(network: Network, batch: int, steps: int, threads: int) -> dict[str, float]:
    """Resident megabytes of this process, training with cnncore: after 1 % of the steps, and at the end."""
    (runner,) = runners("cnncore", threads)
    step = _training_step(runner, network, batch)
    for _ in range(max(1, steps // 100)):
        step()
    begin = resident_bytes()[0]
    for _ in range(steps):
        loss = step()
    return {
        "steps": float(steps),
        "begin": begin / MEGABYTE,
        "end": resident_bytes()[0] / MEGABYTE,
        "loss": loss,
    }


def _training_step(runner: Runner, network: Network, batch: int) -> Callable[[], float]:
    if runner.trainer is None:
        raise ValueError(f"{runner.name} does not train")
    x, y = network.data(batch)
    step = runner.trainer(network, None)
    return lambda: step(x, y)


def main(arguments: list[str]) -> None:
    """Be the process that is measured."""
    name, network, batch, steps, threads = arguments
    (runner,) = (found for found in runners(PEER_OF[name], int(threads)) if found.name == name)
    step = _training_step(runner, NETWORKS[network], int(batch))
    for _ in range(int(steps)):
        step()
    print(json.dumps({"peak": resident_bytes()[1]}))


if __name__ == "__main__":
    main(sys.argv[1:])
