# SPDX-License-Identifier: Apache-2.0
"""`cnncore profile`."""

from __future__ import annotations

import argparse

from ..predictor import compile as compile_network
from .output import print_result
from .sources import find


def run(options: argparse.Namespace) -> None:
    """Print the time of each step of a network's inference."""
    source = find(options.model, options.input)
    predictor = compile_network(source.model, source.shape, input_dtype=source.dtype)
    table = predictor.profile(*source.inputs(), repeats=options.repeats)
    print_result(options, repr(table), {"model": options.model, "input": source.shape, "steps": list(table)})
