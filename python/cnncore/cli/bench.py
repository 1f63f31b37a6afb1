# SPDX-License-Identifier: Apache-2.0
"""`cnncore bench`."""

from __future__ import annotations

import argparse

from .. import bench
from ..bench.networks import INPUTS
from .output import print_result

_MODES = ("inference", "training")


def run(options: argparse.Namespace) -> None:
    """Measure this installation and print the table."""
    for name in options.networks or ():
        if name not in INPUTS:
            raise ValueError(f"expected networks among {', '.join(INPUTS)}, got {name!r}")
    table, results = bench.run(
        networks=options.networks,
        batches=options.batch,
        modes=(options.mode,) if options.mode else _MODES,
        layers=options.layers,
        quick=options.quick,
    )
    print_result(options, table, results)
