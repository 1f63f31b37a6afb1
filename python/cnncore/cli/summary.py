# SPDX-License-Identifier: Apache-2.0
"""`cnncore summary`."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from ..model_summary import summary
from . import model_file
from .networks import build, names, usual_input
from .output import print_result

_CLASSES = 10

_TOTALS = ("parameters", "trainable_parameters", "buffers", "flops", "parameter_bytes", "output_bytes")


def run(options: argparse.Namespace) -> None:
    """Print the table of a saved model's, or a named network's, layers."""
    if options.model in names() and not os.path.exists(options.model):
        channels, height, width = usual_input(options.model)
        shape = options.input or (1, channels, height, width)
        _check(shape)
        model = build(options.model, _CLASSES, shape[1])
    else:
        if not os.path.exists(options.model):
            raise ValueError(f"expected a model file or one of {', '.join(names())}, got {options.model!r}")
        model, description = model_file.load(options.model)
        shape = options.input or (1, *description.image)
        _check(shape)
    table = summary(model, shape)
    print_result(
        options,
        str(table),
        {
            "model": options.model,
            "input": list(shape),
            **{name: getattr(table, name) for name in _TOTALS},
            "layers": [asdict(layer) for layer in table.layers],
        },
    )


def _check(shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
        raise ValueError(f"expected an input of batch,channels,height,width, got {shape}")
