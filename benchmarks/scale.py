# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training: step times of some ranks as measured, of many as estimated from their parts.

    python benchmarks/scale.py --networks resnet20:32 --ranks 1 2 4 --json docs/results/scale.json
    python benchmarks/scale.py --read docs/results/scale.json

Ranks are started with mpiexec, one thread each. Each takes steps alone and together, in turns: the ratio of
the two is what exchanging costs beside the same neighbours on the machine. Where in a step each bucket begins
comes from `TrainStep.profile`; when it is there follows from a network's rate and latency (`simulated`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import arguments
import cnncore as cc
from cnncore import models, optim
from cnncore.ops import cross_entropy

MANY = (64, 256, 1024)


class Network(NamedTuple):
    """Seconds before a message arrives, seconds that a process spends on each, bytes a second each way."""

    latency: float
    each: float
    rate: float


class Timeline(NamedTuple):
    """Of a step: seconds at which each bucket begins, its bytes, and seconds until all is computed."""

    begins: tuple[float, ...]
    sizes: tuple[int, ...]
    computed: float


def phase(size: int, ranks: int, network: Network) -> float:
    """Return the seconds of one round of a bucket: every process sends each other one a part of it."""
    others = ranks - 1
    return others * network.each + size * others / ranks / network.rate + network.latency


def simulated(timeline: Timeline, ranks: int, network: Network) -> float:
    """Return the seconds from a step's begin to the last sum.

    A process's connection carries one round at a time. A bucket's second round begins where the machine looks
    at it next: where another bucket begins, or when all is computed.
    """
    if ranks == 1:
        return timeline.computed
    looks = [*timeline.begins, timeline.computed]
    free, arrived = 0.0, []
    for begin, size in zip(timeline.begins, timeline.sizes, strict=True):
        free = max(free, begin) + phase(size, ranks, network)
        arrived.append((free, size))
    for seen, size in arrived:
        look = min((moment for moment in looks if moment >= seen), default=seen)
        free = max(free, look) + phase(size, ranks, network)
    return max(free, timeline.computed)


def estimate(timeline: Timeline, step: float, ranks: int, network: Network) -> dict[str, float]:
    """Return the seconds of a step of so many ranks, and how much of them is computing.

    Args:
        timeline: of a step.
        step: seconds of a step of one rank.
        ranks: how many.
        network: between them.
    """
    opening = np.log2(ranks) * (network.latency + network.each) if ranks > 1 else 0.0
    seconds = step + simulated(timeline, ranks, network) - timeline.computed + float(opening)
    return {"ranks": ranks, "seconds": seconds, "efficiency": step / seconds}


# -- in each process ---------------------------------------------------------------------------------


