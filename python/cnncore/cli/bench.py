# SPDX-License-Identifier: Apache-2.0
"""`cnncore bench`."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from .. import bench
from ..bench import machine
from ..bench.networks import Throughput
from ..bench.tables import throughput
from ..bench.timing import interleaved
from ..predictor import compile as compile_network
from .output import UsageError, print_result
from .sources import find

_MODES = ("inference", "training")


def run(options: argparse.Namespace) -> None:
    """Measure this installation, or a model, and print the table."""
    if options.model is not None:
        _run_model(options)
        return
    if options.input is not None:
        raise UsageError("--input goes with a MODEL")
    if options.layers and (options.networks or options.batch or options.mode):
        raise UsageError("--networks, --batch and --mode go without --layers, which measures convolutions")
    table, results = bench.run(
        networks=options.networks,
        batches=options.batch,
        modes=(options.mode,) if options.mode else _MODES,
        layers=options.layers,
        quick=options.quick,
    )
    print_result(options, table, results)


def _run_model(options: argparse.Namespace) -> None:
    """Measure inference of one model at one or more batches."""
    if options.networks or options.layers or options.mode == "training":
        raise UsageError("--networks, --layers and --mode training go without a MODEL")
    source = find(options.model, options.input)
    rows = []
    for batch in options.batch or (source.shapes[0][0],):
        shapes = [(batch, *shape[1:]) for shape in source.shapes]
        sized = find(options.model, shapes[0]) if len(shapes) == 1 else source
        predictor = compile_network(sized.model, sized.shape, input_dtype=sized.dtype)
        inputs = sized.inputs()
        calls = {"model": lambda p=predictor, x=inputs: p(*x)}
        timing = interleaved(calls, bench.QUICK_SECONDS if options.quick else 1.0)["model"]
        rows.append(Throughput(os.path.basename(options.model), "inference", sized.shapes[0][0], timing))
    results = [{**asdict(row), "images_per_second": row.images_per_second} for row in rows]
    print_result(options, throughput(rows), {"machine": machine.describe(), "networks": results})
