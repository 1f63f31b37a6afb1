# SPDX-License-Identifier: Apache-2.0
"""The benchmark: cnncore against its peers and against the machine's arithmetic peak.

    python benchmarks/run.py                       networks, inference and training, against every peer
    python benchmarks/run.py --zoo                 the same of further networks of torchvision, a family each
    python benchmarks/run.py --accuracy exact      the same with cnncore's "exact" mode beside
    python benchmarks/run.py --isa avx2            the same on AVX2, against torch held to it
    python benchmarks/run.py --layers              ResNet-50's convolutions, % of the FMA peak; operations
                                                   bound by memory, % of its speed
    python benchmarks/run.py --layers --shapes conv_shapes.csv --json rows.jsonl
                                                   the file's convolutions against torch and onnxruntime
    python benchmarks/run.py --memory              peak memory of serving and training processes
    python benchmarks/run.py --errors              rounding errors against float64
    python benchmarks/run.py --overhead            what a call and a step cost beside arithmetic
    python benchmarks/run.py --recurrent           LSTM, GRU and RNN of 100 steps against torch, onnxruntime
    python benchmarks/run.py --soak 1000000        does a training process grow?

Compared calls take turns in one run, their answers are checked against each other, and minimum and median are
both given: on a shared machine only the ratios within a run mean something. With `--json FILE` each row is
written as soon as it is there; `report.py` prints such files, `plots.py` draws them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arguments
import report
from cnncore.bench import machine
from measure import WrongAnswerError, inference, training
from networks import KNOWN, NETWORKS, ZOO, Network
from peers import EXACT, MODULES, OURS, Runner, UnavailableError, runners
from results import ERROR_LIMIT, ResultFile, Row, means
from rows import command, summary

PEER_SETTINGS = {
    "avx512": {"CNNCORE_ISA": "avx512"},
    "avx2": {"CNNCORE_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "portable": {
        "CNNCORE_ISA": "portable",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
    },
}
"""Environment that holds cnncore and torch to an instruction set."""

UNHELD = ("onnxruntime", "openvino")
"""Peers that take the best instruction set there is, whatever they are told."""

LAYER_SHAPES = Path(__file__).parent / "shapes" / "resnet50.csv"
LAYER_DIRECTIONS = tuple(report.DIRECTIONS)
QUICK_SECONDS = 0.1


def main(argv: list[str] | None = None) -> int:
    """Measure what the arguments ask for, print tables, write JSON if asked; 1 unless all is right."""
    given = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(given)
    settings = PEER_SETTINGS.get(options.isa, {})
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.environ.update(settings)
        os.execv(sys.executable, [sys.executable, str(Path(__file__)), *given])
    facts = machine.describe()
    print(
        ", ".join(f"{key} {value}" for key, value in facts.items()) + f", threads {options.threads}",
        flush=True,
    )
    if options.layers and options.shapes:
        return command.convolutions(options)
    file = ResultFile(options.json, {"machine": facts, "threads": options.threads})
    if options.layers:
        return measure_layers(options, file)
    if options.memory:
        return compare_memory(options, file)
    if options.errors:
        return measure_errors(options, file)
    if options.overhead:
        return measure_overhead(options, file)
    if options.recurrent:
        return measure_recurrent(options, file)
    if options.soak:
        return soak(options, file)
    return compare_networks(options, file)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--networks", type=arguments.names(KNOWN), default=list(NETWORKS), help="default: all of its own"
    )
    made.add_argument(
        "--zoo", dest="networks", action="store_const", const=list(ZOO), help="networks of torchvision"
    )
    made.add_argument(
        "--batch", type=arguments.counts, help="sizes, comma-separated; default: each network's own"
    )
    made.add_argument("--mode", choices=("inference", "training"), help="default: both")
    peers = [name for name in MODULES if name != OURS[0]]
    made.add_argument(
        "--peers", type=arguments.names(peers), default=peers, help="comma-separated; default: all"
    )
    made.add_argument("--only-peers", action="store_true", help="leave cnncore out")
    made.add_argument(
        "--threads", type=arguments.threads, default=machine.available_cores(), help="of every runner"
    )
    made.add_argument("--isa", choices=tuple(PEER_SETTINGS), help="hold cnncore and torch to it")
    made.add_argument(
        "--seconds", type=arguments.seconds, default=2.0, help="measured for each runner of each row"
    )
    made.add_argument("--quick", action="store_true", help="a rough answer in a fraction of the time")
    made.add_argument("--json", type=arguments.writable, metavar="FILE", help="write the results there, too")
    made.add_argument(
        "--accuracy",
        choices=("exact", "fast"),
        help="exact: networks also without Winograd, as a runner of its own; fast: --layers with Winograd",
    )
    made.add_argument("--layers", action="store_true", help="single convolution steps against the FMA peak")
    made.add_argument(
        "--directions", type=arguments.names(LAYER_DIRECTIONS), default=[], help="of --layers; default: all"
    )
    made.add_argument(
        "--shapes",
        type=command.find,
        metavar="FILE",
        help="csv of --layers, looked for in $CNNCORE_DATA, too",
    )
    made.add_argument("--rows", type=command.rows, default="", metavar="N:M", help="of the file of --shapes")
    made.add_argument(
        "--filter",
        type=arguments.pattern,
        default="",
        metavar="REGEX",
        help="of names and problems of --layers",
    )
    made.add_argument(
        "--summary", action="store_true", help="--shapes: of the rows in --json, measuring none"
    )
    made.add_argument("--memory", action="store_true", help="peak memory, a process for each runner")
    made.add_argument("--errors", action="store_true", help="rounding errors against float64")
    made.add_argument("--overhead", action="store_true", help="of a call and of a step")
    made.add_argument("--recurrent", action="store_true", help="recurrent layers against torch, onnxruntime")
    made.add_argument("--soak", type=arguments.count, metavar="N", help="N training steps: does memory grow?")
    return made


def compare_networks(options: argparse.Namespace, file: ResultFile) -> int:
    """Networks x batch x mode x peers, printed as one table."""
    taking_part = available(options)
    seconds = QUICK_SECONDS if options.quick else options.seconds
    rows: list[Row] = []
    for network, mode, batch in jobs(options):
        try:
            row = (inference if mode == "inference" else training)(network, batch, taking_part, seconds)
        except WrongAnswerError as wrong:
            row = Row(network.name, mode, batch, notes=[f"WRONG: {wrong}"])
        except UnavailableError as reason:
            row = Row(network.name, mode, batch, notes=[f"not measured: {reason}"])
        rows.append(row)
        file.add("networks", row.as_json())
        file.set(geometric_means=[mean.as_json() for mean in means(rows)])
        ratio = "" if row.ratio() is None else f", {row.ratio():.2f} times the best peer, {row.best_peer}"
        print(f"measured {network.name} {mode} b{batch}{ratio}", file=sys.stderr)
    print("\n" + report.networks(rows), flush=True)
    return 0 if all(row.times for row in rows) else 1


def jobs(options: argparse.Namespace) -> Iterator[tuple[Network, str, int]]:
    """Network, mode and batch of each row."""
    for name in options.networks:
        network = KNOWN[name]
        for mode, batches in (("inference", network.inference), ("training", network.training)):
            if options.mode in (None, mode):
                yield from ((network, mode, batch) for batch in options.batch or batches)


def available(options: argparse.Namespace) -> list[Runner]:
    """The runners that take part; a peer that cannot is named and left out."""
    found: list[Runner] = []
    for peer in [*([] if options.only_peers else [OURS[0]]), *options.peers]:
        if peer in UNHELD and options.isa in ("avx2", "portable"):
            print(f"skipped {peer}: it cannot be held to {options.isa}")
            continue
        try:
            found += runners(peer, options.threads)
        except UnavailableError as reason:
            print(f"skipped {peer}: {reason}")
    return [runner for runner in found if runner.name != EXACT or options.accuracy == "exact"]


def measure_layers(options: argparse.Namespace, file: ResultFile) -> int:
    """ResNet-50's convolutions without the first, on one thread and on all; operations bound by memory."""
    import cnncore as cc
    from cnncore.bench import layer_row, layers, shapes, tables

    # The first layer has 3 input channels: another problem than keeping the vector units busy.
    problems = [
        problem
        for problem in shapes.read_csv(LAYER_SHAPES)
        if problem.in_channels > 3 and re.search(options.filter, f"convolution {problem.layer}")
    ]
    for threads in sorted({1, options.threads}):
        cc.set_num_threads(threads)
        found = []
        for result in layers.measure(
            problems[::3] if options.quick else problems,
            options.directions or LAYER_DIRECTIONS,
            options.accuracy or "exact",
            QUICK_SECONDS if options.quick else 0.3,
        ):
            found.append(result)
            file.add("layers", {"threads": threads, **layer_row(result)})
        if found:
            print(f"\nISA {cc.info()['isa']}, threads {threads}\n\n{tables.layers(found)}", flush=True)
    rows = []
    for row in command.operations(options, QUICK_SECONDS if options.quick else 0.3):
        rows.append(row)
        file.add("operations", row.as_json())
        print(summary.line(row), file=sys.stderr, flush=True)
    if rows:
        print(f"\nOperations, threads {options.threads}\n\n{summary.operations(rows)}", flush=True)
    return 0