def make_step(name: str, batch: int, comm: Any) -> tuple[Any, tuple[Any, Any]]:
    """Return a step of a network and its inputs."""
    cc.manual_seed(0)
    model = getattr(models, name)()
    size = 32 if name.startswith("resnet") and name[6:] in ("20", "32", "44", "56", "110") else 224
    rng = np.random.default_rng(comm.Get_rank() if comm is not None else 0)
    x = rng.normal(size=(batch, 3, size, size)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return cc.train_step(lambda x, y: cross_entropy(model(x), y), optimizer, comm=comm), (x, y)


def timeline_of(step: Any, inputs: tuple[Any, Any]) -> Timeline:
    """Return when the buckets of a step of several ranks begin, by its profile."""
    rows = list(step.profile(*inputs, repeats=3))
    steps = step._executable(()).run_steps
    begins, sizes, now, computed = [], [], 0.0, 0.0
    for row, each in zip(rows, steps, strict=True):
        if each.op == "exchange_end":
            continue
        now += row["ms"] / 1e3
        if each.op == "exchange_begin":
            begins.append(now)
            sizes.append(each.outputs[0].nbytes)
            computed = now
    return Timeline(tuple(begins), tuple(sizes), computed)


def work(name: str, batch: int, repeats: int) -> None:
    """Measure in one of several processes; the first prints."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    alone, inputs = make_step(name, batch, None)
    together, _ = make_step(name, batch, comm)
    times: dict[str, list[float]] = {"alone": [], "together": []}
    for i in range(repeats + 1):
        for which, step in (("alone", alone), ("together", together)):
            comm.Barrier()
            begun = time.perf_counter()
            step(*inputs)
            comm.Barrier()
            if i:
                times[which].append(time.perf_counter() - begun)
    found = {"network": name, "batch": batch, "ranks": comm.Get_size(), "cores": os.cpu_count()}
    for which, each in times.items():
        found[which], found[f"{which}_least"] = median(each), min(each)
    if comm.Get_size() > 1:
        found["timeline"] = timeline_of(together, inputs)._asdict()
        found["transport"] = transport(comm)
    if comm.Get_rank() == 0:
        print(json.dumps(found))


def transport(comm: Any, size: int = 4 << 20, repeats: int = 9) -> dict[str, float]:
    """Return what the connection between these processes does: seconds of a small round, bytes a second."""
    found = {}
    for which, count in (("small", 64 * comm.Get_size()), ("large", size)):
        mine, theirs = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        seconds = []
        for _ in range(repeats):
            comm.Barrier()
            begun = time.perf_counter()
            comm.Alltoall(mine, theirs)
            seconds.append(time.perf_counter() - begun)
        found[which] = min(seconds)
    others = comm.Get_size() - 1
    rate = size * others / comm.Get_size() / max(found["large"] - found["small"], 1e-9)
    return {"latency": found["small"], "rate": rate}


# -- the command -------------------------------------------------------------------------------------


def start(name: str, batch: int, ranks: int, repeats: int) -> dict[str, Any]:
    """Return what `work` measures in so many processes."""
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if mpiexec is None:
        raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
    command = [mpiexec, "-n", str(ranks), sys.executable, __file__, "--work", name, str(batch), str(repeats)]
    env = {**os.environ, "CNNCORE_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows_of(results: Sequence[dict[str, Any]], network: Network) -> list[str]:
    """Return the rows of the table in docs/scale.md."""
    rows = [
        "| network, batch of a rank | ranks | alone, ms | together, ms | efficiency | estimated |",
        "|---|---|---|---|---|---|",
    ]
    for name, batch in dict.fromkeys((r["network"], r["batch"]) for r in results):
        of_it = [r for r in results if (r["network"], r["batch"]) == (name, batch)]
        known = next((r for r in of_it if r["ranks"] == 2), None)
        for r in of_it:
            estimated = "-"
            if r["ranks"] > 1:
                here = Network(r["transport"]["latency"], 0.0, r["transport"]["rate"])
                guess = estimate(Timeline(**r["timeline"]), r["alone_least"], r["ranks"], here)
                estimated = f"{guess['efficiency']:.0%}"
            alone, both = r["alone_least"], r["together_least"]
            rows.append(
                f"| {name}, {batch} | {r['ranks']} | {1e3 * alone:.1f} | {1e3 * both:.1f} | "
                f"{alone / both:.0%} | {estimated} |"
            )
        if known is not None:
            for ranks in MANY:
                guess = estimate(Timeline(**known["timeline"]), known["alone_least"], ranks, network)
                rows.append(
                    f"| {name}, {batch} | {ranks:,} | {1e3 * known['alone_least']:.1f} | | | "
                    f"{guess['efficiency']:.0%} ({1e3 * guess['seconds']:.1f} ms) |"
                )
    return rows


def _network(text: str) -> tuple[str, int]:
    name, _, batch = text.partition(":")
    if name not in models.list():
        raise argparse.ArgumentTypeError(
            f"expected NAME:BATCH, a name among cnncore.models.list(), got {text!r}"
        )
    return name, arguments.count(batch)


def _measured(text: str) -> Any:
    return arguments.parsed("a file that --json has written", json.loads)(
        arguments.readable(text).read_text()
    )


def main() -> None:
    """Measure, or read what was measured, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--networks", nargs="+", type=_network, default=[("resnet20", 32)], help="NAME:BATCH of each rank"
    )
    parser.add_argument("--ranks", nargs="+", type=arguments.count, default=[1, 2, 4])
    parser.add_argument("--repeats", type=arguments.count, default=10, help="steps of each kind")
    parser.add_argument(
        "--latency",
        type=arguments.number(float, 0.0, 1e6),
        default=2.0,
        help="microseconds before a message arrives",
    )
    parser.add_argument(
        "--each",
        type=arguments.number(float, 0.0, 1e6),
        default=0.5,
        help="microseconds a process spends on a message",
    )
    parser.add_argument(
        "--rate",
        type=arguments.number(float, 1e-6, 1e6),
        default=12.5,
        help="GB/s of a process's connection, each way",
    )
    parser.add_argument("--json", type=arguments.writable, help="file for what was measured")
    parser.add_argument("--read", type=_measured, help="such a file, instead of measuring")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]), int(options.work[2]))
        return
    if options.read:
        results = options.read
    else:
        results = [start(n, b, r, options.repeats) for n, b in options.networks for r in options.ranks]
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    network = Network(options.latency * 1e-6, options.each * 1e-6, options.rate * 1e9)
    print("\n".join(rows_of(results, network)))


if __name__ == "__main__":
    main()
