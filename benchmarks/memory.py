# SPDX-License-Identifier: Apache-2.0
"""Memory of processes that serve or train a network, one for each runner; and whether training makes it grow.

A serving process loads the network from files written beforehand, in the form that its library reads with the
least memory; a training process begins with fresh weights. Run as a script this file is such a process:
`memory.py RUNNER MODE NETWORK BATCH THREADS FOLDER` prints its memory as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from networks import KNOWN, Network, with_statistics
from peers import OURS, Runner, UnavailableError, runners

PEER_OF = {
    "cnncore": "cnncore",
    "torch": "torch",
    "torch channels_last": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
"""The runners whose processes are measured."""

TRAINING = ("cnncore", "torch")
STEPS = 5
"""Of training, or predictions: from the second on, everything is there that a step needs."""
MEGABYTE = 1e6
PREPARE = "prepare "
UNAVAILABLE = 3
"""Exit status of a process whose peer cannot run."""


@dataclass(frozen=True)
class Usage:
    """Resident megabytes of a process: its peak, at the end, and once its library was imported."""

    peak: float
    end: float
    imported: float


@dataclass
class Job:
    """A network served or trained at one batch: runner -> usage, and why runners are missing."""

    network: str
    mode: str
    batch: int
    usage: dict[str, Usage] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def leanest_peer(self) -> str | None:
        """The peer with the lowest peak."""
        peaks = {name: usage.peak for name, usage in self.usage.items() if name not in OURS}
        return min(peaks, key=peaks.__getitem__) if peaks else None

    @property
    def share(self) -> float | None:
        """cnncore's peak in units of the leanest peer's."""
        leanest = self.leanest_peer
        known = leanest is not None and OURS[0] in self.usage
        return self.usage[OURS[0]].peak / self.usage[leanest].peak if known and leanest else None

    def as_json(self) -> dict[str, object]:
        """All of it, with the comparison."""
        return {**asdict(self), "leanest_peer": self.leanest_peer, "share": self.share}

    @staticmethod
    def from_json(written: Mapping[str, Any]) -> Job:
        """The job that `as_json` wrote."""
        usage = {name: Usage(**found) for name, found in written["usage"].items()}
        return Job(written["network"], written["mode"], written["batch"], usage, list(written["notes"]))


def measure(network: Network, mode: str, batch: int, threads: int, peers: Sequence[str]) -> Job:
    """What a fresh process of each runner needs for this."""
    job = Job(network.name, mode, batch)
    prepared: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for name, peer in PEER_OF.items():
            if peer not in (OURS[0], *peers) or (mode == "training" and peer not in TRAINING):
                continue
            arguments = [name, mode, network.name, str(batch), str(threads), folder]
            try:
                if mode == "inference" and peer not in prepared:
                    _process([PREPARE + name, *arguments[1:]])
                    prepared.add(peer)
                job.usage[name] = Usage(**_process(arguments))
            except UnavailableError as reason:
                job.notes.append(f"{name}: {reason}")
    return job


def _process(arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UnavailableError(lines[-1] if done.returncode == UNAVAILABLE else f"FAILED: {lines[-1]}")
    written: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return written


def soak(network: Network, batch: int, steps: int, threads: int) -> Iterator[dict[str, Any]]:
    """Train with cnncore in this process; tell a hundred times how far it has come.

    That is: steps, resident megabytes after the first hundredth of them ("begin") and now ("end"), loss.
    """
    step = _training_step(_runner(OURS[0], threads), network, batch)
    share = max(1, steps // 100)
    for _ in range(share):
        step()
    begin = _resident()[0]
    for done in range(share, steps + 1, share):
        for _ in range(share):
            loss = step()
        yield {"steps": done, "begin": begin, "end": _resident()[0], "loss": loss}


def _runner(name: str, threads: int) -> Runner:
    (runner,) = (found for found in runners(PEER_OF[name], threads) if found.name == name)
    return runner


def _training_step(runner: Runner, network: Network, batch: int) -> Callable[[], float]:
    if runner.trainer is None:
        raise UnavailableError(f"{runner.name} does not train")
    x, y = network.data(batch)
    step = runner.trainer(network, None)
    return lambda: step(x, y)


def _prediction(runner: Runner, network: Network, batch: int, folder: Path) -> Callable[[], object]:
    if runner.load is None:
        raise UnavailableError(f"{runner.name} loads no files")
    x, _ = network.data(batch)
    predict = runner.load(network, batch, folder)
    return lambda: predict(x)


def _prepare(runner: Runner, network: Network, batch: int, folder: Path) -> None:
    if runner.save is None:
        raise UnavailableError(f"{runner.name} writes no files")
    state = _runner(OURS[0], 1).state
    if state is None:
        raise UnavailableError("nothing initialises weights")
    runner.save(network, with_statistics(state(network)), batch, folder)


def _resident() -> tuple[float, float]:
    """Megabytes of this process now, and at most so far."""
    # Here, so that a process of a peer begins without cnncore.
    from cnncore.bench.machine import resident_bytes

    now, peak = resident_bytes()
    return now / MEGABYTE, peak / MEGABYTE


def main(arguments: list[str]) -> int:
    """Be the process that is measured, or the one that writes its files."""
    name, mode, network_name, batch, threads, folder = arguments
    network = KNOWN[network_name]
    try:
        if name.startswith(PREPARE):
            runner = _runner(name.removeprefix(PREPARE), int(threads))
            _prepare(runner, network, int(batch), Path(folder))
            print("{}")
            return 0
        runner = _runner(name, int(threads))
        imported = _resident()[0]
        if mode == "training":
            call: Callable[[], object] = _training_step(runner, network, int(batch))
        else:
            call = _prediction(runner, network, int(batch), Path(folder))
        for _ in range(STEPS):
            call()
    except UnavailableError as reason:
        print(reason, file=sys.stderr)
        return UNAVAILABLE
    end, peak = _resident()
    print(json.dumps({"peak": peak, "end": end, "imported": imported}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
