# SPDX-License-Identifier: Apache-2.0
"""Two installations of cnncore side by side: algorithms, bits, speed, compile time.

    python benchmarks/builds.py BEFORE AFTER [--networks lenet5,resnet20] [--seconds 1]

BEFORE and AFTER are the Python interpreters of two virtual environments. Each runs in a process of its own,
and their calls take turns. A row tells whether outputs (of a prediction) or weights (after three training
steps) have the same bits, whether `explain()` names the same steps and algorithms, and both times. The exit
status is 1 when bits or steps differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arguments
from networks import NETWORKS, Network

Answer = dict[str, Any]
Call = Callable[[], Any]
STEPS = 3
"""Training steps before weights are compared: the second one reads what the first has written."""
COMPILATIONS = 8
"""Compilations after the first, which also loads modules; they take turns, and the median counts."""
COMPILED_BATCH = 2
"""Images of a training step whose compilation is timed: it comes out of a difference of two steps' times."""


class Worker:
    """A process with one installation; `ask` sends a command and returns its answer."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *command: Any) -> Answer:
        """Return the worker's answer; raises RuntimeError when the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that ran {command} ended with exit code {self._process.wait()}")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main(argv: list[str] | None = None) -> int:
    """Compare two installations; 1 when bits or steps differ."""
    options = parser().parse_args(argv)
    if options.worker:
        return serve()
    workers = [Worker(options.before), Worker(options.after)]
    equal, ratios, compiling = True, [], []
    print(
        "network        mode       batch  bits    steps   before ms (median)  after ms (median)  after/before"
        "  compile"
    )
    try:
        for name in options.networks:
            for mode, batch in _jobs(NETWORKS[name]):
                before, after = (worker.ask("prepare", name, mode, batch) for worker in workers)
                times = _take_turns(workers, options.seconds)
                least = [min(taken) for taken in times]
                ratios.append(least[1] / least[0])
                seconds = _compile_in_turns(workers, name, mode, batch)
                compiling.append(seconds[1] / seconds[0])
                same = [before[key] == after[key] for key in ("digest", "steps")]
                equal = equal and all(same)
                cells = [f"{1e3 * min(t):.3f} ({1e3 * sorted(t)[len(t) // 2]:.3f})" for t in times]
                verdicts = ["same" if value else "DIFFER" for value in same]
                print(
                    f"{name:14s} {mode:10s} {batch:5d}  {verdicts[0]:6s}  {verdicts[1]:6s}"
                    f"  {cells[0]:>18s} {cells[1]:>18s}  {ratios[-1]:12.3f}  {compiling[-1]:7.3f}",
                    flush=True,
                )
    finally:
        for worker in workers:
            worker.close()
    print(f"geometric mean of after/before: time {_mean(ratios):.3f}, compile time {_mean(compiling):.3f}")
    return 0 if equal else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("before", nargs="?", help="the Python of one virtual environment")
    made.add_argument("after", nargs="?", help="the Python of the other")
    made.add_argument(
        "--networks",
        type=arguments.names(NETWORKS),
        default=list(NETWORKS),
        help="comma-separated; default: all",
    )
    made.add_argument(
        "--seconds", type=arguments.seconds, default=1.0, help="measured for each installation in each row"
    )
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


def _jobs(network: Network) -> list[tuple[str, int]]:
    inference = [("inference", batch) for batch in network.inference[:2]]
    return [*inference, *(("training", batch) for batch in network.training)]


def _take_turns(workers: list[Worker], seconds: float) -> list[list[float]]:
    """Times of calls, as each worker has them; who went last begins the next turn."""
    times: list[list[float]] = [[] for _ in workers]
    order = [*zip(workers, times, strict=True)]
    end = time.monotonic() + seconds * len(workers)
    while len(times[0]) < 3 or time.monotonic() < end:
        for worker, taken in order:
            taken += worker.ask("time", min(seconds, 0.1))["seconds"]
        order.reverse()
    return times


def _compile_in_turns(workers: list[Worker], name: str, mode: str, batch: int) -> list[float]:
    """The median of the seconds that compiling takes, for each worker.

    The least ones are those for which the allocator had memory at hand that the system need not clear.
    """
    times: list[list[list[float]]] = [[] for _ in workers]
    order = [*zip(workers, times, strict=True)]
    for _ in range(COMPILATIONS):
        for worker, taken in order:
            count = batch if mode == "inference" else COMPILED_BATCH
            taken.append(worker.ask("compile", name, mode, count)["seconds"])
        order.reverse()
    middle = [[statistics.median(column) for column in zip(*taken, strict=True)] for taken in times]
    return [seconds - run for seconds, run in middle]


def _mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def serve() -> int:
    """Answer commands, a line of JSON each, until there are no more."""
    call: Callable[[], object] | None = None
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer: Answer
        if command == "prepare":
            call, answer = prepare(*arguments)
        elif command == "compile":
            answer = {"seconds": compile_network(*arguments)[3:]}
        else:
            assert call is not None
            answer = {"seconds": burst(call, *arguments)}
        print(json.dumps(answer), flush=True)
    return 0


def prepare(name: str, mode: str, batch: int) -> tuple[Callable[[], object], Answer]:
    """Compile a network; returns a call to be timed, and its steps and a digest of its bits."""
    call, explain, read, *_ = compile_network(name, mode, batch)
    for _ in range(STEPS - 2):
        call()
    return call, _answer(explain(), read())


def compile_network(name: str, mode: str, batch: int) -> tuple[Call, Call, Call, float, float]:
    """Compile; return the call, what explains it, what returns its results, seconds, and those of them that
    are none of compiling: training compiles in its first step, which takes as long as the second besides.
    """
    import cnncore as cc
    from cnncore import models, ops, optim

    cc.manual_seed(0)
    network = NETWORKS[name]
    x, y = network.data(batch)
    model = getattr(models, name)(classes=network.classes, in_channels=network.channels)
    begin = time.perf_counter()
    if mode == "inference":
        predict = cc.compile(model.eval(), x.shape)
        seconds = time.perf_counter() - begin
        return lambda: predict(x), predict.explain, lambda: [predict(x)], seconds, 0.0
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    )
    step(x, y)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    step(x, y)
    again = time.perf_counter() - begin

    def weights() -> list[Any]:
        state = model.state_dict()
        return [state[key] for key in sorted(state)]

    return lambda: step(x, y), step.explain, weights, seconds, again


def burst(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call of a burst after one that wakes threads and caches."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return taken


def _answer(table: Any, arrays: list[Any]) -> Answer:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return {
        "steps": [[row["layer"], row["step"], row["algorithm"]] for row in table],
        "digest": digest.hexdigest(),
    }


if __name__ == "__main__":
    sys.exit(main())