def compare_memory(options: argparse.Namespace, file: ResultFile) -> int:
    """Peak memory of processes, each with one runner."""
    import memory

    found = []
    for network, mode, batch in jobs(options):
        if options.batch or mode == "training" or batch in network.inference[:2]:
            found.append(memory.measure(network, mode, batch, options.threads, options.peers))
            file.add("memory", found[-1].as_json())
            print(f"measured {network.name} {mode} b{batch}", file=sys.stderr)
    notes = list(dict.fromkeys(note for job in found for note in job.notes))
    print("\n".join(["\nPeak resident MB of a process:\n", report.memory(found), *notes]), flush=True)
    return 0 if all(OURS[0] in job.usage for job in found) else 1


def measure_errors(options: argparse.Namespace, file: ResultFile) -> int:
    """Errors of layers and networks in units of direct convolution's; 1 when a layer's is over the limit."""
    try:
        import errors
    except ImportError as missing:
        print(f"skipped: torch in float64 is the reference; {missing.name} is not installed")
        return 0
    found = []
    listed = errors.LAYERS[::4] if options.quick else errors.LAYERS
    for error in (*errors.layers(listed), *errors.networks(KNOWN[name] for name in options.networks)):
        found.append(error)
        file.add("errors", error.as_json())
    print("\n" + report.errors([error.as_json() for error in found]), flush=True)
    over = [error for error in found if error.is_layer and error.fast > ERROR_LIMIT]
    for error in over:
        print(f"OVER {ERROR_LIMIT}: {error.subject}, {error.result}: {error.fast:.2f}")
    return 1 if over else 0


def measure_overhead(options: argparse.Namespace, file: ResultFile) -> int:
    """A call and a step without work."""
    import overhead

    found = overhead.measure(options.threads, QUICK_SECONDS if options.quick else options.seconds).as_json()
    file.set(overhead=found)
    print("\n" + report.overhead(found))
    return 0


def measure_recurrent(options: argparse.Namespace, file: ResultFile) -> int:
    """Recurrent layers against their peers."""
    import recurrent

    found = []
    for row in recurrent.rows(options.threads, QUICK_SECONDS if options.quick else options.seconds):
        found.append(row)
        file.add("recurrent", row.as_json())
    print("\n" + report.networks(found), flush=True)
    return 0


def soak(options: argparse.Namespace, file: ResultFile) -> int:
    """Many training steps of one network in this process."""
    import memory

    network = KNOWN[options.networks[0]]
    batch = (options.batch or [1])[0]
    found: dict[str, Any] = {"network": network.name, "batch": batch}
    for reached in memory.soak(network, batch, options.soak, options.threads):
        found.update(reached)
        file.set(soak=found)
    print(report.soak(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
