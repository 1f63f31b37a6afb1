# SPDX-License-Identifier: Apache-2.0
"""What `run.py --layers` does with rows: finds the file and the peers, measures, prints the summary."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import arguments
import cnncore as cc
from cnncore.bench import shapes

from . import convolution, functions, summary
from . import operations as listed
from .record import LayerRow, RowFile


def convolutions(options: argparse.Namespace) -> int:
    """The rows of `--shapes`, resumed from the file of `--json`."""
    cc.set_num_threads(options.threads)
    selection = convolution.Selection(
        rows=options.rows,
        filter=options.filter,
        directions=tuple(options.directions),
        batch=options.batch[0] if options.batch else None,
        seconds=options.seconds,
        accuracy=options.accuracy or "fast",
    )
    file = RowFile(options.json)
    if not options.summary:
        problems = shapes.read_csv(options.shapes)
        for row in convolution.measure(problems, selection, peers(options), file):
            print(summary.line(row), flush=True)
    found = list(file)
    print(f"\n{summary.families(found)}\n\nSlower than the best peer:\n\n{summary.slower(found)}", flush=True)
    return 0


def operations(options: argparse.Namespace, seconds: float) -> Iterator[LayerRow]:
    """The rows of operations that `--filter` finds."""
    cc.set_num_threads(options.threads)
    found: list[functions.Peer] = []
    if "torch" in options.peers:
        try:
            import torch

            from . import torch_functions

            torch.set_num_threads(options.threads)
            found.append(torch_functions.calls)
        except ImportError as missing:
            print(f"skipped torch: {missing.name} is not installed")
    made = listed.functions(1 if options.quick else listed.SCALE)
    return functions.measure(made, options.filter, seconds, found)


def find(name: str) -> Path:
    """The file itself, or the one of that name in the folder that CNNCORE_DATA names."""
    path = Path(name)
    root = os.environ.get("CNNCORE_DATA")
    return arguments.readable(str(Path(root) / name if root and not path.exists() else path))


def peers(options: argparse.Namespace) -> dict[str, Callable[..., Any]]:
    """Makers of the peers' calls; one that is not installed is named and left out."""
    found: dict[str, Callable[..., Any]] = {}
    if "torch" in options.peers:
        try:
            import torch

            from . import torch_convolution

            torch.set_num_threads(options.threads)
            found["torch"] = torch_convolution.calls
        except ImportError as missing:
            print(f"skipped torch: {missing.name} is not installed")
    if "onnxruntime" in options.peers:
        try:
            from . import onnx_convolution

            found["onnxruntime"] = onnx_convolution.maker(options.threads)
        except ImportError as missing:
            print(f"skipped onnxruntime: {missing.name} is not installed")
    return found


def parse_rows(text: str) -> slice:
    """Rows "10:20" or "7" of a file, counted from 0.

    Example:
        >>> parse_rows("10:20"), parse_rows("7"), parse_rows("")
        (slice(10, 20, None), slice(7, 8, None), slice(None, None, None))
    """
    if not text:
        return slice(None)
    first, colon, end = text.partition(":")
    if not colon:
        return slice(int(first), int(first) + 1)
    return slice(int(first) if first else None, int(end) if end else None)


rows = arguments.parsed("rows of the file as N:M, counted from 0", parse_rows)
