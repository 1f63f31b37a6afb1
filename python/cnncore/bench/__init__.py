# SPDX-License-Identifier: Apache-2.0
"""Speed of this installation: networks in images a second, convolutions in percent of the arithmetic peak.

Comparisons with other libraries are in the repository's `benchmarks/run.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

QUICK_SECONDS = 0.1


def run(
    networks: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    modes: Sequence[str] = ("inference", "training"),
    layers: bool = False,
    quick: bool = False,
) -> tuple[str, dict[str, Any]]:
    """Measure this installation.

    Args:
        networks: names of `cnncore.bench.networks.INPUTS`; all by default.
        batches: batch sizes instead of the usual ones.
        modes: of "inference", "training".
        layers: measure ResNet-50's convolutions against the FMA peak instead of networks.
        quick: a rough answer in a fraction of the time.

    Returns:
        The table as text, and the same results as a dict for JSON.

    Raises:
        TypeError, ValueError: no such networks, modes or batches; nothing has been measured then.
    """
    from ..nn.arguments import flag
    from . import layers as layer_bench
    from . import machine, tables
    from . import networks as network_bench
    from .shapes import resnet50

    results: dict[str, Any] = {"machine": machine.describe()}
    seconds = QUICK_SECONDS if flag("quick", quick) else 1.0
    if flag("layers", layers):
        # The first layer, with 3 channels, cannot keep a vector unit busy: it is measured by the networks.
        problems = resnet50(batch=4 if quick else 16)[1:]
        found = list(layer_bench.measure(problems, seconds=QUICK_SECONDS if quick else 0.3))
        results["layers"] = [layer_row(result) for result in found]
        return tables.layers(found), results
    names = network_bench.INPUTS if networks is None else networks
    taken = list(network_bench.measure(names, modes, batches, seconds))
    results["networks"] = [{**asdict(row), "images_per_second": row.images_per_second} for row in taken]
    return tables.throughput(taken), results


def layer_row(result: Any) -> dict[str, Any]:
    """A `LayerResult` for JSON."""
    return {**asdict(result), "gflops": result.gflops, "percent_of_peak": result.percent_of_peak}
