# SPDX-License-Identifier: Apache-2.0
"""The benchmark: cnncore against its peers and against the machine's arithmetic peak.

    python benchmarks/run.py --peers torch,onnxruntime,openvino
    python benchmarks/run.py --layers
    python benchmarks/run.py --memory
    python benchmarks/run.py --soak 1000000

Compared calls take turns in one run, their answers are checked against each other, and minimum and median are
both given: on a shared machine only the ratios within a run mean something.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import report
from cnncore.bench import machine
from measure import Row, inference, training
from networks import NETWORKS
from peers import MODULES, Runner, Unavailable, runners


def main(argv: list[str] | None = None) -> int:
    """Measure what the arguments ask for, print tables, and write JSON if asked."""
    options = parser().parse_args(argv)
    facts = machine.describe()
    print(", ".join(f"{key} {value}" for key, value in facts.items()) + f", threads {options.threads}", flush=True)
    results: dict[str, object] = {"machine": facts, "threads": options.threads}
    results["networks"] = [report.as_json(row) for row in compare_networks(options)]
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--networks", type=_names(NETWORKS), default=list(NETWORKS), help="comma-separated; default: all")
    made.add_argument("--batch", type=_sizes, help="batches, comma-separated; default: each network's own")
    made.add_argument("--mode", choices=("inference", "training"), help="default: both")
    made.add_argument("--peers", type=_names(MODULES), default=[name for name in MODULES], help="comma-separated; default: all")
    made.add_argument("--threads", type=int, default=machine.available_cores(), help="of every runner")
    made.add_argument("--seconds", type=float, default=2.0, help="measured for each runner of each row")
    made.add_argument("--quick", action="store_true", help="a rough answer in a fraction of the time")
    made.add_argument("--json", metavar="FILE", help="write the results there, too")
    return made


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A parser of comma-separated names."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return names

    return parse


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def compare_networks(options: argparse.Namespace) -> list[Row]:
    """The table of networks, printed once it is complete."""
    taking_part = available(options.peers, options.threads)
    seconds = 0.2 if options.quick else options.seconds
    rows = []
    for name in options.networks:
        network = NETWORKS[name]
        for mode, measure, batches in (
            ("inference", inference, network.inference),
            ("training", training, network.training),
        ):
            if options.mode in (None, mode):
                for batch in options.batch or batches:
                    rows.append(measure(network, batch, taking_part, seconds))
                    print(f"{name} {mode} b{batch} measured", file=sys.stderr)
    print("\n" + report.networks(rows), flush=True)
    return rows


def available(peers: list[str], threads: int) -> list[Runner]:
    """The runners of these peers; a missing one is named and left out."""
    found: list[Runner] = []
    for peer in peers:
        try:
            found += runners(peer, threads)
        except Unavailable as reason:
            print(f"skipped {peer}: {reason}")
    return found


if __name__ == "__main__":
    sys.exit(main())
