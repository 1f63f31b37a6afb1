# SPDX-License-Identifier: Apache-2.0
"""The benchmark: cnncore against its peers and against the machine's arithmetic peak.

    python benchmarks/run.py --peers torch,onnxruntime,openvino    networks, inference and training
    python benchmarks/run.py --layers                              ResNet-50's convolutions, % of the FMA peak
    python benchmarks/run.py --memory                              peak memory of training processes
    python benchmarks/run.py --soak 1000000                        does a training process grow?

Compared calls take turns in one run, their answers are checked against each other, and minimum and median are
both given: on a shared machine only the ratios within a run mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import report
from cnncore.bench import machine
from measure import OURS, Row, WrongAnswerError, inference, training
from networks import NETWORKS
from peers import MODULES, Runner, UnavailableError, runners

PEER_SETTINGS = {
    "avx2": {"CNNCORE_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "avx512": {"CNNCORE_ISA": "avx512"},
    "portable": {"CNNCORE_ISA": "portable"},
}
"""Environment that holds cnncore, and torch where it can be told, to an instruction set."""

LAYER_SHAPES = Path(__file__).parent / "shapes" / "resnet50.csv"
DIRECTIONS = ("forward", "backward_data", "backward_weight")
QUICK_SECONDS = 0.1


def main(argv: list[str] | None = None) -> int:
    """Measure what the arguments ask for, print tables, and write JSON if asked; 1 after a wrong answer."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(arguments)
    if options.isa and os.environ.get("CNNCORE_ISA") != options.isa:
        os.environ.update(PEER_SETTINGS[options.isa])
        os.execv(sys.executable, [sys.executable, str(Path(__file__)), *arguments])
    facts = machine.describe()
    print(
        ", ".join(f"{key} {value}" for key, value in facts.items()) + f", threads {options.threads}",
        flush=True,
    )
    results: dict[str, Any] = {"machine": facts, "threads": options.threads}
    rows: list[Row] = []
    if options.layers:
        results["layers"] = measure_layers(options)
    elif options.memory:
        results["memory"] = compare_memory(options)
    elif options.soak:
        results["soak"] = soak(options)
    else:
        rows = compare_networks(options)
        results["networks"] = [report.as_json(row) for row in rows]
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(row.times for row in rows) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--networks", type=_names(NETWORKS), default=list(NETWORKS), help="default: all")
    made.add_argument("--batch", type=_sizes, help="sizes, comma-separated; default: each network's own")
    made.add_argument("--mode", choices=("inference", "training"), help="default: both")
    peers = [name for name in MODULES if name != OURS]
    made.add_argument("--peers", type=_names(peers), default=peers, help="comma-separated; default: all")
    made.add_argument("--only-peers", action="store_true", help="leave cnncore out")
    made.add_argument("--threads", type=int, default=machine.available_cores(), help="of every runner")
    made.add_argument("--isa", choices=tuple(PEER_SETTINGS), help="hold cnncore and torch to it")
    made.add_argument("--seconds", type=float, default=2.0, help="measured for each runner of each row")
    made.add_argument("--quick", action="store_true", help="a rough answer in a fraction of the time")
    made.add_argument("--json", metavar="FILE", help="write the results there, too")
    made.add_argument("--layers", action="store_true", help="single convolution steps against the FMA peak")
    made.add_argument("--directions", type=_names(DIRECTIONS), default=list(DIRECTIONS), help="of --layers")
    made.add_argument("--accuracy", choices=("exact", "fast"), default="exact", help="of --layers")
    made.add_argument("--memory", action="store_true", help="peak memory of training, a process each")
    made.add_argument("--soak", type=int, metavar="N", help="N training steps: does memory grow?")
    return made


def compare_networks(options: argparse.Namespace) -> list[Row]:
    """Networks x batch x mode x peers, printed as one table."""
    taking_part = available([*([] if options.only_peers else [OURS]), *options.peers], options.threads)
    seconds = QUICK_SECONDS if options.quick else options.seconds
    rows = []
    for name in options.networks:
        network = NETWORKS[name]
        for mode, measure, batches in (
            ("inference", inference, network.inference),
            ("training", training, network.training),
        ):
            if options.mode not in (None, mode):
                continue
            for batch in options.batch or batches:
                try:
                    row = measure(network, batch, taking_part, seconds)
                except WrongAnswerError as wrong:
                    row = Row(name, mode, batch, notes=[f"WRONG: {wrong}"])
                rows.append(row)
                ratio = "" if row.ratio is None else f", {row.ratio:.2f} times the best peer"
                print(f"measured {name} {mode} b{batch}{ratio}", file=sys.stderr)
    print("\n" + report.networks(rows), flush=True)
    return rows


def measure_layers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """ResNet-50's convolutions without the first, on one thread and on all."""
    import cnncore as cc
    from cnncore.bench import layer_row, layers, shapes, tables

    # The first layer has 3 input channels: another problem than keeping the vector units busy.
    problems = [problem for problem in shapes.read_csv(LAYER_SHAPES) if problem.in_channels > 3]
    rows = []
    for threads in sorted({1, options.threads}):
        cc.set_num_threads(threads)
        found = []
        for result in layers.measure(
            problems[::4] if options.quick else problems,
            options.directions,
            options.accuracy,
            QUICK_SECONDS if options.quick else 0.3,
        ):
            found.append(result)
            rows.append({"threads": threads, **layer_row(result)})
        print(f"\nISA {cc.info()['isa']}, threads {threads}\n\n{tables.layers(found)}", flush=True)
    return rows


def compare_memory(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Peak memory of cnncore's and PyTorch's training processes."""
    import memory

    names = [OURS, *(["torch", "torch channels_last"] if "torch" in options.peers else [])]
    peaks = {
        f"{name} b{batch}": memory.compare(NETWORKS[name], batch, options.threads, names)
        for name in options.networks
        for batch in options.batch or NETWORKS[name].training
    }
    print("\n" + report.memory(peaks))
    return peaks


def soak(options: argparse.Namespace) -> dict[str, float]:
    """Many training steps of one network in this process."""
    import memory

    network = NETWORKS[options.networks[0]]
    batch = (options.batch or [1])[0]
    found = memory.soak(network, batch, options.soak, options.threads)
    print(
        f"{options.soak} training steps of {network.name} b{batch}: "
        f"{found['begin']:.1f} MB resident after 1 %, {found['end']:.1f} MB at the end"
    )
    return found


def available(peers: list[str], threads: int) -> list[Runner]:
    """The runners of these peers; a missing one is named and left out."""
    found: list[Runner] = []
    for peer in peers:
        try:
            found += runners(peer, threads)
        except UnavailableError as reason:
            print(f"skipped {peer}: {reason}")
    return found


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


if __name__ == "__main__":
    sys.exit(main())
